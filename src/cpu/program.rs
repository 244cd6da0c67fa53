//! Executes a schedule on the CPU: one kernel per node over an arena of reused buffers.

use std::sync::Arc;

use super::packs::Packs;
use super::{Arg, Call, Kernel, Prepare, Prepared, Threads, find};
use crate::clock::{breathe, now_ms};
use crate::graph::{Node, Place, Schedule, ValueId, Weight};
use crate::tensor::{Tensor, TensorType, View, ViewMut};
use crate::{Error, Result};

/// How long a browser's thread computes before it looks for messages: an abort waits this long, and a step.
const BREATH_MS: f64 = 12.0;

pub struct Program {
    schedule: Arc<Schedule>,
    steps: Vec<Step>,
    /// One buffer per slot. Words, so that every element type is aligned.
    arena: Vec<Vec<u64>>,
    threads: Threads,
}

struct Step {
    kernel: &'static Kernel,
    prepared: Option<Prepared>,
    /// Duration of the last execution.
    ms: f64,
}

impl Program {
    /// Finds the kernels and does their preparation. `packs` is shared by a session's programs.
    pub fn build(schedule: Arc<Schedule>, threads: &Threads, packs: &Packs) -> Result<Self> {
        let steps = schedule.graph.nodes.iter().map(|node| {
            let kernel = find(&node.op).ok_or_else(|| Error::UnknownOperator(node.op.clone()))?;
            Ok(Step { kernel, prepared: prepare(kernel, node, &schedule, threads, packs)?, ms: 0.0 })
        });
        let steps = steps.collect::<Result<_>>()?;
        let arena = schedule.slots.iter().map(|&bytes| vec![0u64; bytes.div_ceil(8)]).collect();
        Ok(Program { schedule, steps, arena, threads: threads.clone() })
    }

    /// `inputs` in the order of `graph.inputs`, of the schedule's types; outputs in the order of `graph.outputs`.
    pub async fn run(&mut self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let (schedule, threads) = (self.schedule.clone(), self.threads.clone());
        let mut next = threads.install(|| self.run_from(0, inputs))?;
        while next < schedule.graph.nodes.len() {
            breathe().await?;
            next = threads.install(|| self.run_from(next, inputs))?;
        }
        schedule.graph.outputs.iter().map(|&id| read(&schedule, &self.arena, inputs, id)?.to_tensor()).collect()
    }

    /// Runs the nodes from `first` on until it is time to breathe; which node comes next.
    fn run_from(&mut self, first: usize, inputs: &[&Tensor]) -> Result<usize> {
        let nodes = self.schedule.graph.nodes.iter().zip(&mut self.steps).enumerate().skip(first);
        let began = now_ms();
        for (i, (node, step)) in nodes {
            let start = now_ms();
            run_step(&self.schedule, node, step, &mut self.arena, inputs, &self.threads)?;
            let end = now_ms();
            step.ms = end - start;
            if end - began >= BREATH_MS {
                return Ok(i + 1);
            }
        }
        Ok(self.schedule.graph.nodes.len())
    }

    /// Milliseconds of each node in the last run.
    pub fn times(&self) -> Vec<f64> {
        self.steps.iter().map(|s| s.ms).collect()
    }

    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }
}

/// Runs the preparation of a kernel on the weights among a node's inputs.
pub fn prepare(
    kernel: &Kernel,
    node: &Node,
    schedule: &Schedule,
    threads: &Threads,
    packs: &Packs,
) -> Result<Option<Prepared>> {
    let Some(prepare) = kernel.prepare else { return Ok(None) };
    let types: Vec<_> = node.inputs.iter().map(|id| id.and_then(|id| schedule.ty(id).cloned())).collect();
    // A view of a weight has the weight's bytes under its own shape.
    let views: Vec<Option<Weight>> = node
        .inputs
        .iter()
        .map(|id| match (id.map(|id| schedule.place(id)), id.and_then(|id| schedule.ty(id))) {
            (Some(Place::Weight(root)), Some(ty)) => match schedule.graph.weights.get(&root) {
                Some(Weight::Dense(t)) => t.reshaped(ty.shape.clone()).ok().map(Weight::Dense),
                other => other.cloned(),
            },
            _ => None,
        })
        .collect();
    let weights: Vec<_> = views.iter().map(Option::as_ref).collect();
    prepare(&Prepare { node, types: &types, weights: &weights, threads, packs })
}

fn run_step(
    schedule: &Schedule,
    node: &Node,
    step: &Step,
    arena: &mut [Vec<u64>],
    inputs: &[&Tensor],
    threads: &Threads,
) -> Result<()> {
    // Outputs never share a slot with a live value: take their buffers out, so that inputs can be borrowed.
    let slot_of = |id: &Option<ValueId>| match id.map(|id| schedule.place(id)) {
        Some(Place::Slot(slot)) => Some(slot),
        _ => None,
    };
    let mut buffers: Vec<(Option<usize>, Vec<u64>)> = Vec::with_capacity(node.outputs.len());
    for id in &node.outputs {
        let slot = slot_of(id);
        buffers.push((slot, slot.map(|s| std::mem::take(&mut arena[s])).unwrap_or_default()));
    }
    let result = call(schedule, node, step, arena, inputs, &mut buffers, threads);
    for (slot, buffer) in buffers {
        if let Some(slot) = slot {
            arena[slot] = buffer;
        }
    }
    result
}

fn call(
    schedule: &Schedule,
    node: &Node,
    step: &Step,
    arena: &[Vec<u64>],
    inputs: &[&Tensor],
    buffers: &mut [(Option<usize>, Vec<u64>)],
    threads: &Threads,
) -> Result<()> {
    let mut args = Vec::with_capacity(node.inputs.len());
    for id in &node.inputs {
        args.push(match id {
            None => None,
            Some(id) => Some(argument(schedule, arena, inputs, *id)?),
        });
    }
    let empty = TensorType::new(crate::tensor::DType::F32, vec![0]);
    let mut outputs = Vec::with_capacity(buffers.len());
    for (id, (_, buffer)) in node.outputs.iter().zip(buffers) {
        let ty = id.and_then(|id| schedule.ty(id)).unwrap_or(&empty);
        let bytes = bytemuck::cast_slice_mut::<u64, u8>(buffer);
        let bytes = bytes.get_mut(..ty.bytes()).ok_or_else(|| node.error("its output's slot is too small"))?;
        outputs.push(ViewMut { dtype: ty.dtype, shape: &ty.shape, bytes });
    }
    (step.kernel.run)(&mut Call {
        node,
        inputs: &args,
        outputs: &mut outputs,
        prepared: step.prepared.as_ref(),
        threads,
    })
}

fn argument<'a>(schedule: &'a Schedule, arena: &'a [Vec<u64>], inputs: &[&'a Tensor], id: ValueId) -> Result<Arg<'a>> {
    if let Place::Weight(root) = schedule.place(id)
        && let Some(Weight::Encoded(encoded)) = schedule.graph.weights.get(&root)
    {
        return Ok(Arg::Encoded(encoded));
    }
    read(schedule, arena, inputs, id).map(Arg::Dense)
}

/// The bytes of a value, under its own type.
fn read<'a>(schedule: &'a Schedule, arena: &'a [Vec<u64>], inputs: &[&'a Tensor], id: ValueId) -> Result<View<'a>> {
    let lost = || Error::Usage(format!("value `{}` has no storage", schedule.graph.value(id).name));
    let ty = schedule.ty(id).ok_or_else(lost)?;
    let bytes: &[u8] = match schedule.place(id) {
        Place::Slot(slot) => bytemuck::cast_slice(&arena[slot]),
        Place::Input(i) => inputs.get(i).ok_or_else(lost)?.bytes(),
        Place::Weight(root) => match schedule.graph.weights.get(&root) {
            Some(Weight::Dense(tensor)) => tensor.bytes(),
            _ => return Err(lost()),
        },
        Place::None => return Err(lost()),
    };
    Ok(View { dtype: ty.dtype, shape: &ty.shape, bytes: bytes.get(..ty.bytes()).ok_or_else(lost)? })
}
