//! OneHot and small TopK. Shaders: `one_hot.wgsl`, `top_k.wgsl`; CPU twin: `cpu/select.rs`.

use super::emit::{Emit, GpuKernel, grid, u32_of};
use super::movement::index_words;
use super::shader::{one_hot, top_k};
use super::storage::{is_computable, words_per_element};
use crate::Result;
use crate::tensor::{DType, normalize_axis};

pub const KERNELS: &[GpuKernel] = &[GpuKernel::new("OneHot", emit_one_hot), GpuKernel::new("TopK", emit_top_k)];

/// Most comparisons of one lane of TopK; a longer selection is better done by sorting on the host.
const TOP_K_LIMIT: usize = 1 << 16;

fn axis(e: &Emit, rank: usize) -> Result<usize> {
    let axis = e.node.attrs.int_or("axis", -1);
    normalize_axis(axis, rank).ok_or_else(|| e.node.error(format!("axis {axis} is outside rank {rank}")))
}

fn emit_one_hot(e: &mut Emit) -> Result<()> {
    let out = e.output_type(0)?;
    if !is_computable(out.dtype) {
        return Err(e.unsupported(out.dtype.name()));
    }
    let axis = axis(e, out.shape.len())?;
    let params = one_hot::Params {
        count: u32_of(out.len())?,
        depth: u32_of(out.shape[axis])?,
        inner: u32_of(out.shape[axis + 1..].iter().product())?,
        pad0: 0,
    };
    let overrides = [("WORDS", words_per_element(out.dtype) as f64), ("INDEX_WORDS", index_words(e, 0)?)];
    let operands = [e.input(0)?, e.input(2)?, e.output(0)?];
    let groups = grid(out.len().div_ceil(one_hot::SHADER.code.workgroup_size[0] as usize))?;
    e.dispatch(&one_hot::SHADER, &overrides, &operands, &params, groups)
}

fn emit_top_k(e: &mut Emit) -> Result<()> {
    let x = e.input_type(0)?;
    let out = e.output_type(0)?;
    let axis = axis(e, x.shape.len())?;
    let (len, k) = (x.shape[axis], out.shape[axis]);
    if x.dtype != DType::F32 || len.saturating_mul(k) > TOP_K_LIMIT || !e.has_output(1) {
        return Err(e.unsupported("this size or type"));
    }
    let lanes = x.len() / len.max(1);
    let params = top_k::Params {
        lanes: u32_of(lanes)?,
        len: u32_of(len)?,
        k: u32_of(k)?,
        inner: u32_of(x.shape[axis + 1..].iter().product())?,
        largest: u32::from(e.node.attrs.int_or("largest", 1) != 0),
        pad0: 0,
        pad1: 0,
        pad2: 0,
    };
    let operands = [e.input(0)?, e.output(0)?, e.output(1)?];
    let groups = grid(lanes.div_ceil(top_k::SHADER.code.workgroup_size[0] as usize))?;
    e.dispatch(&top_k::SHADER, &[], &operands, &params, groups)
}
