//! Operators along one axis. Shaders: `shaders/softmax.wgsl`, `shaders/axis.wgsl`, whose operators' numbers are shared.

use super::emit::{Emit, GpuKernel, grid, u32_of};
use super::reduce::by_workgroups;
use super::shader::{axis, softmax};
use crate::Result;
use crate::tensor::{DType, normalize_axis};

pub const KERNELS: &[GpuKernel] = &[
    GpuKernel::new("ArgMax", arg_extreme),
    GpuKernel::new("ArgMin", arg_extreme),
    GpuKernel::new("CumProd", cumulate),
    GpuKernel::new("CumSum", cumulate),
    GpuKernel::new("Hardmax", hardmax),
    GpuKernel::new("LogSoftmax", emit_softmax),
    GpuKernel::new("Softmax", emit_softmax),
];

/// Input 0 as `[outer, len, inner]` around an axis: `(rows = outer · inner, len, inner)`.
fn around(e: &Emit, axis: i64) -> Result<(usize, usize, usize)> {
    let shape = &e.input_type(0)?.shape;
    if shape.is_empty() {
        return Ok((1, 1, 1));
    }
    let axis = normalize_axis(axis, shape.len()).ok_or_else(|| e.node.error("the axis is outside the tensor"))?;
    let inner: usize = shape[axis + 1..].iter().product();
    Ok((shape[..axis].iter().product::<usize>() * inner, shape[axis], inner))
}

fn emit_softmax(e: &mut Emit) -> Result<()> {
    if e.input_type(0)?.dtype != DType::F32 {
        return Err(e.unsupported("only f32"));
    }
    let (rows, len, inner) = around(e, e.node.attrs.int_or("axis", -1))?;
    let operands = [e.input(0)?, e.output(0)?];
    let overrides = [("LOG", f64::from(u8::from(e.node.op == "LogSoftmax")))];
    let params = softmax::Params { rows: u32_of(rows)?, len: u32_of(len)?, inner: u32_of(inner)? };
    if inner == 1 && by_workgroups(e, rows, len) {
        return e.dispatch(&softmax::TREE, &overrides, &operands, &params, grid(rows)?);
    }
    let groups = grid(rows.div_ceil(softmax::SERIAL.code.workgroup_size[0] as usize))?;
    e.dispatch(&softmax::SERIAL, &overrides, &operands, &params, groups)
}

/// `flags`: LAST, EXCLUSIVE, REVERSE of the shader.
fn dispatch(e: &mut Emit, op: u32, axis: i64, flags: [bool; 3]) -> Result<()> {
    let integer = match e.input_type(0)?.dtype {
        DType::F32 => false,
        DType::I32 => true,
        other => return Err(e.unsupported(format!("elements of {}", other.name()))),
    };
    let (rows, len, inner) = around(e, axis)?;
    // Without elements along the axis there is nothing to write.
    let rows = if len == 0 { 0 } else { rows };
    let flag = |f: bool| f64::from(u8::from(f));
    let [last, exclusive, reverse] = flags.map(flag);
    let overrides =
        [("OP", op.into()), ("INTEGER", flag(integer)), ("LAST", last), ("EXCLUSIVE", exclusive), ("REVERSE", reverse)];
    let operands = [e.input(0)?, e.output(0)?];
    let params = axis::Params { rows: u32_of(rows)?, len: u32_of(len)?, inner: u32_of(inner)? };
    let groups = grid(rows.div_ceil(axis::SHADER.code.workgroup_size[0] as usize))?;
    e.dispatch(&axis::SHADER, &overrides, &operands, &params, groups)
}

fn arg_extreme(e: &mut Emit) -> Result<()> {
    let attrs = &e.node.attrs;
    let op = if e.node.op == "ArgMax" { 0 } else { 1 };
    dispatch(e, op, attrs.int_or("axis", 0), [attrs.flag("select_last_index"), false, false])
}

fn cumulate(e: &mut Emit) -> Result<()> {
    let axis = e.value(1).map(|t| t.to_i64()).transpose()?.and_then(|a| a.first().copied());
    let axis = axis.ok_or_else(|| e.unsupported("an axis known only at run time"))?;
    let attrs = &e.node.attrs;
    let op = if e.node.op == "CumSum" { 2 } else { 3 };
    dispatch(e, op, axis, [false, attrs.flag("exclusive"), attrs.flag("reverse")])
}

fn hardmax(e: &mut Emit) -> Result<()> {
    if e.input_type(0)?.dtype != DType::F32 {
        return Err(e.unsupported("only f32"));
    }
    dispatch(e, 4, e.node.attrs.int_or("axis", -1), [false; 3])
}
