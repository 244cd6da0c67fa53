//! A specialised graph built for one device.

use std::sync::Arc;

use super::specialize;
use super::{Activations, Device};
use crate::cpu::{self, Packs, Threads};
#[cfg(feature = "gpu")]
use crate::gpu::{self, GpuDevice, WeightCache};
use crate::graph::{self, Attr, Schedule, TypedGraph, Weight};
#[cfg(feature = "full")]
use crate::ops::cached_attention::KvKind;
use crate::tensor::{Tensor, TensorType};
use crate::{Error, Result};

pub struct Plan {
    program: Program,
    #[cfg(feature = "full")]
    macs: u64,
    /// Of its blocks, where tokens are reduced.
    #[cfg(feature = "full")]
    tokens: Option<super::tokens::Sizes>,
    /// Its runs that were started and not waited for.
    #[cfg(all(feature = "gpu", feature = "full"))]
    chain: gpu::Chain,
    /// The self-check has passed its operators.
    proved: bool,
    decoded: Vec<String>,
}

enum Program {
    Cpu(cpu::Program),
    #[cfg(feature = "gpu")]
    Gpu(Box<gpu::Program>),
}

/// What a session's plans share: packed weights, and weights in GPU memory.
#[derive(Default)]
pub struct Shared {
    packs: Packs,
    #[cfg(feature = "gpu")]
    weights: WeightCache,
}

/// What a session was asked for beside its graph.
pub struct Wishes {
    /// Of few-bit linear layers that do not say it themselves.
    pub activations: Activations,
    /// Bytes that one tensor, or the arena, may take.
    pub memory_limit: usize,
    /// Which tokens of a vision transformer are pruned or merged.
    #[cfg(feature = "full")]
    pub tokens: Option<super::Tokens>,
}

#[cfg(feature = "full")]
impl Shared {
    /// With room for keys and values of this kind.
    pub fn keeping(kind: KvKind) -> Self {
        Shared {
            packs: Packs::keeping(kind),
            #[cfg(feature = "gpu")]
            weights: WeightCache::keeping(kind),
        }
    }

    /// Lets go of what was made of weights that nobody has any more.
    pub fn sweep(&self) {
        #[cfg(feature = "gpu")]
        self.weights.sweep();
    }

    /// Makes room for the keys and values of so many sequences, and tokens of each, on a GPU; elsewhere it grows by itself.
    /// True if plans must be built anew for it.
    #[cfg_attr(not(feature = "gpu"), allow(unused_variables))]
    pub fn reserve(&self, device: &Device, room: [usize; 2]) -> Result<bool> {
        match device {
            Device::Cpu(_) => Ok(false),
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu, _) => self.weights.caches.reserve(gpu, room),
        }
    }

    /// Keys and values of sequence i are from now on those of `order[i]`, for which there is room.
    pub fn reorder(&self, device: &Device, order: &[usize]) -> Result<()> {
        match device {
            Device::Cpu(_) => self.packs.caches.reorder(order),
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu, _) => {
                self.weights.packs().caches.reorder(order)?;
                self.weights.caches.reorder(gpu, order)
            }
        }
    }
}

/// What a plan costs and where it runs.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Sum of the arena's slots: peak activation memory.
    pub arena_bytes: usize,
    /// Bytes of the weights as the plan holds them.
    pub weight_bytes: usize,
    /// Multiply–accumulate operations of a run: products, convolutions and attention.
    #[cfg(feature = "full")]
    pub macs: u64,
    /// What there are without the reduction that was asked for.
    #[cfg(feature = "full")]
    pub tokens: Option<super::tokens::Sizes>,
    /// The executed nodes in order.
    pub nodes: Vec<NodeReport>,
    /// Few-bit weights decoded to f32 because their operator has no few-bit kernel.
    pub decoded: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct NodeReport {
    pub op: String,
    pub name: String,
    /// Duration in the last run; on a GPU in the last profiled one, 0 without.
    pub ms: f64,
    /// `cpu`, `gpu`, or why the node of a GPU session runs on the CPU.
    pub place: String,
}

#[cfg(feature = "audio")]
impl Report {
    /// Of two plans that are held side by side.
    pub fn and(mut self, other: Report) -> Report {
        self.arena_bytes += other.arena_bytes;
        self.weight_bytes += other.weight_bytes;
        self.macs += other.macs;
        self.nodes.extend(other.nodes);
        self.decoded.extend(other.decoded);
        self
    }
}

impl Plan {
    /// Fuses, decodes what has no few-bit kernel, lays out memory and builds the backend's program.
    pub fn build(mut typed: TypedGraph, device: &Device, shared: &Shared, wishes: &Wishes) -> Result<Self> {
        let limit = wishes.memory_limit;
        graph::fuse::fuse(&mut typed);
        #[cfg(feature = "full")]
        let tokens = wishes.tokens.as_ref().map(|wish| super::tokens::reduce(&mut typed, wish)).transpose()?;
        typed.prune();
        #[cfg(feature = "full")]
        let macs = typed.macs();
        #[cfg(feature = "full")]
        graph::fuse::gate(&mut typed);
        let on_cpu = |op: &str, i: usize| cpu::find(op).is_some_and(|k| k.encoded_inputs.contains(&i));
        if wishes.activations == Activations::Int8 {
            round_activations(&mut typed);
        }
        #[cfg_attr(not(feature = "full"), allow(unused_mut))]
        let mut plan = match device {
            Device::Cpu(threads) => {
                cpu::layout::channels_last(&mut typed);
                let decoded = specialize::densify(&mut typed, on_cpu)?;
                let schedule = bounded(graph::plan::schedule(typed, TensorType::bytes), limit)?;
                Plan::of(cpu_program(schedule, threads, shared)?, true, decoded)
            }
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu, threads) => {
                let decoded = specialize::densify(&mut typed, |op, i| {
                    on_cpu(op, i) && gpu::find(op).is_none_or(|k| k.encoded_inputs.contains(&i))
                })?;
                let schedule = bounded(graph::plan::schedule(typed, gpu::storage_bytes), limit)?;
                Plan::of(gpu_program(schedule, gpu, shared, threads)?, false, decoded)
            }
        };
        #[cfg(feature = "full")]
        ((plan.macs, plan.tokens) = (macs, tokens));
        Ok(plan)
    }

    fn of(program: Program, proved: bool, decoded: Vec<String>) -> Self {
        Plan {
            program,
            #[cfg(feature = "full")]
            macs: 0,
            #[cfg(feature = "full")]
            tokens: None,
            #[cfg(all(feature = "gpu", feature = "full"))]
            chain: gpu::Chain::default(),
            proved,
            decoded,
        }
    }

    /// Compares the GPU's operators with the CPU, each once per device. False if one failed: it is switched off, and the
    /// plan is to be built anew without it.
    pub async fn prove(&mut self) -> Result<bool> {
        #[cfg(feature = "gpu")]
        if let (false, Program::Gpu(program)) = (self.proved, &self.program) {
            self.proved = gpu::selfcheck::prove(program.device(), &program.operators()).await?;
        }
        Ok(self.proved)
    }

    /// `inputs` in the order of the graph's inputs, of the plan's types.
    pub async fn run(&mut self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        match &mut self.program {
            Program::Cpu(program) => program.run(inputs).await,
            #[cfg(feature = "gpu")]
            Program::Gpu(program) => program.run(inputs).await,
        }
    }

    /// Starts a run on a GPU: see `gpu::Chain`. `None` on a CPU.
    #[cfg(all(feature = "gpu", feature = "full"))]
    pub async fn start(&mut self, inputs: &[&Tensor], input: usize, goes_on: bool) -> Result<Option<gpu::Started>> {
        match &mut self.program {
            Program::Cpu(_) => Ok(None),
            Program::Gpu(program) => self.chain.start(program, inputs, input, goes_on).await,
        }
    }

    /// Whether later runs measure every node. The CPU always does; a GPU needs timestamps, `Unsupported` without.
    #[cfg_attr(not(feature = "gpu"), allow(unused_variables))]
    pub fn set_profiling(&mut self, on: bool) -> Result<()> {
        match &mut self.program {
            Program::Cpu(_) => Ok(()),
            #[cfg(feature = "gpu")]
            Program::Gpu(program) => program.set_profiling(on),
        }
    }

    /// What kernels with a choice took, and how long that lasted in the last profiled run, in milliseconds.
    #[cfg(feature = "gpu")]
    pub fn choices(&self) -> Vec<(gpu::Choice, f64)> {
        match &self.program {
            Program::Cpu(_) => Vec::new(),
            Program::Gpu(program) => {
                let measured = program.choices().iter().zip(program.times());
                measured.filter_map(|(choice, &ms)| Some((choice.clone()?, ms))).collect()
            }
        }
    }

    /// What kernels with a choice took, a line each.
    pub fn choices_text(&self) -> String {
        match &self.program {
            Program::Cpu(_) => String::new(),
            #[cfg(feature = "gpu")]
            Program::Gpu(program) => program.choices().iter().flatten().map(|choice| format!("{choice}\n")).collect(),
        }
    }

    pub fn report(&self) -> Report {
        let (schedule, places): (&Schedule, Vec<(f64, String)>) = match &self.program {
            Program::Cpu(program) => {
                (program.schedule(), program.times().into_iter().map(|ms| (ms, "cpu".into())).collect())
            }
            #[cfg(feature = "gpu")]
            Program::Gpu(program) => {
                let place = |p| match p {
                    gpu::program::Placement::Gpu(_) => "gpu".into(),
                    gpu::program::Placement::Host(why) => why,
                };
                let places = program.placement().into_iter().map(place);
                (program.schedule(), program.times().iter().copied().zip(places).collect())
            }
        };
        let nodes = schedule.graph.nodes.iter().zip(places);
        Report {
            arena_bytes: schedule.slots.iter().sum(),
            weight_bytes: schedule.graph.weights.values().map(Weight::bytes).sum(),
            #[cfg(feature = "full")]
            macs: self.macs,
            #[cfg(feature = "full")]
            tokens: self.tokens,
            nodes: nodes
                .map(|(n, (ms, place))| NodeReport { op: n.op.clone(), name: n.name.clone(), ms, place })
                .collect(),
            decoded: self.decoded.clone(),
        }
    }
}

fn cpu_program(schedule: Schedule, threads: &Threads, shared: &Shared) -> Result<Program> {
    Ok(Program::Cpu(cpu::Program::build(Arc::new(schedule), threads, &shared.packs)?))
}

#[cfg(feature = "gpu")]
fn gpu_program(schedule: Schedule, gpu: &Arc<GpuDevice>, shared: &Shared, threads: &Threads) -> Result<Program> {
    let program = gpu::Program::build(gpu.clone(), Arc::new(schedule), &shared.weights, threads)?;
    Ok(Program::Gpu(Box::new(program)))
}

/// Products that say nothing else take activations of 8 bits.
fn round_activations(typed: &mut TypedGraph) {
    for node in typed.graph.nodes.iter_mut().filter(|node| node.op == "fewbit.Linear") {
        if node.attrs.get("activations").is_none() {
            node.attrs.set("activations", Attr::String("int8".into()));
        }
    }
}

/// Refuses a plan whose arena exceeds the memory limit.
fn bounded(schedule: Schedule, limit: usize) -> Result<Schedule> {
    let bytes = schedule.slots.iter().fold(0usize, |sum, &b| sum.saturating_add(b));
    if bytes > limit {
        return Err(Error::OutOfMemory(format!(
            "the activations need {} MiB, the limit is {} MiB; use smaller inputs",
            bytes >> 20,
            limit >> 20
        )));
    }
    Ok(schedule)
}
