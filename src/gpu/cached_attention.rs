//! Attention over keys and values that stay on the device. Shaders: `shaders/cached_rows.wgsl`,
//! `shaders/cached_attention.wgsl`.

use super::caches::Words;
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
    // The first position in half precision, and the ring.
    let ahead = if kind == KvKind::Q8 { 1 + KvKind::RING * s.kv_heads * s.head.div_ceil(2) } else { 0 };
    let room = Words { ahead, token: words.map(|words| s.kv_heads * words) };
    let cache = e.cache(options.cache, s.batch, room)?;
    e.use_cache(CacheUse { cache: cache.clone(), sequences: s.batch, input });
    let [keys, values] = cache.buffers.clone().map(Operand::kept);
    let queries = e.scratch(s.batch * s.tokens * s.q_heads * s.head)?;
    let none = e.absent();
    let angles = if angles.is_some() { [e.input(4)?, e.input(5)?] } else { [none.clone(), none.clone()] };

    let stride = [0, 1].map(|part| room.of(part, cache.capacity));
    let turn = Turn { shape: s, interleaved: options.interleaved, ahead };
    let (at, [key_form, value_form]) = (if kind == KvKind::F16 { 0 } else { 5 }, forms(kind));
    let x = e.input(0)?;
    let queries_rows =
        Rows { heads: s.q_heads, rotated: s.rotated, form: at, words: 0, stride: 0, scale: options.scale };
    turn.rows(e, [x, angles[0].clone(), angles[1].clone(), queries.clone()], queries_rows)?;
    let x = e.input(1)?;
    let kept =
        Rows { heads: s.kv_heads, rotated: s.rotated, form: key_form, words: words[0], stride: stride[0], scale: 1.0 };
    turn.rows(e, [x, angles[0].clone(), angles[1].clone(), keys.clone()], kept)?;
    let x = e.input(2)?;
    let kept = Rows { rotated: 0, form: value_form, words: words[1], stride: stride[1], ..kept };
    turn.rows(e, [x, none.clone(), none, values.clone()], kept)?;

    let params = attention::Params {
        tokens: u32_of(s.tokens)?,
        q_heads: u32_of(s.q_heads)?,
        kv_heads: u32_of(s.kv_heads)?,
        share: u32_of(s.share())?,
        head: u32_of(s.head)?,
        count: u32_of(s.batch * s.tokens * s.q_heads)?,
        key_words: u32_of(words[0])?,
        value_words: u32_of(words[1])?,
        window: u32::try_from(options.window).unwrap_or(u32::MAX),
        key_stride: u32_of(stride[0])?,
        value_stride: u32_of(stride[1])?,
        ahead: u32_of(ahead)?,
    };
    let operands = [queries, keys, values, e.input(3)?, e.output(0)?];
    let recent = [("RING", KvKind::RING as f64), ("RECENT", KvKind::RECENT as f64)];
    let overrides = [("FORM", value_form.into()), recent[0], recent[1]];
    e.dispatch(&attention::SHADER, &overrides, &operands, &params, grid(s.batch * s.tokens * s.q_heads)?)
}

/// The shaders' numbers of keys and values of a kind.
fn forms(kind: KvKind) -> [u32; 2] {
    match kind {
        KvKind::F16 => [1, 1],
        KvKind::Q8 => [2, 2],
        KvKind::Q4 => [4, 3],
    }
}

/// Words of a row of one head of keys, and of values.
fn row_words(kind: KvKind, head: usize) -> [usize; 2] {
    if kind == KvKind::F16 {
        return [head.div_ceil(2); 2];
    }
    // The last block may be shorter; the ones before are whole.
    let row = |form| head / KvKind::BLOCK * block_words(form, KvKind::BLOCK) + block_words(form, head % KvKind::BLOCK);
    forms(kind).map(row)
}

/// Words of a block of so many elements, with the one for its scales.
fn block_words(form: u32, len: usize) -> usize {
    match form {
        _ if len == 0 => 0,
        2 => len.div_ceil(4) + 1,
        3 => len.div_ceil(8) + 1,
        _ => (9 * len.div_ceil(2)).div_ceil(32) + 1,
    }
}

struct Turn {
    shape: CachedShape,
    interleaved: bool,
    /// Words of a sequence before its rows.
    ahead: usize,
}

/// What becomes of an input.
#[derive(Clone, Copy)]
struct Rows {
    heads: usize,
    /// Elements of a head that turn.
    rotated: usize,
    form: u32,
    /// Of a row of a head.
    words: usize,
    /// Words of a sequence.
    stride: usize,
    scale: f32,
}

impl Turn {
    /// Of an input, cosines, sines and where the rows go.
    fn rows(&self, e: &mut Emit, [x, cos, sin, out]: [Operand; 4], rows: Rows) -> Result<()> {
        let head = self.shape.head;
        let blocks = head.div_ceil(if rows.form < 2 { PAIR } else { KvKind::BLOCK });
        let count = self.shape.batch * self.shape.tokens * rows.heads * blocks;
        let params = rows::Params {
            heads: u32_of(rows.heads)?,
            head: u32_of(head)?,
            pairs: u32_of(rows.rotated / 2)?,
            blocks: u32_of(blocks)?,
            count: u32_of(count)?,
            words: u32_of(rows.words)?,
            tokens: u32_of(self.shape.tokens)?,
            stride: u32_of(rows.stride)?,
            ahead: u32_of(self.ahead)?,
            scale: rows.scale,
        };
        let levels = if rows.form == 4 { KvKind::KEY_LEVELS } else { KvKind::VALUE_LEVELS };
        let overrides = [
            ("FORM", rows.form.into()),
            ("INTERLEAVED", u32::from(self.interleaved).into()),
            ("HALF", f64::from(levels) / 2.0),
            ("RING", KvKind::RING as f64),
            ("BLOCK_WORDS", block_words(rows.form, KvKind::BLOCK) as f64),
        ];
        let operands = [x, cos, sin, e.input(3)?, out];
        e.dispatch(&rows::SHADER, &overrides, &operands, &params, grid(count.div_ceil(64))?)
    }
}
