//! Ranks, places and rows of tokens that are pruned or merged; semantics in `ops/tokens.rs`. Shaders: `rank_tokens.wgsl`,
//! `place_tokens.wgsl`, `pool_tokens.wgsl`, `unpool_tokens.wgsl`, `follow_tokens.wgsl`; CPU twin: `cpu/tokens.rs`.

use super::emit::{Emit, GpuKernel, grid, u32_of};
use super::shader::{follow_tokens, place_tokens, pool_tokens, rank_tokens, unpool_tokens};
use crate::Result;
use crate::ops::tokens::{LEAST_SIZE, Placing, Pooling, count};

pub const KERNELS: &[GpuKernel] = &[
    GpuKernel::new("fewbit.RankTokens", rank),
    GpuKernel::new("fewbit.PlaceTokens", place),
    GpuKernel::new("fewbit.PoolTokens", pool),
    GpuKernel::new("fewbit.UnpoolTokens", unpool),
    GpuKernel::new("fewbit.FollowTokens", follow),
];

/// Tokens that `pool_tokens.wgsl` has bits for.
const POOLED: usize = 8192;

/// Workgroups for one invocation an element.
fn groups(count: usize) -> Result<[u32; 3]> {
    grid(count.div_ceil(64))
}

/// The last of the two sizes of input `i`.
fn tokens(e: &Emit, i: usize) -> Result<u32> {
    u32_of(e.input_type(i)?.shape.last().copied().unwrap_or(1).max(1))
}

fn rank(e: &mut Emit) -> Result<()> {
    let len = e.output_type(0)?.len();
    let pinned = u32_of(count(e.node, "pinned")?)?;
    let params = rank_tokens::Params { count: u32_of(len)?, tokens: tokens(e, 0)?, pinned, pad0: 0 };
    let operands = [e.input(0)?, e.output(0)?];
    e.dispatch(&rank_tokens::SHADER, &[], &operands, &params, groups(len)?)
}

fn place(e: &mut Emit) -> Result<()> {
    let len = e.output_type(0)?.len();
    let (paired, fuse, pinned, keep, seen) = match Placing::new(e.node)? {
        Placing::Ranked { keep, seen, fuse } => (0, fuse.into(), 0, keep, if e.has(1) { seen } else { keep }),
        Placing::Paired { merge, pinned } => (1, 0, pinned as u32, merge, merge),
    };
    let count = u32_of(len)?;
    let params = place_tokens::Params { count, tokens: tokens(e, 0)?, pinned, keep, seen, pad0: 0, pad1: 0, pad2: 0 };
    let operands = [e.input(0)?, e.opt_input(1)?, e.output(0)?];
    let overrides = [("PAIRED", f64::from(paired)), ("FUSE", f64::from(fuse))];
    e.dispatch(&place_tokens::SHADER, &overrides, &operands, &params, groups(len)?)
}

fn pool(e: &mut Emit) -> Result<()> {
    let [batch, rows, width] = *e.output_type(0)?.shape else { return Err(e.unsupported("this shape")) };
    let tokens = tokens(e, 1)?;
    if tokens as usize > POOLED {
        return Err(e.unsupported(format!("{tokens} tokens, more than {POOLED}")));
    }
    let mode = match Pooling::new(e.node)? {
        Pooling::Mean => 0,
        Pooling::Sizes => 1,
        Pooling::Fuse => 2,
    };
    let params = pool_tokens::Params {
        groups: u32_of(batch * rows)?,
        tokens,
        rows: u32_of(rows)?,
        width: u32_of(width)?,
        least: LEAST_SIZE,
        pad0: 0,
        pad1: 0,
        pad2: 0,
    };
    let overrides = [("MODE", f64::from(mode)), ("FACTORS", f64::from(u32::from(e.has(3))))];
    let inputs = [e.input(0)?, e.input(1)?, e.input(2)?, e.opt_input(3)?];
    let operands: Vec<_> = inputs.into_iter().chain([e.output(0)?, e.output(1)?, e.output(2)?]).collect();
    e.dispatch(&pool_tokens::SHADER, &overrides, &operands, &params, grid(batch * rows)?)
}

fn unpool(e: &mut Emit) -> Result<()> {
    let [_, tokens, width] = *e.output_type(0)?.shape else { return Err(e.unsupported("this shape")) };
    let len = e.output_type(0)?.len();
    let params = unpool_tokens::Params {
        count: u32_of(len)?,
        tokens: u32_of(tokens)?,
        rows: u32_of(e.input_type(0)?.shape[1])?,
        width: u32_of(width)?,
        dropped: i32::try_from(e.node.attrs.int_or("dropped", -1)).unwrap_or(-1),
        pad0: 0,
        pad1: 0,
        pad2: 0,
    };
    let operands = [e.input(0)?, e.input(1)?, e.input(2)?, e.output(0)?];
    e.dispatch(&unpool_tokens::SHADER, &[], &operands, &params, groups(len)?)
}

fn follow(e: &mut Emit) -> Result<()> {
    let len = e.output_type(0)?.len();
    let params = follow_tokens::Params { count: u32_of(len)?, inputs: tokens(e, 0)?, tokens: tokens(e, 1)?, pad0: 0 };
    let operands = [e.input(0)?, e.input(1)?, e.output(0)?];
    e.dispatch(&follow_tokens::SHADER, &[], &operands, &params, groups(len)?)
}
