//! Normalisations. Shaders: `shaders/norm.wgsl`, `shaders/batch_norm.wgsl`.

use super::emit::{Emit, GpuKernel, grid, u32_of};
use super::reduce::by_workgroups;
use super::shader::{batch_norm, norm};
use crate::Result;
use crate::tensor::{DType, normalize_axis};

pub const KERNELS: &[GpuKernel] = &[
    GpuKernel::new("BatchNormalization", emit_batch_norm),
    GpuKernel::new("GroupNormalization", group_norm),
    GpuKernel::new("InstanceNormalization", group_norm),
    GpuKernel::new("LayerNormalization", layer_norm),
    GpuKernel::new("RMSNormalization", layer_norm),
];

fn only_f32(e: &Emit) -> Result<()> {
    match e.input_type(0)?.dtype {
        DType::F32 => Ok(()),
        other => Err(e.unsupported(format!("elements of {}", other.name()))),
    }
}

/// `(channels, elements of a channel)` of `[batch, channels, …]`.
fn channels(shape: &[usize]) -> (usize, usize) {
    (shape.get(1).copied().unwrap_or(1), shape.iter().skip(2).product())
}

fn emit_batch_norm(e: &mut Emit) -> Result<()> {
    only_f32(e)?;
    if e.node.attrs.flag("training_mode") {
        return Err(e.unsupported("training mode"));
    }
    let ty = e.input_type(0)?;
    let (channels, size) = channels(&ty.shape);
    let operands = [e.input(0)?, e.input(1)?, e.input(2)?, e.input(3)?, e.input(4)?, e.output(0)?];
    let params = batch_norm::Params {
        count: u32_of(ty.len())?,
        channels: u32_of(channels)?,
        size: u32_of(size)?,
        epsilon: e.node.attrs.float_or("epsilon", 1e-5),
    };
    let groups = grid(ty.len().div_ceil(batch_norm::SHADER.code.workgroup_size[0] as usize))?;
    e.dispatch(&batch_norm::SHADER, &[], &operands, &params, groups)
}

/// Rows of `width` elements in `groups` groups of `channels` channels of `size` elements.
fn dispatch(e: &mut Emit, width: usize, groups: usize, channels: usize, size: usize) -> Result<()> {
    let rows = e.input_type(0)?.len().checked_div(width).unwrap_or(0);
    let flag = |f: bool| f64::from(u8::from(f));
    let overrides = [("RMS", flag(e.node.op == "RMSNormalization")), ("BIAS", flag(e.has(2)))];
    let operands = [e.input(0)?, e.input(1)?, e.opt_input(2)?, e.output(0)?];
    let params = norm::Params {
        rows: u32_of(rows)?,
        width: u32_of(width)?,
        groups: u32_of(groups)?,
        channels: u32_of(channels)?,
        size: u32_of(size)?,
        epsilon: e.node.attrs.float_or("epsilon", 1e-5),
    };
    if by_workgroups(e, rows, width) {
        return e.dispatch(&norm::TREE, &overrides, &operands, &params, grid(rows)?);
    }
    let workgroups = grid(rows.div_ceil(norm::SERIAL.code.workgroup_size[0] as usize))?;
    e.dispatch(&norm::SERIAL, &overrides, &operands, &params, workgroups)
}

fn layer_norm(e: &mut Emit) -> Result<()> {
    only_f32(e)?;
    if e.has_output(1) || e.has_output(2) {
        return Err(e.unsupported("mean and deviation as outputs"));
    }
    let shape = &e.input_type(0)?.shape;
    let axis = normalize_axis(e.node.attrs.int_or("axis", -1), shape.len())
        .ok_or_else(|| e.node.error("the axis is outside the tensor"))?;
    let width: usize = shape[axis..].iter().product();
    for i in 1..3 {
        if e.has(i) && e.input_type(i)?.len() != width {
            return Err(e.unsupported("a scale or bias that repeats"));
        }
    }
    dispatch(e, width, 1, width, 1)
}

fn group_norm(e: &mut Emit) -> Result<()> {
    only_f32(e)?;
    let (all, size) = channels(&e.input_type(0)?.shape);
    let groups = match e.node.op.as_str() {
        "GroupNormalization" => e.node.attrs.int_or("num_groups", 1).max(1) as usize,
        _ => all.max(1),
    };
    if e.input_type(1)?.len() != all || e.input_type(2)?.len() != all {
        return Err(e.unsupported("one scale a group"));
    }
    dispatch(e, all / groups * size, groups, all / groups, size)
}
