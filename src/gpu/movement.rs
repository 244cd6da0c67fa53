//! Operators that are strided copies, one or several. Shader: `shaders/strided.wgsl`; CPU twin: `cpu/movement.rs`.

use super::emit::{Emit, GpuKernel, Operand, grid, u32_of};
use super::shader::strided::{Params, SHADER};
use super::shader::trilu;
use super::storage::{is_computable, words_per_element};
use crate::ops::movement as types;
use crate::ops::strided::Read;
use crate::tensor::{DType, strides};
use crate::{Error, Result};

pub const KERNELS: &[GpuKernel] = &[
    GpuKernel::new("Transpose", read),
    GpuKernel::new("Slice", read),
    GpuKernel::new("Expand", read),
    GpuKernel::new("Tile", read),
    GpuKernel::new("DepthToSpace", read),
    GpuKernel::new("SpaceToDepth", read),
    GpuKernel::new("Reshape", whole),
    GpuKernel::new("Flatten", whole),
    GpuKernel::new("Squeeze", whole),
    GpuKernel::new("Unsqueeze", whole),
    GpuKernel::new("Identity", whole),
    GpuKernel::new("Concat", concat),
    GpuKernel::new("Split", split),
    GpuKernel::new("Trilu", trilu),
];

/// 32-bit words of an element of input 0, refused for types that only live on the host.
pub fn words(e: &Emit) -> Result<usize> {
    let dtype = e.input_type(0)?.dtype;
    if is_computable(dtype) { Ok(words_per_element(dtype)) } else { Err(e.unsupported(dtype.name())) }
}

/// The planner's integer parameters, from weights.
pub fn ints<'a>(e: &'a Emit) -> impl Fn(usize) -> Result<Option<Vec<i64>>> + 'a {
    |i| match e.value(i) {
        Some(value) => value.to_i64().map(Some),
        None if e.has(i) => Err(e.unsupported(format!("input {i} is not constant"))),
        None => Ok(None),
    }
}

/// Records the copy of `read` from `x` to `y`, where `y` has strides `to` and begins at `start`, all in elements.
pub fn copy(
    e: &mut Emit,
    read: &Read,
    words: usize,
    x: &Operand,
    y: &Operand,
    to: &[usize],
    start: usize,
) -> Result<()> {
    let count = read.shape.iter().product::<usize>() * words;
    if count == 0 {
        return Ok(());
    }
    // In words: every stride grows, and the words of an element are one more axis.
    let shape = read.shape.iter().copied().chain([words]).collect();
    let from = read.strides.iter().map(|s| s * words as isize).chain([1]).collect();
    let to: Vec<usize> = to.iter().map(|s| s * words).chain([1]).collect();
    let in_words = Read { shape, offset: read.offset * words, strides: from };
    let axes = in_words.axes(&to);
    let mut table = Vec::with_capacity(3 * axes.len());
    for axis in &axes {
        let from = i32::try_from(axis.from).map_err(|_| Error::Unsupported("a stride beyond 32 bits".into()))?;
        table.extend([u32_of(axis.len)?, from as u32, u32_of(axis.to)?]);
    }
    let params = Params {
        count: u32_of(count)?,
        rank: axes.len() as u32,
        from_start: i32::try_from(in_words.offset).map_err(|_| e.unsupported("an offset beyond 31 bits"))?,
        to_start: u32_of(start * words)?,
    };
    let table = e.constant(if table.is_empty() { &[0] } else { &table })?;
    let groups = grid(count.div_ceil(SHADER.code.workgroup_size[0] as usize))?;
    e.dispatch(&SHADER, &[], &[x.clone(), table, y.clone()], &params, groups)
}

/// A read of everything, in order.
fn all(shape: &[usize]) -> Read {
    Read { shape: shape.to_vec(), offset: 0, strides: strides(shape).iter().map(|&s| s as isize).collect() }
}

fn read(e: &mut Emit) -> Result<()> {
    let words = words(e)?;
    let out = &e.output_type(0)?.shape;
    let read = Read::of(e.node, &e.input_type(0)?.shape, out, &ints(e))?;
    let (x, y) = (e.input(0)?, e.output(0)?);
    let to = strides(&read.shape);
    copy(e, &read, words, &x, &y, &to, 0)
}

fn whole(e: &mut Emit) -> Result<()> {
    let words = words(e)?;
    let shape = [e.input_type(0)?.len()];
    let (x, y) = (e.input(0)?, e.output(0)?);
    copy(e, &all(&shape), words, &x, &y, &[1], 0)
}

fn concat(e: &mut Emit) -> Result<()> {
    let words = words(e)?;
    let out = &e.output_type(0)?.shape;
    let axis = types::axis_or(e.node, 0, out.len())?;
    let to = strides(out);
    let y = e.output(0)?;
    let mut at = 0;
    for i in 0..e.node.inputs.len() {
        let shape = &e.input_type(i)?.shape;
        let x = e.input(i)?;
        copy(e, &all(shape), words, &x, &y, &to, at * to[axis])?;
        at += shape[axis];
    }
    Ok(())
}

fn split(e: &mut Emit) -> Result<()> {
    let words = words(e)?;
    let shape = &e.input_type(0)?.shape;
    let axis = types::axis_or(e.node, 0, shape.len())?;
    let from = strides(shape);
    let x = e.input(0)?;
    let mut at = 0;
    for i in 0..e.node.outputs.len() {
        if !e.has_output(i) {
            return Err(e.unsupported("an output left out"));
        }
        let part = &e.output_type(i)?.shape;
        let strides_from = from.iter().map(|&s| s as isize).collect();
        let read = Read { shape: part.clone(), offset: at * from[axis], strides: strides_from };
        let y = e.output(i)?;
        copy(e, &read, words, &x, &y, &strides(part), 0)?;
        at += part[axis];
    }
    Ok(())
}

fn trilu(e: &mut Emit) -> Result<()> {
    let words = words(e)?;
    let ty = e.input_type(0)?;
    let &[.., rows, cols] = &ty.shape[..] else { return Err(e.node.error("needs matrices")) };
    let k = ints(e)(1)?.and_then(|k| k.first().copied()).unwrap_or(0);
    let params = trilu::Params {
        count: u32_of(ty.len())?,
        rows: u32_of(rows)?,
        cols: u32_of(cols)?,
        upper: u32::from(e.node.attrs.int_or("upper", 1) != 0),
        k: k.clamp(-(1 << 30), 1 << 30) as i32,
        pad0: 0,
        pad1: 0,
        pad2: 0,
    };
    let operands = [e.input(0)?, e.output(0)?];
    let groups = grid(ty.len().div_ceil(trilu::SHADER.code.workgroup_size[0] as usize))?;
    e.dispatch(&trilu::SHADER, &[("WORDS", words as f64)], &operands, &params, groups)
}

/// Words of an index: two for int64, one for int32.
pub fn index_words(e: &Emit, input: usize) -> Result<f64> {
    match e.input_type(input)?.dtype {
        DType::I64 => Ok(2.0),
        DType::I32 => Ok(1.0),
        other => Err(e.unsupported(format!("indices of {}", other.name()))),
    }
}
