//! Attention over keys and values that stay on the device. Shaders: `shaders/cached_rows.wgsl`,
//! `shaders/cached_attention.wgsl`.

use super::emit::{CacheUse, Emit, GpuKernel, Operand, grid, u32_of};
use super::shader::{cached_attention as attention, cached_rows as rows};
use crate::Result;
use crate::ops::cached_attention::{CachedOptions, CachedShape, KvKind};
use crate::tensor::DType;

pub const KERNELS: &[GpuKernel] = &[GpuKernel::new("fewbit.CachedAttention", cached_attention)];

/// The longest head that the shader has room for.
const MAX_HEAD: usize = 256;
/// Elements that an invocation writes as f32 or in half precision; of other kinds it writes a block.
const PAIR: usize = 2;

fn cached_attention(e: &mut Emit) -> Result<()> {
    let angles = e.has(4).then(|| Ok([e.input_type(4)?, e.input_type(5)?])).transpose()?;
    let inputs = [e.input_type(0)?, e.input_type(1)?, e.input_type(2)?, e.input_type(3)?];
    let shapes = inputs.map(|ty| ty.shape.as_slice());
    let s = CachedShape::new(e.node, shapes, angles.map(|pair| pair.map(|ty| ty.shape.as_slice())))?;
    let options = CachedOptions::of(e.node, s.head)?;
    if s.head > MAX_HEAD || inputs[..3].iter().any(|ty| ty.dtype != DType::F32) || inputs[3].dtype != DType::I64 {
        return Err(e.unsupported("only f32 in heads of up to 256, and positions of 64 bits"));
    }
    let input = e.graph_input_of(3).ok_or_else(|| e.unsupported("positions that are no input of the model"))?;
    let kind = e.kv_kind();
    let words = row_words(kind, s.head);
    let cache = e.cache(options.cache, s.kv_heads * words)?;
    e.use_cache(CacheUse { cache: cache.clone(), input });
    let [keys, values] = cache.buffers.clone().map(Operand::kept);
    let queries = e.scratch(s.tokens * s.q_heads * s.head)?;
    let none = e.absent();
    let angles = if angles.is_some() { [e.input(4)?, e.input(5)?] } else { [none.clone(), none.clone()] };

    let turn = Turn { shape: s, interleaved: options.interleaved, words };
    let x = e.input(0)?;
    turn.rows(e, [x, angles[0].clone(), angles[1].clone(), queries.clone()], s.q_heads, s.rotated, 0, options.scale)?;
    let x = e.input(1)?;
    turn.rows(e, [x, angles[0].clone(), angles[1].clone(), keys.clone()], s.kv_heads, s.rotated, form(kind), 1.0)?;
    let x = e.input(2)?;
    turn.rows(e, [x, none.clone(), none, values.clone()], s.kv_heads, 0, form(kind), 1.0)?;

    let params = attention::Params {
        tokens: u32_of(s.tokens)?,
        q_heads: u32_of(s.q_heads)?,
        kv_heads: u32_of(s.kv_heads)?,
        share: u32_of(s.share())?,
        head: u32_of(s.head)?,
        words: u32_of(words)?,
        window: u32::try_from(options.window).unwrap_or(u32::MAX),
        pad0: 0,
    };
    let operands = [queries, keys, values, e.input(3)?, e.output(0)?];
    let overrides = [("FORM", form(kind).into())];
    e.dispatch(&attention::SHADER, &overrides, &operands, &params, grid(s.tokens * s.q_heads)?)
}

/// The shaders' number of a kind.
fn form(kind: KvKind) -> u32 {
    match kind {
        KvKind::F16 => 1,
        KvKind::Q8 => 2,
        KvKind::Q4 => 3,
    }
}

/// Words of a row of one head.
fn row_words(kind: KvKind, head: usize) -> usize {
    let blocks = head.div_ceil(KvKind::BLOCK);
    match kind {
        KvKind::F16 => head.div_ceil(2),
        // The last block may be shorter; the ones before are whole words.
        KvKind::Q8 => head.div_ceil(4) + blocks,
        KvKind::Q4 => head.div_ceil(8) + blocks,
    }
}

struct Turn {
    shape: CachedShape,
    interleaved: bool,
    words: usize,
}

impl Turn {
    /// Of an input, cosines, sines and where the rows go.
    fn rows(
        &self,
        e: &mut Emit,
        [x, cos, sin, out]: [Operand; 4],
        heads: usize,
        rotated: usize,
        form: u32,
        scale: f32,
    ) -> Result<()> {
        let head = self.shape.head;
        let blocks = head.div_ceil(if form < 2 { PAIR } else { KvKind::BLOCK });
        let count = self.shape.tokens * heads * blocks;
        let params = rows::Params {
            heads: u32_of(heads)?,
            head: u32_of(head)?,
            pairs: u32_of(rotated / 2)?,
            blocks: u32_of(blocks)?,
            count: u32_of(count)?,
            words: u32_of(self.words)?,
            scale,
            pad0: 0,
        };
        let overrides = [("FORM", form.into()), ("INTERLEAVED", u32::from(self.interleaved).into())];
        let operands = [x, cos, sin, e.input(3)?, out];
        e.dispatch(&rows::SHADER, &overrides, &operands, &params, grid(count.div_ceil(64))?)
    }
}
