//! GatherND and ScatterND. Shader: `gather_nd.wgsl`; CPU twins: `cpu/gather.rs`, `cpu/scatter.rs`.

use super::emit::{Emit, GpuKernel, grid, u32_of};
use super::movement::{copy, index_words, words};
use super::shader::gather_nd::{Params, SCATTER, SHADER};
use crate::Result;
use crate::ops::index::{Reduction, nd_layout, reduction};
use crate::ops::params::index;
use crate::ops::strided::Read;
use crate::tensor::strides;

pub const KERNELS: &[GpuKernel] = &[GpuKernel::new("GatherND", gather), GpuKernel::new("ScatterND", scatter)];

/// The table of named axes and the parameters. Constant indices are checked here.
fn layout(e: &Emit, words: usize) -> Result<(Vec<u32>, Params)> {
    let (data, shape) = (&e.input_type(0)?.shape, &e.input_type(1)?.shape);
    let (batch, depth) = nd_layout(e.node, data, shape)?;
    let steps = strides(data);
    let mut table = Vec::with_capacity(2 * depth);
    for k in batch..batch + depth {
        table.extend([u32_of(data[k])?, u32_of(steps[k] * words)?]);
    }
    if let Some(indices) = e.value(1) {
        for (i, v) in indices.to_i64()?.into_iter().enumerate() {
            index(e.node, v, data[batch + i % depth])?;
        }
    }
    let slice = data[batch + depth..].iter().product::<usize>() * words;
    let tuples: usize = shape[..shape.len() - 1].iter().product();
    let per_batch: usize = shape[batch..shape.len() - 1].iter().product();
    let params = Params {
        count: u32_of(tuples * slice)?,
        slice: u32_of(slice)?,
        depth: u32_of(depth)?,
        per_batch: u32_of(per_batch)?,
        batch_stride: u32_of(data[batch..].iter().product::<usize>() * words)?,
        pad0: 0,
        pad1: 0,
        pad2: 0,
    };
    Ok((if table.is_empty() { vec![0] } else { table }, params))
}

fn gather(e: &mut Emit) -> Result<()> {
    let words = words(e)?;
    let (table, params) = layout(e, words)?;
    let overrides = [("INDEX_WORDS", index_words(e, 1)?)];
    let operands = [e.input(0)?, e.input(1)?, e.constant(&table)?, e.output(0)?];
    let groups = grid((params.count as usize).div_ceil(SHADER.code.workgroup_size[0] as usize))?;
    e.dispatch(&SHADER, &overrides, &operands, &params, groups)
}

fn scatter(e: &mut Emit) -> Result<()> {
    if reduction(e.node)? != Reduction::None {
        return Err(e.unsupported("a reduction"));
    }
    let words = words(e)?;
    let (table, params) = layout(e, words)?;
    let (x, y) = (e.input(0)?, e.output(0)?);
    let everything = Read { shape: vec![e.input_type(0)?.len()], offset: 0, strides: vec![1] };
    copy(e, &everything, words, &x, &y, &[1], 0)?;
    let overrides = [("INDEX_WORDS", index_words(e, 1)?)];
    let operands = [e.input(2)?, e.input(1)?, e.constant(&table)?, y];
    let groups = grid((params.count as usize).div_ceil(SCATTER.code.workgroup_size[0] as usize))?;
    e.dispatch(&SCATTER, &overrides, &operands, &params, groups)
}
