//! Gather, GatherElements and ScatterElements. Shaders: `gather.wgsl`, `gather_elements.wgsl`; CPU twins: `cpu/gather.rs`,
//! `cpu/scatter.rs`.

use super::embed;
use super::emit::{Emit, GpuKernel, grid, u32_of};
use super::movement::{copy, index_words, words};
use super::shader::gather::{Params, SHADER};
use super::shader::gather_elements as elements;
use crate::Result;
use crate::ops::index::{Reduction, axis, reduction};
use crate::ops::params::index;
use crate::ops::strided::Read;
use crate::tensor::strides;

pub const KERNELS: &[GpuKernel] = &[
    GpuKernel { op: "Gather", emit: gather, encoded_inputs: &[0] },
    GpuKernel::new("GatherElements", gather_elements),
    GpuKernel::new("ScatterElements", scatter_elements),
];

/// Constant indices are checked here; others become zeros where they are out of range.
fn check(e: &Emit, len: usize) -> Result<()> {
    if let Some(indices) = e.value(1) {
        for i in indices.to_i64()? {
            index(e.node, i, len)?;
        }
    }
    Ok(())
}

fn gather(e: &mut Emit) -> Result<()> {
    let shape = &e.input_type(0)?.shape;
    let axis = axis(e.node, shape.len())?;
    check(e, shape[axis])?;
    match e.encoded(0) {
        Some(table) if axis == 0 => return embed::emit(e, table),
        Some(_) => return Err(e.unsupported("columns of a few-bit table")),
        None => {}
    }
    let words = words(e)?;
    let inner = shape[axis + 1..].iter().product::<usize>() * words;
    let count = e.output_type(0)?.len() * words;
    let params = Params {
        count: u32_of(count)?,
        len: u32_of(shape[axis])?,
        picks: u32_of(e.input_type(1)?.len())?,
        inner: u32_of(inner)?,
    };
    let overrides = [("INDEX_WORDS", index_words(e, 1)?)];
    let operands = [e.input(0)?, e.input(1)?, e.output(0)?];
    let groups = grid(count.div_ceil(SHADER.code.workgroup_size[0] as usize))?;
    e.dispatch(&SHADER, &overrides, &operands, &params, groups)
}

/// Lengths of the indices and strides of the data per axis (0 along the named one), and the parameters.
fn layout(e: &Emit) -> Result<(Vec<u32>, elements::Params)> {
    let (data, shape) = (&e.input_type(0)?.shape, &e.input_type(1)?.shape);
    let axis = axis(e.node, data.len())?;
    check(e, data[axis])?;
    let mut steps = strides(data);
    let stride = std::mem::replace(&mut steps[axis], 0);
    let mut table = Vec::with_capacity(2 * data.len());
    for (&len, &step) in shape.iter().zip(&steps) {
        table.extend([u32_of(len)?, u32_of(step)?]);
    }
    let count = u32_of(shape.iter().product())?;
    Ok((table, elements::Params { count, rank: data.len() as u32, len: u32_of(data[axis])?, stride: u32_of(stride)? }))
}

fn gather_elements(e: &mut Emit) -> Result<()> {
    let words = words(e)?;
    let (table, params) = layout(e)?;
    let overrides = [("WORDS", words as f64), ("INDEX_WORDS", index_words(e, 1)?)];
    let operands = [e.input(0)?, e.input(1)?, e.constant(&table)?, e.output(0)?];
    let groups = grid((params.count as usize).div_ceil(elements::SHADER.code.workgroup_size[0] as usize))?;
    e.dispatch(&elements::SHADER, &overrides, &operands, &params, groups)
}

fn scatter_elements(e: &mut Emit) -> Result<()> {
    if reduction(e.node)? != Reduction::None {
        return Err(e.unsupported("a reduction"));
    }
    let words = words(e)?;
    let len = e.input_type(0)?.len();
    let (table, params) = layout(e)?;
    let (x, y) = (e.input(0)?, e.output(0)?);
    let everything = Read { shape: vec![len], offset: 0, strides: vec![1] };
    copy(e, &everything, words, &x, &y, &[1], 0)?;
    let overrides = [("WORDS", words as f64), ("INDEX_WORDS", index_words(e, 1)?)];
    let operands = [e.input(2)?, e.input(1)?, e.constant(&table)?, y];
    let groups = grid((params.count as usize).div_ceil(elements::SCATTER.code.workgroup_size[0] as usize))?;
    e.dispatch(&elements::SCATTER, &overrides, &operands, &params, groups)
}
