//! Which tokens matter and which are alike; semantics in `ops/tokens.rs`. Shaders: `class_attention.wgsl`,
//! `token_directions.wgsl`, `match_tokens.wgsl`; CPU twin: `cpu/token_scores.rs`.

use super::emit::{Emit, GpuKernel, grid, u32_of};
use super::shader::{class_attention, match_tokens, token_directions};
use crate::Result;
use crate::ops::tokens::{Matching, Sides, class_shape};
use crate::tensor::DType;

pub const KERNELS: &[GpuKernel] =
    &[GpuKernel::new("fewbit.ClassAttention", class), GpuKernel::new("fewbit.MatchTokens", matching)];

fn class(e: &mut Emit) -> Result<()> {
    let (q, k) = (e.input_type(0)?, e.input_type(1)?);
    if q.dtype != DType::F32 || k.dtype != DType::F32 {
        return Err(e.unsupported("only f32"));
    }
    let s = class_shape(e.node, &q.shape, &k.shape)?;
    let (q_strides, k_strides) = (s.strides(s.q_heads, s.q_len, s.head), s.strides(s.kv_heads, s.kv_len, s.head));
    let (faults, fault) = e.fault()?;
    let params = class_attention::Params {
        tokens: u32_of(s.q_len)?,
        heads: u32_of(s.q_heads)?,
        shared_by: u32_of(s.q_heads / s.kv_heads.max(1))?,
        width: u32_of(s.head)?,
        q_batch: u32_of(q_strides[0])?,
        q_head: u32_of(q_strides[1])?,
        k_batch: u32_of(k_strides[0])?,
        k_head: u32_of(k_strides[1])?,
        k_token: u32_of(k_strides[2])?,
        scale: e.node.attrs.float_or("scale", 1.0 / (s.head as f32).sqrt()),
        fault,
        pad0: 0,
    };
    let overrides = [("SIZED", f64::from(u32::from(e.has(2))))];
    let operands = [e.input(0)?, e.input(1)?, e.opt_input(2)?, e.output(0)?, faults];
    e.dispatch(&class_attention::SHADER, &overrides, &operands, &params, [u32_of(s.batch)?, 1, 1])
}

fn matching(e: &mut Emit) -> Result<()> {
    let m = Matching::new(e.node, &e.input_type(0)?.shape, e.has(1))?;
    let (count, words) = (m.batch * m.tokens, m.width.div_ceil(4));
    let directions = e.scratch((count * words * 4).max(4))?;
    let params = token_directions::Params {
        count: u32_of(count)?,
        tokens: u32_of(m.tokens.max(1))?,
        heads: u32_of(m.heads)?,
        width: u32_of(m.width)?,
        batch_step: u32_of(m.strides[0])?,
        head_step: u32_of(m.strides[1])?,
        token_step: u32_of(m.strides[2])?,
        words: u32_of(words)?,
    };
    let operands = [e.input(0)?, directions.clone()];
    e.dispatch(&token_directions::SHADER, &[], &operands, &params, grid(count.div_ceil(64))?)?;
    let (ranked, keep, seen) = match m.sides {
        Sides::Ranked { keep, seen } => (1, keep, seen),
        Sides::Alternate => (0, 0, 0),
    };
    let params = match_tokens::Params {
        count: u32_of(count)?,
        tokens: u32_of(m.tokens.max(1))?,
        words: u32_of(words)?,
        pinned: u32_of(m.pinned)?,
        keep,
        seen,
        pad0: 0,
        pad1: 0,
    };
    let operands = [directions, e.opt_input(1)?, e.output(0)?, e.output(1)?];
    e.dispatch(&match_tokens::SHADER, &[("RANKED", f64::from(ranked))], &operands, &params, grid(count)?)
}
