//! A model on a device, ready to run. Plans are built per input shape and kept.

use std::collections::BTreeMap;

use super::goal::Goal;
use super::plan::{Plan, Report, Shared, Wishes};
use super::served::{Key, Served};
use super::specialize::{self, Outcome};
use super::{Activations, Device};
#[cfg(feature = "full")]
use crate::graph::TypedGraph;
use crate::graph::{Dim, Graph, Model, ValueId};
#[cfg(feature = "full")]
use crate::ops::cached_attention::KvKind;
use crate::tensor::{Tensor, TensorType};
#[cfg(any(feature = "cli", feature = "full"))]
use crate::weights::elastic::Precision;
use crate::{Error, Result};

/// Plans kept per session: input shapes beyond these push out the oldest.
const PLANS: usize = 16;

/// Bytes that one tensor, or the arena of a plan, may take unless `set_memory_limit` says otherwise.
const MEMORY_LIMIT: usize = if cfg!(target_pointer_width = "32") { 1 << 30 } else { 8 << 30 };

pub struct Session {
    served: Served,
    /// The graph that the session was made with, while it runs another.
    #[cfg(feature = "full")]
    base: Option<Box<Served>>,
    /// Of elastic weights, if it was set.
    #[cfg(any(feature = "cli", feature = "full"))]
    precision: Option<Precision>,
    device: Device,
    wishes: Wishes,
    shared: Shared,
}

impl Session {
    /// Checks the graph. Plans are built on the first run with each input shape.
    pub fn new(model: &Model, device: &Device) -> Result<Self> {
        Ok(Session {
            served: Served::new(&model.graph)?,
            #[cfg(feature = "full")]
            base: None,
            #[cfg(any(feature = "cli", feature = "full"))]
            precision: None,
            device: device.clone(),
            wishes: Wishes {
                activations: Activations::default(),
                memory_limit: MEMORY_LIMIT,
                #[cfg(feature = "full")]
                tokens: None,
            },
            shared: Shared::default(),
        })
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    pub fn graph(&self) -> &Graph {
        &self.served.graph
    }

    /// Bounds each tensor and the arena of plans built from now on; beyond it a run fails with `Error::OutOfMemory`.
    pub fn set_memory_limit(&mut self, bytes: usize) {
        self.wishes.memory_limit = bytes;
    }

    /// Serves weights of elastic precision in another form, made from what the session holds; without this, in their
    /// finest. Plans are built anew. `Error::Usage` for a model without such weights.
    #[cfg(any(feature = "cli", feature = "full"))]
    pub fn set_precision(&mut self, precision: Precision) -> Result<()> {
        if !self.every_graph().any(|served| served.masters.any()) {
            return Err(Error::Usage(format!("precision {precision}: the model has no elastic weights")));
        }
        self.every_graph().try_for_each(|served| served.masters.serve(&mut served.graph, precision))?;
        self.precision = Some(precision);
        self.clear_plans();
        self.shared = self.fresh();
        Ok(())
    }

    /// Which activations few-bit linear layers take that do not say it themselves; without this, f32. Int8 is faster and
    /// off by at most 1/254 of the largest of up to 128 inputs; a device without kernels for it computes in f32, and
    /// so does a software GPU unless tuning finds integers faster. Plans are built anew.
    pub fn set_activations(&mut self, activations: Activations) {
        self.wishes.activations = activations;
        self.clear_plans();
    }

    /// Which tokens of a vision transformer are pruned or merged, `None` for none, as at first. Plans are built anew; a model
    /// that it does not suit fails then, with `Error::Usage`.
    #[cfg(feature = "full")]
    pub fn set_tokens(&mut self, tokens: Option<super::Tokens>) {
        self.wishes.tokens = tokens;
        self.clear_plans();
    }

    /// How attention keeps keys and values between runs; without this, in half precision. What is kept is forgotten.
    #[cfg(feature = "full")]
    pub fn set_kv(&mut self, kind: KvKind) {
        self.every_graph().for_each(|served| served.kept.kind = kind);
        self.clear_plans();
        self.shared = self.fresh();
    }

    /// What attention keeps for sequence i of the next run's batch is from now on what it kept for sequence `order[i]`: of
    /// one that goes on in several ways, or that ends, the number occurs several times, or never. Fails for numbers of
    /// sequences that there are not.
    #[cfg(feature = "full")]
    pub fn reorder_caches(&mut self, order: &[usize]) -> Result<()> {
        self.make_room([order.len(), 0])?;
        self.shared.reorder(&self.device, order)
    }

    /// How many tokens of each sequence will be kept after a run on these inputs.
    #[cfg(feature = "full")]
    pub(super) fn kept_tokens(&self, inputs: &[&Tensor]) -> Result<usize> {
        self.served.kept.tokens(&self.served.graph, inputs)
    }

    /// For the keys and values of so many sequences, and tokens of each.
    #[cfg(feature = "full")]
    pub(super) fn make_room(&mut self, room: [usize; 2]) -> Result<()> {
        if self.shared.reserve(&self.device, room)? {
            self.clear_plans();
        }
        Ok(())
    }

    fn clear_plans(&mut self) {
        self.every_graph().for_each(|served| served.plans.clear());
    }

    /// What runs, and what waits for `revert`.
    #[cfg(feature = "full")]
    fn every_graph(&mut self) -> impl Iterator<Item = &mut Served> {
        std::iter::once(&mut self.served).chain(self.base.as_deref_mut())
    }

    #[cfg(not(feature = "full"))]
    fn every_graph(&mut self) -> impl Iterator<Item = &mut Served> {
        std::iter::once(&mut self.served)
    }

    #[cfg(feature = "full")]
    fn fresh(&self) -> Shared {
        Shared::keeping(self.served.kept.kind)
    }

    #[cfg(not(feature = "full"))]
    fn fresh(&self) -> Shared {
        Shared::default()
    }

    /// Runs another graph with the same inputs and outputs from now on, e.g. the model's with deltas. Weights that it shares
    /// with the model's own graph are not packed or uploaded again, and that graph's plans stay for `revert`: beside it one
    /// other graph is held. What attention kept comes from other weights: begin anew at position 0.
    /// `Error::Usage` for other inputs or outputs.
    #[cfg(feature = "full")]
    pub fn swap(&mut self, graph: &Graph) -> Result<()> {
        let mut served = Served::new(graph)?;
        if !self.served.graph.has_face_of(graph) {
            return Err(Error::Usage("a graph in the place of another needs the same inputs and outputs".into()));
        }
        if let Some(precision) = self.precision {
            served.masters.serve(&mut served.graph, precision)?;
        }
        served.kept.kind = self.served.kept.kind;
        let before = std::mem::replace(&mut self.served, served);
        self.base.get_or_insert_with(|| Box::new(before));
        self.shared.sweep();
        Ok(())
    }

    /// Runs the graph that the session was made with again, after `swap`: with the weights and plans that it had.
    #[cfg(feature = "full")]
    pub fn revert(&mut self) {
        if let Some(base) = self.base.take() {
            self.served = *base;
            self.shared.sweep();
        }
    }

    /// Runs the graph on named inputs; outputs come by name in the graph's order.
    #[cfg(all(any(feature = "cli", feature = "gpu"), not(target_arch = "wasm32")))]
    pub fn run(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>> {
        pollster::block_on(self.run_async(inputs))
    }

    /// Like `run`. A lost GPU is opened anew and the run repeated once.
    pub async fn run_async(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>> {
        let inputs = self.order(inputs)?;
        let outputs = match self.attempt(&inputs).await {
            Err(Error::Device(_)) if self.device.is_lost() => {
                self.clear_plans();
                self.shared = self.fresh();
                self.device = self.device.reopen().await?;
                #[cfg(feature = "full")]
                if self.served.kept.any() {
                    return Err(Error::Device(
                        "lost and opened anew, but what attention kept is gone; begin anew".into(),
                    ));
                }
                self.attempt(&inputs).await?
            }
            other => other?,
        };
        let names = self.served.graph.outputs.iter().map(|&id| self.served.graph.value(id).name.clone());
        #[cfg(feature = "full")]
        let names = {
            let map = self.wishes.tokens.as_ref().is_some_and(|tokens| tokens.map);
            names.chain(map.then(|| super::TOKEN_MAP.to_string()))
        };
        Ok(names.zip(outputs).collect())
    }

    /// One run that measures every node, for `report`. It is slower than others on a GPU, which needs timestamps for it
    /// (`Unsupported` without).
    pub async fn profile_async(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Report> {
        self.profiled(inputs, Plan::report).await
    }

    /// A measured run, of which `about` tells.
    pub(super) async fn profiled<T>(&mut self, inputs: &[(&str, &Tensor)], about: fn(&Plan) -> T) -> Result<T> {
        let inputs = self.order(inputs)?;
        let plan = self.proved(&inputs, Goal::Outputs).await?;
        plan.set_profiling(true)?;
        let ran = plan.run(&inputs).await;
        let told = about(plan);
        plan.set_profiling(false)?;
        ran.map(|_| told)
    }

    /// Builds plans anew, with what the device has chosen since; weights on the device stay.
    #[cfg(feature = "gpu")]
    pub fn forget_plans(&mut self) {
        self.clear_plans();
    }

    #[cfg(all(any(feature = "cli", feature = "gpu"), not(target_arch = "wasm32")))]
    pub fn profile(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Report> {
        pollster::block_on(self.profile_async(inputs))
    }

    async fn attempt(&mut self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        #[cfg(feature = "full")]
        self.make_room([1, self.kept_tokens(inputs)?])?;
        self.proved(inputs, Goal::Outputs).await?.run(inputs).await
    }

    /// The plan for these inputs, without operators that this GPU computes wrongly.
    pub(super) async fn proved(&mut self, inputs: &[&Tensor], goal: Goal) -> Result<&mut Plan> {
        if !self.plan(inputs, goal)?.prove().await? {
            self.clear_plans();
        }
        self.plan(inputs, goal)
    }

    /// Builds the plan for these inputs without running it.
    pub fn prepare(&mut self, inputs: &[(&str, &Tensor)]) -> Result<()> {
        let inputs = self.order(inputs)?;
        self.plan(&inputs, Goal::Outputs).map(|_| ())
    }

    /// About the plan used last; `None` before the first run.
    pub fn report(&self) -> Option<Report> {
        self.served.plans.last().map(|(_, plan)| plan.report())
    }

    /// Which variants the kernels took in the plan used last, those that have several: a line each, as
    /// `Choices::read` takes them.
    pub fn choices(&self) -> String {
        self.served.plans.last().map_or_else(String::new, |(_, plan)| plan.choices_text())
    }

    /// The caller's tensors in the order of the graph's inputs, checked against their declarations.
    pub(super) fn order<'a>(&self, inputs: &[(&str, &'a Tensor)]) -> Result<Vec<&'a Tensor>> {
        for (name, _) in inputs {
            if !self.served.graph.inputs.iter().any(|&id| self.served.graph.value(id).name == *name) {
                return Err(Error::Usage(format!("the model has no input `{name}`; it has {}", self.input_names())));
            }
        }
        let mut symbols: BTreeMap<&str, usize> = BTreeMap::new();
        let mut ordered = Vec::with_capacity(inputs.len());
        for &id in &self.served.graph.inputs {
            let value = self.served.graph.value(id);
            let tensor = inputs.iter().find(|(name, _)| *name == value.name).map(|(_, t)| *t).ok_or_else(|| {
                Error::Usage(format!("input `{}` is missing; the model takes {}", value.name, self.input_names()))
            })?;
            if let Some(dtype) = value.dtype
                && dtype != tensor.dtype()
            {
                let (want, got) = (dtype.name(), tensor.dtype().name());
                return Err(Error::Usage(format!("input `{}` must be {want}, got {got}", value.name)));
            }
            if let Some(dims) = &value.dims
                && !fits(dims, tensor.shape(), &mut symbols)
            {
                return Err(Error::Usage(format!(
                    "input `{}` must have shape {}, got {:?}",
                    value.name,
                    show_dims(dims),
                    tensor.shape()
                )));
            }
            ordered.push(tensor);
        }
        Ok(ordered)
    }

    fn input_names(&self) -> String {
        let names = self.served.graph.inputs.iter().map(|&id| format!("`{}`", self.served.graph.value(id).name));
        names.collect::<Vec<_>>().join(", ")
    }

    /// Computes a graph in half precision in f32 from now on, if all its outputs stay what they are. True if it changed.
    #[cfg(feature = "full")]
    fn widens(&mut self, typed: &TypedGraph, inputs: &[TensorType], bound: &BTreeMap<ValueId, Tensor>) -> Result<bool> {
        if std::mem::replace(&mut self.served.widened, true) {
            return Ok(false);
        }
        let Some(graph) = super::halves::widened(&self.served.graph, typed)? else { return Ok(false) };
        let outputs =
            |typed: &TypedGraph| typed.graph.outputs.iter().map(|&id| typed.ty(id).cloned()).collect::<Vec<_>>();
        let wide = specialize::specialize(&graph, inputs, bound, self.device.threads(), self.wishes.memory_limit);
        let fits = matches!(wide, Ok(Outcome::Done(wide)) if outputs(&wide) == outputs(typed));
        if fits {
            self.served.graph = graph;
        }
        Ok(fits)
    }

    /// The plan for these inputs, which becomes the last of `plans`.
    fn plan(&mut self, inputs: &[&Tensor], goal: Goal) -> Result<&mut Plan> {
        let types: Vec<TensorType> = inputs.iter().map(|t| t.ty().clone()).collect();
        let (key, plan) = loop {
            let index = |id: &ValueId| self.served.graph.inputs.iter().position(|i| i == id);
            let mut bound: BTreeMap<ValueId, Tensor> = BTreeMap::new();
            bound.extend(self.served.by_value.iter().filter_map(|id| Some((*id, inputs[index(id)?].clone()))));
            let values = bound.values().map(|t| t.bytes().to_vec()).collect();
            let key = Key { types: types.clone(), values, goal };
            if let Some(i) = self.served.plans.iter().position(|(k, _)| *k == key) {
                break self.served.plans.remove(i);
            }
            let threads = self.device.threads();
            match specialize::specialize(
                &goal.of(&self.served.graph),
                &types,
                &bound,
                threads,
                self.wishes.memory_limit,
            )? {
                Outcome::Needs(more) => self.served.by_value.extend(more),
                #[cfg(feature = "full")]
                Outcome::Done(typed) if goal == Goal::Outputs && self.widens(&typed, &types, &bound)? => {}
                Outcome::Done(typed) => {
                    #[cfg(feature = "full")]
                    self.make_room([super::kept::Kept::sequences(&typed), 0])?;
                    break (key, Plan::build(typed, &self.device, &self.shared, &self.wishes)?);
                }
            }
        };
        if self.served.plans.len() >= PLANS {
            self.served.plans.remove(0);
        }
        Ok(&mut self.served.plans.push_mut((key, plan)).1)
    }
}

/// Whether a shape matches its declaration; equal symbols must have equal sizes.
fn fits<'a>(dims: &'a [Dim], shape: &[usize], symbols: &mut BTreeMap<&'a str, usize>) -> bool {
    dims.len() == shape.len()
        && dims.iter().zip(shape).all(|(dim, &size)| match dim {
            Dim::Known(d) => *d == size,
            Dim::Symbol(s) => *symbols.entry(s).or_insert(size) == size,
        })
}

fn show_dims(dims: &[Dim]) -> String {
    let dims = dims.iter().map(|d| match d {
        Dim::Known(n) => n.to_string(),
        Dim::Symbol(s) => s.clone(),
    });
    format!("[{}]", dims.collect::<Vec<_>>().join(", "))
}
