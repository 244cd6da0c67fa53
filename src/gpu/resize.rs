//! Resize. Shaders: `lookup.wgsl` for the nearest pixel, `resize.wgsl` once an axis for the others; CPU twin:
//! `cpu/resize.rs`.

use super::emit::{Emit, GpuKernel, grid, u32_of};
use super::lookup::lookup;
use super::movement::ints;
use super::shader::resize::{Params, SHADER};
use crate::Result;
use crate::ops::resize::{Mode, Plan};
use crate::tensor::{DType, order};

pub const KERNELS: &[GpuKernel] = &[GpuKernel::new("Resize", resize)];

fn resize(e: &mut Emit) -> Result<()> {
    let ty = e.input_type(0)?;
    if e.output_type(0)?.is_empty() {
        return Ok(());
    }
    let floats = |i: usize| match e.value(i) {
        Some(value) => value.to_f32().map(Some),
        None if e.has(i) => Err(e.unsupported(format!("input {i} is not constant"))),
        None => Ok(None),
    };
    let plan = Plan::new(e.node, &ty.shape, &floats, &ints(e))?;
    if plan.mode == Mode::Nearest {
        let tables: Vec<Vec<Option<usize>>> =
            plan.axes.iter().map(|a| (0..a.output).map(|o| plan.nearest(a, o)).collect()).collect();
        let fill = if ty.dtype == DType::F32 { plan.outside.to_bits() } else { plan.outside as i32 as u32 };
        if ty.dtype.size() == 8 && plan.outside != 0.0 {
            return Err(e.unsupported("a 64-bit fill value"));
        }
        return lookup(e, &tables, [fill, 0]);
    }
    if ty.dtype != DType::F32 {
        return Err(e.unsupported("interpolation of other types than f32"));
    }
    let mut shape = ty.shape.clone();
    let mut order: Vec<usize> = (0..shape.len()).filter(|&i| plan.changes(&plan.axes[i])).collect();
    // Axes that shrink come first: fewer elements for the others. An identity still has to be copied once.
    order::sort(&mut order, &|&a, &b| plan.axes[a].scale.total_cmp(&plan.axes[b].scale));
    if order.is_empty() {
        order.extend(shape.len().checked_sub(1));
    }
    let mut x = e.input(0)?;
    for (n, &axis) in order.iter().enumerate() {
        let a = &plan.axes[axis];
        let taps: Vec<_> = (0..a.output).map(|o| plan.taps(a, o)).collect();
        let most = taps.iter().map(|t| t.positions.len()).max().unwrap_or(0).max(1);
        // Every output has as many taps as the one with most; the rest repeat a position with weight 0.
        let mut table = Vec::with_capacity(2 * most * taps.len());
        for t in &taps {
            let last = t.positions.last().map_or(Ok(u32::MAX), |&p| u32_of(p))?;
            for k in 0..most {
                table.push(t.positions.get(k).map_or(Ok(last), |&p| u32_of(p))?);
                table.push(t.weights.get(k).copied().unwrap_or(0.0).to_bits());
            }
        }
        let inner: usize = shape[axis + 1..].iter().product();
        shape[axis] = a.output;
        let count: usize = shape.iter().product();
        let y = if n + 1 == order.len() { e.output(0)? } else { e.scratch(count)? };
        let params = Params {
            count: u32_of(count)?,
            len: u32_of(a.input)?,
            new_len: u32_of(a.output)?,
            inner: u32_of(inner)?,
            taps: u32_of(most)?,
            outside: plan.outside,
            pad0: 0,
            pad1: 0,
        };
        let table = e.constant(if table.is_empty() { &[0] } else { &table })?;
        let groups = grid(count.div_ceil(SHADER.code.workgroup_size[0] as usize))?;
        e.dispatch(&SHADER, &[], &[x, table, y.clone()], &params, groups)?;
        x = y;
    }
    Ok(())
}
