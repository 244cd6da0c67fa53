//! A model on a device, ready to run. Plans are built per input shape and kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Device;
use super::specialize::{self, Outcome};
use crate::cpu;
use crate::graph::{self, Dim, Graph, Model, Schedule, TypedGraph, ValueId};
use crate::tensor::{Tensor, TensorType};
use crate::{Error, Result};

/// Plans kept per session: input shapes beyond these push out the oldest.
const PLANS: usize = 8;

/// Largest tensor a plan may compute.
const TENSOR_LIMIT: usize = if cfg!(target_pointer_width = "32") { 1 << 30 } else { 4 << 30 };

pub struct Session {
    graph: Graph,
    device: Device,
    /// Inputs whose values decide shapes: part of the plan's key.
    by_value: BTreeSet<ValueId>,
    plans: Vec<(Key, Plan)>,
}

#[derive(PartialEq)]
struct Key {
    types: Vec<TensorType>,
    values: Vec<Vec<u8>>,
}

struct Plan {
    program: Program,
    decoded: Vec<String>,
}

enum Program {
    Cpu(cpu::Program),
}

/// What the newest plan costs and where it runs.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Sum of the arena's slots: peak activation memory.
    pub arena_bytes: usize,
    /// Bytes of the weights as the plan holds them.
    pub weight_bytes: usize,
    /// Per executed node: operator, name, milliseconds in the last run.
    pub nodes: Vec<NodeReport>,
    /// Few-bit weights decoded to f32 because their operator has no few-bit kernel.
    pub decoded: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct NodeReport {
    pub op: String,
    pub name: String,
    pub ms: f64,
    /// `cpu` or `gpu`.
    pub place: &'static str,
}

impl Session {
    /// Checks the graph. Plans are built on the first run with each input shape.
    pub fn new(model: &Model, device: &Device) -> Result<Self> {
        model.graph.validate()?;
        Ok(Session { graph: model.graph.clone(), device: device.clone(), by_value: BTreeSet::new(), plans: Vec::new() })
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Runs the graph on named inputs; outputs come by name in the graph's order.
    #[cfg(all(feature = "gpu", not(target_arch = "wasm32")))]
    pub fn run(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>> {
        pollster::block_on(self.run_async(inputs))
    }

    pub async fn run_async(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>> {
        let inputs = self.order(inputs)?;
        self.plan(&inputs)?;
        let Some((_, plan)) = self.plans.last_mut() else { return Err(Error::Usage("no plan was built".into())) };
        let outputs = match &mut plan.program {
            Program::Cpu(program) => program.run(&inputs)?,
        };
        let names = self.graph.outputs.iter().map(|&id| self.graph.value(id).name.clone());
        Ok(names.zip(outputs).collect())
    }

    /// Builds the plan for these inputs without running it.
    pub fn prepare(&mut self, inputs: &[(&str, &Tensor)]) -> Result<()> {
        let inputs = self.order(inputs)?;
        self.plan(&inputs)
    }

    /// About the plan used last; `None` before the first run.
    pub fn report(&self) -> Option<Report> {
        let (_, plan) = self.plans.last()?;
        let (schedule, times) = match &plan.program {
            Program::Cpu(program) => (program.schedule(), program.times()),
        };
        let nodes = schedule.graph.nodes.iter().zip(times);
        Some(Report {
            arena_bytes: schedule.slots.iter().sum(),
            weight_bytes: schedule.graph.weights.values().map(graph::Weight::bytes).sum(),
            nodes: nodes
                .map(|(n, ms)| NodeReport { op: n.op.clone(), name: n.name.clone(), ms, place: "cpu" })
                .collect(),
            decoded: plan.decoded.clone(),
        })
    }

    /// The caller's tensors in the order of the graph's inputs, checked against their declarations.
    fn order<'a>(&self, inputs: &[(&str, &'a Tensor)]) -> Result<Vec<&'a Tensor>> {
        for (name, _) in inputs {
            if !self.graph.inputs.iter().any(|&id| self.graph.value(id).name == *name) {
                return Err(Error::Usage(format!("the model has no input `{name}`; it has {}", self.input_names())));
            }
        }
        let mut symbols: BTreeMap<&str, usize> = BTreeMap::new();
        let mut ordered = Vec::with_capacity(inputs.len());
        for &id in &self.graph.inputs {
            let value = self.graph.value(id);
            let tensor = inputs.iter().find(|(name, _)| *name == value.name).map(|(_, t)| *t).ok_or_else(|| {
                Error::Usage(format!("input `{}` is missing; the model takes {}", value.name, self.input_names()))
            })?;
            if value.dtype.is_some_and(|d| d != tensor.dtype()) {
                return Err(Error::Usage(format!(
                    "input `{}` must be {}, got {}",
                    value.name,
                    value.dtype.map_or("", |d| d.name()),
                    tensor.dtype().name()
                )));
            }
            if let Some(dims) = &value.dims {
                let fits = dims.len() == tensor.shape().len()
                    && dims.iter().zip(tensor.shape()).all(|(dim, &size)| match dim {
                        Dim::Known(d) => *d == size,
                        Dim::Symbol(s) => *symbols.entry(s).or_insert(size) == size,
                    });
                if !fits {
                    return Err(Error::Usage(format!(
                        "input `{}` must have shape {}, got {:?}",
                        value.name,
                        show_dims(dims),
                        tensor.shape()
                    )));
                }
            }
            ordered.push(tensor);
        }
        Ok(ordered)
    }

    fn input_names(&self) -> String {
        let names = self.graph.inputs.iter().map(|&id| format!("`{}`", self.graph.value(id).name));
        names.collect::<Vec<_>>().join(", ")
    }

    /// Moves the plan for these inputs to the end of `plans`, building it if it is new.
    fn plan(&mut self, inputs: &[&Tensor]) -> Result<()> {
        let types: Vec<TensorType> = inputs.iter().map(|t| t.ty().clone()).collect();
        loop {
            let index = |id: &ValueId| self.graph.inputs.iter().position(|i| i == id);
            let bound: BTreeMap<ValueId, Tensor> =
                self.by_value.iter().filter_map(|id| Some((*id, inputs[index(id)?].clone()))).collect();
            let key = Key { types: types.clone(), values: bound.values().map(|t| t.bytes().to_vec()).collect() };
            if let Some(i) = self.plans.iter().position(|(k, _)| *k == key) {
                let plan = self.plans.remove(i);
                self.plans.push(plan);
                return Ok(());
            }
            match specialize::specialize(&self.graph, &types, &bound, self.device.threads(), TENSOR_LIMIT)? {
                Outcome::Needs(more) => self.by_value.extend(more),
                Outcome::Done(typed) => {
                    let plan = self.build(typed)?;
                    if self.plans.len() >= PLANS {
                        self.plans.remove(0);
                    }
                    self.plans.push((key, plan));
                    return Ok(());
                }
            }
        }
    }

    fn build(&self, mut typed: TypedGraph) -> Result<Plan> {
        graph::fuse::fuse(&mut typed);
        typed.prune();
        match &self.device {
            Device::Cpu(threads) => {
                let accepts = |op: &str, i: usize| cpu::find(op).is_some_and(|k| k.encoded_inputs.contains(&i));
                let decoded = specialize::densify(&mut typed, accepts)?;
                let schedule = Arc::new(bounded(graph::plan::schedule(typed, TensorType::bytes))?);
                Ok(Plan { program: Program::Cpu(cpu::Program::build(schedule, threads)?), decoded })
            }
            #[cfg(feature = "gpu")]
            Device::Gpu(..) => Err(Error::Unsupported("GPU sessions".into())),
        }
    }
}

/// Refuses a plan whose arena exceeds the memory limit.
fn bounded(schedule: Schedule) -> Result<Schedule> {
    let bytes = schedule.slots.iter().fold(0usize, |sum, &b| sum.saturating_add(b));
    if bytes > 2 * TENSOR_LIMIT.min(usize::MAX / 2) {
        return Err(Error::OutOfMemory(format!("the activations need {} MiB", bytes >> 20)));
    }
    Ok(schedule)
}

fn show_dims(dims: &[Dim]) -> String {
    let dims = dims.iter().map(|d| match d {
        Dim::Known(n) => n.to_string(),
        Dim::Symbol(s) => s.clone(),
    });
    format!("[{}]", dims.collect::<Vec<_>>().join(", "))
}
