//! What a GPU kernel's `emit` sees: its node's types and operands, and the recorder of dispatches.

use std::ops::Range;
use std::sync::Arc;

#[cfg(feature = "full")]
use super::caches::{Cache, Words};
use super::choices::Choice;
use super::columns;
use super::decode::{Window, slice};
use super::device::{GpuDevice, Pipeline};
#[cfg(feature = "full")]
use super::faults::Faults;
use super::shader::{Binding, Code, Shader};
use super::storage;
use super::weights::WeightCache;
use crate::graph::{Node, Place, Schedule, ValueId, Weight};
use crate::tensor::{Tensor, TensorType};
use crate::weights::Encoded;
use crate::{Error, Result};

/// Most workgroups along one dimension of a grid.
pub const MAX_GROUPS: u32 = 65_535;

/// One operator on the GPU.
pub struct GpuKernel {
    pub op: &'static str,
    /// Records the node's dispatches. `Error::Unsupported` sends the node to the CPU.
    pub emit: fn(&mut Emit) -> Result<()>,
    /// Inputs that may arrive in a few-bit encoding. The planner decodes any other encoded input to f32 at load.
    pub encoded_inputs: &'static [usize],
}

impl GpuKernel {
    /// A kernel for dense inputs.
    pub const fn new(op: &'static str, emit: fn(&mut Emit) -> Result<()>) -> Self {
        GpuKernel { op, emit, encoded_inputs: &[] }
    }
}

/// A buffer that a dispatch binds.
#[derive(Clone, Debug)]
pub struct Operand {
    pub(super) buffer: wgpu::Buffer,
    writable: bool,
}

impl Operand {
    /// A buffer that outlives the program.
    #[cfg(feature = "full")]
    pub fn kept(buffer: wgpu::Buffer) -> Self {
        Operand { buffer, writable: true }
    }
}

/// Buffers of the program being built.
pub struct Buffers {
    pub slots: Vec<wgpu::Buffer>,
    /// Per graph input, made on first use.
    pub inputs: Vec<Option<wgpu::Buffer>>,
    /// Temporary buffers, reused by every node.
    pub scratch: Vec<wgpu::Buffer>,
    #[cfg(feature = "full")]
    pub faults: Faults,
}

/// A dispatch before its bind group exists.
pub struct Recorded {
    pub pipeline: Arc<Pipeline>,
    pub shader: &'static str,
    /// `(binding number, buffer)` of the storage bindings.
    pub storage: Vec<(u32, wgpu::Buffer)>,
    pub uniform: Option<u32>,
    pub params: Vec<u8>,
    pub groups: [u32; 3],
}

pub struct Emit<'a> {
    pub node: &'a Node,
    schedule: &'a Schedule,
    device: &'a GpuDevice,
    weights: &'a WeightCache,
    buffers: &'a mut Buffers,
    scratch_used: usize,
    recorded: Vec<Recorded>,
    choice: Option<Choice>,
    #[cfg(feature = "full")]
    cache_use: Option<CacheUse>,
}

/// What a node keeps between runs, and which graph input says where its tokens go.
#[cfg(feature = "full")]
pub struct CacheUse {
    pub cache: Arc<Cache>,
    pub sequences: usize,
    pub input: usize,
}

/// What became of a node.
pub struct Emitted {
    pub dispatches: Vec<Recorded>,
    pub choice: Option<Choice>,
    #[cfg(feature = "full")]
    pub cache_use: Option<CacheUse>,
}

impl<'a> Emit<'a> {
    pub(super) fn new(
        node: &'a Node,
        schedule: &'a Schedule,
        device: &'a GpuDevice,
        weights: &'a WeightCache,
        buffers: &'a mut Buffers,
    ) -> Self {
        Emit {
            node,
            schedule,
            device,
            weights,
            buffers,
            scratch_used: 0,
            recorded: Vec::new(),
            choice: None,
            #[cfg(feature = "full")]
            cache_use: None,
        }
    }

    pub(super) fn finish(self) -> Emitted {
        Emitted {
            dispatches: self.recorded,
            choice: self.choice,
            #[cfg(feature = "full")]
            cache_use: self.cache_use,
        }
    }

    /// Sends the node to the CPU.
    pub fn unsupported(&self, what: impl std::fmt::Display) -> Error {
        Error::Unsupported(format!("{} on the GPU: {what}", self.node.op))
    }

    /// The adapter computes on the CPU: barriers and workgroup memory cost more than they save.
    pub fn is_software(&self) -> bool {
        self.device.is_software()
    }

    /// Lanes that every subgroup has at least, if kernels can use subgroups.
    pub fn subgroup_lanes(&self) -> Option<u32> {
        self.device.subgroup_lanes()
    }

    /// The node's activations may be rounded to 8 bits.
    pub fn may_round(&self) -> bool {
        self.node.attrs.string("activations") == Some("int8")
    }

    /// The variant, of `count`, for a product of these sizes with input 1.
    pub fn choose(&mut self, sizes: [usize; 3], count: usize, default: usize) -> usize {
        let weight = weight_key(self.encoded(1));
        let rounded = if self.may_round() { " int8" } else { "" };
        let key = format!("{}{rounded} {weight} {}×{}×{}", self.node.op, sizes[0], sizes[1], sizes[2]);
        let variant = self.device.choices().pick(&key, count, default);
        self.choice = Some(Choice { key, variant });
        variant
    }

    pub fn has(&self, i: usize) -> bool {
        self.node.input(i).is_some()
    }

    pub fn input_type(&self, i: usize) -> Result<&'a TensorType> {
        let id = self.node.input(i).ok_or_else(|| self.node.error(format!("input {i} is missing")))?;
        self.schedule.ty(id).ok_or_else(|| self.node.error(format!("input {i} has no type")))
    }

    pub fn output_type(&self, i: usize) -> Result<&'a TensorType> {
        let id = self.output_id(i)?;
        self.schedule.ty(id).ok_or_else(|| self.node.error(format!("output {i} has no type")))
    }

    /// Input `i` as a buffer. An encoded weight has no single buffer: see `encoded`.
    pub fn input(&mut self, i: usize) -> Result<Operand> {
        let id = self.node.input(i).ok_or_else(|| self.node.error(format!("input {i} is missing")))?;
        let buffer = match self.schedule.place(id) {
            Place::Slot(slot) => self.buffers.slots.get(slot).cloned(),
            Place::Input(n) => Some(self.graph_input(n)?),
            Place::Weight(root) => match self.schedule.graph.weights.get(&root) {
                Some(Weight::Dense(tensor)) => Some(self.weights.dense(self.device, tensor)?),
                Some(Weight::Encoded(_)) => return Err(self.unsupported(format!("input {i} is encoded"))),
                None => None,
            },
            Place::None => None,
        };
        let buffer = buffer.ok_or_else(|| self.node.error(format!("input {i} has no storage")))?;
        Ok(Operand { buffer, writable: false })
    }

    /// Which input of the graph input `i` is, if it is one.
    #[cfg(feature = "full")]
    pub fn graph_input_of(&self, i: usize) -> Option<usize> {
        match self.schedule.place(self.node.input(i)?) {
            Place::Input(n) => Some(n),
            _ => None,
        }
    }

    /// How keys and values are kept.
    #[cfg(feature = "full")]
    pub fn kv_kind(&self) -> crate::ops::cached_attention::KvKind {
        self.weights.caches.kind
    }

    /// The session's cache of this number for so many sequences of `words`.
    #[cfg(feature = "full")]
    pub fn cache(&self, number: usize, sequences: usize, words: Words) -> Result<Arc<Cache>> {
        self.weights.caches.get(self.device, number, sequences, words)
    }

    /// Says that the node writes to a cache.
    #[cfg(feature = "full")]
    pub fn use_cache(&mut self, cache: CacheUse) {
        self.cache_use = Some(cache);
    }

    /// Optional input `i`; `absent()` when it is left out.
    pub fn opt_input(&mut self, i: usize) -> Result<Operand> {
        if self.has(i) { self.input(i) } else { Ok(self.absent()) }
    }

    /// Stands for an operand that this dispatch does not read: 16 bytes of anything.
    pub fn absent(&self) -> Operand {
        Operand { buffer: self.device.absent.clone(), writable: false }
    }

    pub fn output(&mut self, i: usize) -> Result<Operand> {
        match self.schedule.place(self.output_id(i)?) {
            Place::Slot(slot) => {
                let buffer = self.buffers.slots.get(slot).cloned();
                let buffer = buffer.ok_or_else(|| self.node.error(format!("output {i} has no storage")))?;
                Ok(Operand { buffer, writable: true })
            }
            _ => Err(self.node.error(format!("output {i} has no storage"))),
        }
    }

    /// Whether the node has output `i`.
    pub fn has_output(&self, i: usize) -> bool {
        self.output_id(i).is_ok()
    }

    /// Input `i` if it is a weight.
    pub fn weight(&self, i: usize) -> Option<&'a Weight> {
        match self.schedule.place(self.node.input(i)?) {
            Place::Weight(root) => self.schedule.graph.weights.get(&root),
            _ => None,
        }
    }

    /// Input `i` if it is a dense weight, under the shape the node sees: axes, sizes, pads, quantisation parameters.
    pub fn value(&self, i: usize) -> Option<Tensor> {
        let tensor = self.weight(i)?.dense()?;
        tensor.reshaped(self.input_type(i).ok()?.shape.clone()).ok()
    }

    /// Input `i` if it is an encoded weight.
    pub fn encoded(&self, i: usize) -> Option<&'a Encoded> {
        match self.weight(i)? {
            Weight::Encoded(encoded) => Some(encoded),
            Weight::Dense(_) => None,
        }
    }

    /// Most bytes of a weight in one buffer.
    pub fn binding_limit(&self) -> u64 {
        self.device.binding_limit()
    }

    /// A stored part of an encoded weight (`codes`, `table`, …) as its host bytes; `absent()` if the weight lacks it.
    pub fn part(&mut self, window: &Window, name: &str) -> Result<Operand> {
        self.stored(window, name, "bytes", &|part| Ok(part.bytes().to_vec()))
    }

    /// A part `[rows, …]` with its words column by column: lanes that each take a row read neighbouring words.
    pub fn columns(&mut self, window: &Window, name: &str) -> Result<Operand> {
        self.stored(window, name, "columns", &|part| Ok(columns::of_words(part)))
    }

    /// A part of `count` codes a row, each brought to a byte, words column by column.
    pub fn byte_columns(&mut self, window: &Window, name: &str, count: usize, bits: u32) -> Result<Operand> {
        let layout = format!("{count} bytes of {bits} bits");
        self.stored(window, name, &layout, &|part| Ok(columns::of_words(&columns::as_bytes(part, count, bits)?)))
    }

    /// Factors `[rows, …]` as f32 column by column.
    pub fn factors(&mut self, window: &Window, name: &str) -> Result<Operand> {
        self.stored(window, name, "factors", &|part| Ok(columns::of_factors(part)))
    }

    /// The window's rows of a part in a layout, made once per session.
    pub fn stored(
        &mut self,
        window: &Window,
        name: &str,
        layout: &str,
        make: &dyn Fn(&Tensor) -> Result<Vec<u8>>,
    ) -> Result<Operand> {
        let Some(part) = window.part(name) else { return Ok(self.absent()) };
        let layout = format!("{layout}{}", window.label());
        let buffer = self.weights.entry(self.device, part, &layout, || make(&window.rows_of(name, part)?))?;
        Ok(Operand { buffer, writable: false })
    }

    /// Columns of dense weight `i`, a matrix `[k, n]`, or `[n, k]` if it is `transposed`, made once per session.
    pub fn dense_columns(
        &mut self,
        i: usize,
        [k, n]: [usize; 2],
        transposed: bool,
        cols: Range<usize>,
    ) -> Result<Operand> {
        let tensor = self.value(i).ok_or_else(|| self.unsupported("the weight is not constant"))?;
        let layout = format!("columns {}+{} of {k}×{n}, {transposed}", cols.start, cols.len());
        let make = || match transposed {
            true => Ok(columns::transposed(&slice(&tensor.reshaped([n, k])?, cols)?)),
            false => Ok(columns::cut(&tensor, n, cols)),
        };
        Ok(Operand { buffer: self.weights.entry(self.device, &tensor, &layout, make)?, writable: false })
    }

    /// A read-only buffer with these words: strides, tables.
    pub fn constant(&mut self, words: &[u32]) -> Result<Operand> {
        Ok(Operand { buffer: self.device.upload("constant", words)?, writable: false })
    }

    /// A temporary buffer of this node; its content does not outlive the node.
    pub fn scratch(&mut self, words: usize) -> Result<Operand> {
        let k = self.scratch_used;
        self.scratch_used += 1;
        let bytes = words.saturating_mul(4);
        match self.buffers.scratch.get_mut(k) {
            Some(buffer) if buffer.size() >= bytes as u64 => {}
            Some(buffer) => *buffer = self.device.storage("scratch", bytes)?,
            None => self.buffers.scratch.push(self.device.storage("scratch", bytes)?),
        }
        let buffer = self.buffers.scratch.get(k).cloned().ok_or_else(|| self.node.error("no scratch memory"))?;
        Ok(Operand { buffer, writable: true })
    }

    /// The word of `Faults`, and what the node writes to it.
    #[cfg(feature = "full")]
    pub fn fault(&mut self) -> Result<(Operand, u32)> {
        let buffer = self.buffers.faults.buffer(self.device)?;
        let index = self.schedule.graph.nodes.iter().position(|node| std::ptr::eq(node, self.node));
        Ok((Operand { buffer, writable: true }, u32_of(index.map_or(1, |index| index + 1))?))
    }

    /// Records a dispatch. `operands` in the order of the shader's bindings, without the uniform. A grid with a zero
    /// dimension is left out.
    pub fn dispatch<P: bytemuck::Pod>(
        &mut self,
        shader: &Shader<P>,
        overrides: &[(&'static str, f64)],
        operands: &[Operand],
        params: &P,
        groups: [u32; 3],
    ) -> Result<()> {
        self.record(&shader.code, overrides, operands, bytemuck::bytes_of(params), groups)
    }

    /// `dispatch` of any uniform struct: one copy of the code serves all.
    fn record(
        &mut self,
        shader: &Code,
        overrides: &[(&'static str, f64)],
        operands: &[Operand],
        params: &[u8],
        groups: [u32; 3],
    ) -> Result<()> {
        let numbers = || shader.bindings.iter().filter(|(_, kind)| *kind != Binding::Uniform);
        if numbers().count() != operands.len() {
            return Err(self.node.error(format!("shader {} got {} operands", shader.name, operands.len())));
        }
        if let Some((number, _)) =
            numbers().zip(operands).find(|((_, kind), o)| *kind == Binding::ReadWrite && !o.writable).map(|(b, _)| b)
        {
            return Err(self.node.error(format!("shader {} writes binding {number}, an input", shader.name)));
        }
        if groups.contains(&0) {
            return Ok(());
        }
        if groups.iter().any(|&g| g > MAX_GROUPS) {
            return Err(self.unsupported(format!("a grid of {groups:?} workgroups")));
        }
        self.recorded.push(Recorded {
            pipeline: self.device.pipeline(shader, overrides)?,
            shader: shader.name,
            storage: numbers().zip(operands).map(|(&(n, _), o)| (n.into(), o.buffer.clone())).collect(),
            uniform: shader.bindings.iter().find(|(_, kind)| *kind == Binding::Uniform).map(|&(n, _)| n.into()),
            params: params.to_vec(),
            groups,
        });
        Ok(())
    }

    fn output_id(&self, i: usize) -> Result<ValueId> {
        let id = self.node.outputs.get(i).copied().flatten();
        id.ok_or_else(|| self.node.error(format!("output {i} is left out")))
    }

    fn graph_input(&mut self, n: usize) -> Result<wgpu::Buffer> {
        let ty = self.schedule.graph.inputs.get(n).and_then(|&id| self.schedule.ty(id));
        let ty = ty.ok_or_else(|| self.node.error(format!("graph input {n} has no type")))?;
        let slot = self.buffers.inputs.get_mut(n).ok_or_else(|| self.node.error(format!("no graph input {n}")))?;
        if let Some(buffer) = slot {
            return Ok(buffer.clone());
        }
        Ok(slot.insert(self.device.storage("input", storage::storage_bytes(ty))?).clone())
    }
}

/// A grid of `groups` workgroups that wraps from x into y. Kernels find their number with `shared/grid.wgsl` and must
/// stop at their own bound, since the last row may be partly empty.
pub fn grid(groups: usize) -> Result<[u32; 3]> {
    let x = groups.min(MAX_GROUPS as usize);
    let y = groups.div_ceil(x.max(1));
    if y > MAX_GROUPS as usize {
        return Err(Error::Unsupported(format!("{groups} workgroups in one dispatch")));
    }
    Ok([x as u32, y as u32, 1])
}

/// What tells encodings apart in keys of choices.
#[cfg(any(feature = "cli", feature = "full"))]
fn weight_key(weight: Option<&Encoded>) -> String {
    weight.map_or("dense".into(), |w| w.as_encoding().name())
}

/// Names of encodings would take a thousand bytes of the small build.
#[cfg(not(any(feature = "cli", feature = "full")))]
fn weight_key(weight: Option<&Encoded>) -> usize {
    weight.map_or(0, Encoded::bytes)
}

/// A size as the u32 that kernels count in.
pub fn u32_of(n: usize) -> Result<u32> {
    u32::try_from(n).map_err(|_| Error::Unsupported(format!("{n} elements exceed 32-bit indices")))
}
