//! A schedule as GPU work: pipelines, bind groups and buffers are made once; a run is one submission, split only by
//! nodes that the GPU cannot compute.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::choices::Choice;
use super::device::GpuDevice;
#[cfg(feature = "full")]
use super::emit::CacheUse;
use super::emit::{Buffers, Emit, Emitted, Recorded};
use super::families;
#[cfg(feature = "full")]
use super::faults::Faults;
use super::host_step::HostStep;
use super::profile::Timer;
use super::readback::Staging;
use super::storage::{self, is_computable, payload_bytes};
use super::weights::WeightCache;
use crate::clock::now_ms;
use crate::cpu::Threads;
#[cfg(feature = "full")]
use crate::graph::Node;
use crate::graph::{Place, Schedule, Weight};
#[cfg(feature = "full")]
use crate::ops::{cached_attention, tokens::NOT_FINITE};
use crate::tensor::Tensor;
#[cfg(feature = "full")]
use crate::tensor::TensorType;
use crate::{Error, Result};

pub struct Program {
    device: Arc<GpuDevice>,
    schedule: Arc<Schedule>,
    threads: Threads,
    buffers: Buffers,
    /// One per node.
    steps: Vec<Step>,
    staging: Staging,
    /// Present while profiling.
    timer: Option<Timer>,
    /// Milliseconds of each node in the last profiled run.
    times: Vec<f64>,
    /// Per node: which variant it took, if its kernel had a choice.
    choices: Vec<Option<Choice>>,
    /// What its nodes keep between runs.
    #[cfg(feature = "full")]
    caches: Vec<CacheUse>,
    /// What each input's buffer holds: large inputs that are given again are not uploaded again.
    #[cfg(feature = "full")]
    held: Vec<Option<Tensor>>,
}

/// Inputs of fewer bytes are uploaded without looking.
#[cfg(feature = "full")]
const LARGE_INPUT: usize = 1 << 16;

enum Step {
    Gpu(Vec<Dispatch>),
    Host { step: Box<HostStep>, why: String },
}

struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    groups: [u32; 3],
    shader: &'static str,
}

/// Where a node runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Placement {
    /// The shaders it dispatches.
    Gpu(Vec<&'static str>),
    /// On the CPU, with the reason.
    Host(String),
}

impl Program {
    /// Records every node's dispatches. Slots of `schedule` are in `storage_bytes`; `weights` is shared by a session's
    /// programs.
    pub fn build(
        device: Arc<GpuDevice>,
        schedule: Arc<Schedule>,
        weights: &WeightCache,
        threads: &Threads,
    ) -> Result<Self> {
        device.check()?;
        let slots = schedule.slots.iter().map(|&bytes| device.storage("slot", bytes)).collect::<Result<_>>()?;
        let mut buffers = Buffers {
            slots,
            inputs: vec![None; schedule.graph.inputs.len()],
            scratch: Vec::new(),
            #[cfg(feature = "full")]
            faults: Faults::default(),
        };
        let mut recorded: Vec<Result<Vec<Recorded>, String>> = Vec::with_capacity(schedule.graph.nodes.len());
        let mut choices = vec![None; schedule.graph.nodes.len()];
        #[cfg(feature = "full")]
        let mut caches = Vec::new();
        for index in 0..schedule.graph.nodes.len() {
            recorded.push(match record(&device, &schedule, index, weights, &mut buffers) {
                Ok(emitted) => {
                    choices[index] = emitted.choice;
                    #[cfg(feature = "full")]
                    caches.extend(emitted.cache_use);
                    Ok(emitted.dispatches)
                }
                Err(Error::Unsupported(why)) => Err(why),
                Err(other) => return Err(other),
            });
        }
        let mut uniforms = Uniforms::new(&device);
        let offsets: Vec<Vec<u64>> = recorded
            .iter()
            .map(|r| r.iter().flatten().map(|dispatch| uniforms.add(&dispatch.params)).collect())
            .collect();
        let uniform = uniforms.upload(&device);
        let mut steps = Vec::with_capacity(recorded.len());
        for (index, (node, offsets)) in recorded.into_iter().zip(offsets).enumerate() {
            steps.push(match node {
                Ok(dispatches) => Step::Gpu(
                    dispatches.into_iter().zip(offsets).map(|(d, at)| bind(&device, d, &uniform, at)).collect(),
                ),
                Err(why) => {
                    Step::Host { step: Box::new(HostStep::build(&schedule, index, threads, &weights.packs)?), why }
                }
            });
        }
        device.check()?;
        let times = vec![0.0; steps.len()];
        let (threads, staging) = (threads.clone(), Staging::default());
        #[cfg(feature = "full")]
        let held = vec![None; schedule.graph.inputs.len()];
        Ok(Program {
            device,
            schedule,
            threads,
            buffers,
            steps,
            staging,
            timer: None,
            times,
            choices,
            #[cfg(feature = "full")]
            caches,
            #[cfg(feature = "full")]
            held,
        })
    }

    /// Whether later runs measure every node, which splits the pass and costs time. `Unsupported` where the device has
    /// no timestamps.
    pub fn set_profiling(&mut self, on: bool) -> Result<()> {
        self.timer = if on { Some(Timer::new(&self.device, self.steps.len())?) } else { None };
        self.times.fill(0.0);
        Ok(())
    }

    /// Milliseconds of each node in the last profiled run; zeros without one.
    pub fn times(&self) -> &[f64] {
        &self.times
    }

    /// Per node: which variant it took, if its kernel had a choice.
    pub fn choices(&self) -> &[Option<Choice>] {
        &self.choices
    }

    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Per node: the shaders it dispatches, or why it runs on the CPU.
    pub fn placement(&self) -> Vec<Placement> {
        let place = |step: &Step| match step {
            Step::Gpu(dispatches) => Placement::Gpu(dispatches.iter().map(|d| d.shader).collect()),
            Step::Host { why, .. } => Placement::Host(why.clone()),
        };
        self.steps.iter().map(place).collect()
    }

    pub fn device(&self) -> &Arc<GpuDevice> {
        &self.device
    }

    /// The operators that run on the GPU.
    pub fn operators(&self) -> BTreeSet<String> {
        let on_gpu = self.steps.iter().zip(&self.schedule.graph.nodes).filter(|(s, _)| matches!(s, Step::Gpu(_)));
        // One by one: collecting would sort them first, with a sort of its own.
        let mut operators = BTreeSet::new();
        operators.extend(on_gpu.map(|(_, node)| node.op.clone()));
        operators
    }

    /// `inputs` in the order of `graph.inputs`, of the schedule's types; outputs in the order of `graph.outputs`.
    pub async fn run(&mut self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let (encoder, mirror) = self.encode_all(inputs, None).await?;
        self.outputs(inputs, encoder, &mirror).await
    }

    /// The buffers of the only output and of input `input`, if they hold values of one type, and if no node on the CPU looks
    /// at the input.
    #[cfg(feature = "full")]
    pub(super) fn feedback(&self, input: usize) -> Option<(wgpu::Buffer, wgpu::Buffer, TensorType)> {
        let schedule = &self.schedule;
        let to = *schedule.graph.inputs.get(input)?;
        let &[from] = schedule.graph.outputs.as_slice() else { return None };
        let (Place::Slot(slot), Some(ty)) = (schedule.place(from), schedule.ty(from)) else { return None };
        let sees = |node: &Node| node.inputs.iter().flatten().any(|&id| schedule.place(id) == Place::Input(input));
        let mut steps = self.steps.iter().zip(&schedule.graph.nodes);
        let seen = steps.any(|(step, node)| matches!(step, Step::Host { .. }) && sees(node));
        if seen || schedule.ty(to) != Some(ty) {
            return None;
        }
        Some((self.buffers.slots[slot].clone(), self.buffers.inputs.get(input).cloned()??, ty.clone()))
    }

    /// All dispatches up to the outputs, those before the last node on the CPU submitted; and what host steps computed or
    /// read, by slot. The buffer of input `kept` is left as it is.
    pub(super) async fn encode_all(
        &mut self,
        inputs: &[&Tensor],
        kept: Option<usize>,
    ) -> Result<(wgpu::CommandEncoder, HashMap<usize, Tensor>)> {
        self.device.check()?;
        #[cfg(feature = "full")]
        {
            self.note_tokens(inputs)?;
            self.buffers.faults.clear(&self.device);
        }
        self.upload(inputs, kept)?;
        if let Some(timer) = &mut self.timer {
            timer.begin();
        }
        let schedule = self.schedule.clone();
        // Until a GPU step overwrites the slot.
        let mut mirror: HashMap<usize, Tensor> = HashMap::new();
        let mut next = 0;
        loop {
            let end = (next..self.steps.len()).find(|&i| matches!(self.steps[i], Step::Host { .. }));
            let stop = end.unwrap_or(self.steps.len());
            let encoder = self.encode(next..stop, &mut mirror);
            let Some(index) = end else { return Ok((encoder, mirror)) };
            self.host_step(index, &schedule, inputs, encoder, &mut mirror).await?;
            next = index + 1;
        }
    }

    /// Checks the positions of what is to be kept: kernels cannot refuse any.
    #[cfg(feature = "full")]
    fn note_tokens(&self, inputs: &[&Tensor]) -> Result<()> {
        for CacheUse { cache, sequences, input } in &self.caches {
            let positions = inputs.get(*input).map_or(Ok(Vec::new()), |tensor| tensor.to_i64())?;
            let Some((first, last)) = cached_attention::span(&positions)? else { continue };
            if !cache.note(first, last, *sequences) {
                return Err(cached_attention::missing(first));
            }
        }
        Ok(())
    }

    fn upload(&mut self, inputs: &[&Tensor], kept: Option<usize>) -> Result<()> {
        for (n, (&id, buffer)) in self.schedule.graph.inputs.iter().zip(&self.buffers.inputs).enumerate() {
            let tensor = inputs.get(n).ok_or_else(|| Error::Usage(format!("input {n} is missing")))?;
            if self.schedule.ty(id).is_some_and(|ty| ty != tensor.ty()) {
                return Err(Error::Usage(format!("input {n} has type {:?}, which this plan is not for", tensor.ty())));
            }
            if let Some(buffer) = buffer.as_ref().filter(|_| kept != Some(n)) {
                #[cfg(feature = "full")]
                if tensor.bytes().len() >= LARGE_INPUT {
                    if self.held[n].as_ref().is_some_and(|held| held.shares(tensor)) {
                        continue;
                    }
                    self.held[n] = Some((*tensor).clone());
                }
                self.device.queue.write_buffer(buffer, 0, &storage::to_gpu(tensor)?);
            }
        }
        Ok(())
    }

    /// One compute pass with the dispatches of these GPU steps; a pass for each while profiling.
    fn encode(&mut self, steps: std::ops::Range<usize>, mirror: &mut HashMap<usize, Tensor>) -> wgpu::CommandEncoder {
        let descriptor = wgpu::CommandEncoderDescriptor { label: Some("fewbit") };
        let mut encoder = self.device.device.create_command_encoder(&descriptor);
        if let Some(timer) = &mut self.timer {
            for index in steps.clone() {
                let timestamp_writes = timer.pass(index);
                let mut pass =
                    encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes });
                dispatch(&mut pass, &self.steps[index]);
            }
        } else if !steps.is_empty() {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            self.steps[steps.clone()].iter().for_each(|step| dispatch(&mut pass, step));
        }
        for index in steps {
            for &id in self.schedule.graph.nodes[index].outputs.iter().flatten() {
                if let Place::Slot(slot) = self.schedule.place(id) {
                    mirror.remove(&slot);
                }
            }
        }
        encoder
    }

    /// Submits what came before, brings the node's inputs to the host, computes it, and uploads its outputs.
    async fn host_step(
        &mut self,
        index: usize,
        schedule: &Schedule,
        inputs: &[&Tensor],
        encoder: wgpu::CommandEncoder,
        mirror: &mut HashMap<usize, Tensor>,
    ) -> Result<()> {
        let missing: Vec<_> =
            HostStep::reads(schedule, index).into_iter().filter(|(slot, _)| !mirror.contains_key(slot)).collect();
        let sources: Vec<_> =
            missing.iter().map(|(slot, ty)| (self.buffers.slots[*slot].clone(), payload_bytes(ty))).collect();
        let bytes = self.staging.read(&self.device, encoder, &sources).await?;
        for ((slot, ty), bytes) in missing.iter().zip(bytes) {
            mirror.insert(*slot, storage::from_gpu(ty, &bytes)?);
        }
        let Step::Host { step, .. } = &self.steps[index] else { return Ok(()) };
        let start = now_ms();
        let results = step.run(schedule, index, inputs, mirror, &self.threads)?;
        self.times[index] = now_ms() - start;
        for (id, tensor) in schedule.graph.nodes[index].outputs.iter().zip(results) {
            if let (Some(tensor), Some(Place::Slot(slot))) = (tensor, id.map(|id| schedule.place(id))) {
                let bytes = storage::to_gpu(&tensor)?;
                self.device.queue.write_buffer(&self.buffers.slots[slot], 0, &bytes);
                drop(bytes);
                mirror.insert(slot, tensor);
            }
        }
        Ok(())
    }

    async fn outputs(
        &mut self,
        inputs: &[&Tensor],
        mut encoder: wgpu::CommandEncoder,
        mirror: &HashMap<usize, Tensor>,
    ) -> Result<Vec<Tensor>> {
        let schedule = self.schedule.clone();
        let mut sources = Vec::new();
        for &id in &schedule.graph.outputs {
            if let (Place::Slot(slot), Some(ty)) = (schedule.place(id), schedule.ty(id))
                && !mirror.contains_key(&slot)
            {
                sources.push((self.buffers.slots[slot].clone(), payload_bytes(ty)));
            }
        }
        sources.extend(self.timer.as_ref().map(|timer| timer.resolve(&mut encoder)));
        #[cfg(feature = "full")]
        sources.extend(self.buffers.faults.source());
        let mut bytes = self.staging.read(&self.device, encoder, &sources).await?;
        #[cfg(feature = "full")]
        if self.buffers.faults.source().is_some() {
            Faults::check(&bytes.pop().unwrap_or_default(), &schedule, NOT_FINITE)?;
        }
        if let Some(timer) = &self.timer {
            for (node, ms) in timer.durations(&bytes.pop().unwrap_or_default()) {
                self.times[node] = ms;
            }
        }
        let mut bytes = bytes.into_iter();
        let mut results = Vec::with_capacity(schedule.graph.outputs.len());
        for &id in &schedule.graph.outputs {
            let lost = || Error::Usage(format!("output `{}` has no storage", schedule.graph.value(id).name));
            let ty = schedule.ty(id).ok_or_else(lost)?;
            results.push(match schedule.place(id) {
                Place::Slot(slot) => match mirror.get(&slot) {
                    Some(tensor) => tensor.reshaped(ty.shape.clone())?,
                    None => storage::from_gpu(ty, &bytes.next().ok_or_else(lost)?)?,
                },
                Place::Input(n) => inputs.get(n).ok_or_else(lost)?.reshaped(ty.shape.clone())?,
                Place::Weight(root) => match schedule.graph.weights.get(&root) {
                    Some(Weight::Dense(tensor)) => tensor.reshaped(ty.shape.clone())?,
                    Some(Weight::Encoded(encoded)) => encoded.to_dense()?.reshaped(ty.shape.clone())?,
                    None => return Err(lost()),
                },
                Place::None => return Err(lost()),
            });
        }
        Ok(results)
    }
}

fn dispatch(pass: &mut wgpu::ComputePass, step: &Step) {
    let Step::Gpu(dispatches) = step else { return };
    for dispatch in dispatches {
        pass.set_pipeline(&dispatch.pipeline);
        pass.set_bind_group(0, &dispatch.bind_group, &[]);
        let [x, y, z] = dispatch.groups;
        pass.dispatch_workgroups(x, y, z);
    }
}

/// The dispatches of one node; `Unsupported` if it has no kernel or the kernel declines.
fn record(
    device: &GpuDevice,
    schedule: &Schedule,
    index: usize,
    weights: &WeightCache,
    buffers: &mut Buffers,
) -> Result<Emitted> {
    let node = &schedule.graph.nodes[index];
    let kernel =
        families::find(&node.op).ok_or_else(|| Error::Unsupported(format!("{} has no GPU kernel", node.op)))?;
    if device.is_disabled(&node.op) {
        return Err(Error::Unsupported(format!("{} differs from the CPU on this adapter", node.op)));
    }
    for id in node.inputs.iter().chain(&node.outputs).flatten() {
        if let Some(ty) = schedule.ty(*id)
            && !is_computable(ty.dtype)
        {
            return Err(Error::Unsupported(format!("{} of {} on the GPU", node.op, ty.dtype.name())));
        }
    }
    let mut emit = Emit::new(node, schedule, device, weights, buffers);
    (kernel.emit)(&mut emit)?;
    Ok(emit.finish())
}

/// All uniform structs, one behind the other.
struct Uniforms {
    bytes: Vec<u8>,
    alignment: usize,
    known: HashMap<Vec<u8>, u64>,
}

impl Uniforms {
    fn new(device: &GpuDevice) -> Self {
        let alignment = device.limits().min_uniform_buffer_offset_alignment as usize;
        Uniforms { bytes: Vec::new(), alignment, known: HashMap::new() }
    }

    /// The offset of this struct; equal ones share it.
    fn add(&mut self, params: &[u8]) -> u64 {
        if let Some(&offset) = self.known.get(params) {
            return offset;
        }
        let offset = self.bytes.len() as u64;
        self.bytes.extend_from_slice(params);
        self.bytes.resize(self.bytes.len().max(offset as usize + 1).next_multiple_of(self.alignment), 0);
        self.known.insert(params.to_vec(), offset);
        offset
    }

    fn upload(self, device: &GpuDevice) -> wgpu::Buffer {
        let buffer = device.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("uniforms"),
            size: self.bytes.len().max(self.alignment) as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        device.queue.write_buffer(&buffer, 0, &self.bytes);
        buffer
    }
}

fn bind(device: &GpuDevice, recorded: Recorded, uniforms: &wgpu::Buffer, offset: u64) -> Dispatch {
    let mut entries: Vec<wgpu::BindGroupEntry> = recorded
        .storage
        .iter()
        .map(|(binding, buffer)| wgpu::BindGroupEntry { binding: *binding, resource: buffer.as_entire_binding() })
        .collect();
    if let Some(binding) = recorded.uniform {
        // The struct's size in WGSL is rounded up to 16 where it holds a vec4.
        let size = wgpu::BufferSize::new((recorded.params.len() as u64).next_multiple_of(16));
        let resource = wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer: uniforms, offset, size });
        entries.push(wgpu::BindGroupEntry { binding, resource });
    }
    let bind_group = device.device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some(recorded.shader),
        layout: &recorded.pipeline.layout,
        entries: &entries,
    });
    Dispatch {
        pipeline: recorded.pipeline.pipeline.clone(),
        bind_group,
        groups: recorded.groups,
        shader: recorded.shader,
    }
}
