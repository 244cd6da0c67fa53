//! Operators that read through one table per axis: Pad and Resize to the nearest pixel. Shader: `lookup.wgsl`; CPU twins:
//! `cpu/pad.rs`, `cpu/resize.rs`.

use super::emit::{Emit, GpuKernel, grid, u32_of};
use super::movement::{ints, words};
use super::shader::lookup::{Params, SHADER};
use crate::Result;
use crate::ops::movement::pads;
use crate::ops::pad::Axis;
use crate::tensor::{DType, strides};

pub const KERNELS: &[GpuKernel] = &[GpuKernel::new("Pad", pad)];

/// `tables[axis][output index]` is the input index, `None` for the fill value, given as the words of an element.
pub fn lookup(e: &mut Emit, tables: &[Vec<Option<usize>>], fill: [u32; 2]) -> Result<()> {
    let words = words(e)?;
    let own = strides(&e.input_type(0)?.shape);
    let count = e.output_type(0)?.len();
    let mut table: Vec<u32> = tables.iter().map(|t| u32_of(t.len())).collect::<Result<_>>()?;
    for (entries, step) in tables.iter().zip(own) {
        for entry in entries {
            table.push(entry.map_or(Ok(u32::MAX), |i| u32_of(i * step))?);
        }
    }
    let params = Params {
        count: u32_of(count)?,
        rank: tables.len() as u32,
        tables: u32_of(table.len())?,
        fill_low: fill[0],
        fill_high: fill[1],
        pad0: 0,
        pad1: 0,
        pad2: 0,
    };
    let table = e.constant(if table.is_empty() { &[0] } else { &table })?;
    let operands = [e.input(0)?, table, e.output(0)?];
    let groups = grid(count.div_ceil(SHADER.code.workgroup_size[0] as usize))?;
    e.dispatch(&SHADER, &[("WORDS", words as f64)], &operands, &params, groups)
}

fn pad(e: &mut Emit) -> Result<()> {
    let (from, out) = (e.input_type(0)?, e.output_type(0)?);
    if out.is_empty() {
        return Ok(());
    }
    let pads = pads(e.node, from.shape.len(), &ints(e))?;
    let mode = e.node.attrs.string_or("mode", "constant");
    let axes = pads.iter().enumerate().map(|(a, p)| Axis::new(from.shape[a], out.shape[a], p.0, mode));
    let tables = axes.map(|a| Ok(a?.from)).collect::<Result<Vec<_>>>()?;
    let fill = match e.value(2) {
        Some(value) => element(&value)?,
        None if e.has(2) => return Err(e.unsupported("a computed fill value")),
        None => [0; 2],
    };
    lookup(e, &tables, fill)
}

/// The first element of a tensor as the GPU stores it.
fn element(value: &crate::tensor::Tensor) -> Result<[u32; 2]> {
    Ok(match value.dtype() {
        DType::F32 => [value.slice::<f32>()?.first().copied().unwrap_or(0.0).to_bits(), 0],
        _ => {
            let v = value.to_i64()?.first().copied().unwrap_or(0) as u64;
            [v as u32, (v >> 32) as u32]
        }
    })
}
