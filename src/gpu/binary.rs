//! Elementwise operators of several tensors, with broadcasting. Shaders: `shaders/binary.wgsl`, `shaders/choose.wgsl`;
//! the numbers of operators and types are shared with the former.

use super::emit::{Emit, GpuKernel, Operand, grid, u32_of};
use super::shader::{binary, choose};
use super::storage::{is_computable, words_per_element};
use crate::Result;
use crate::tensor::walk::Walk;
use crate::tensor::{DType, TensorType};

pub const KERNELS: &[GpuKernel] = &[
    GpuKernel::new("Add", emit),
    GpuKernel::new("And", emit),
    GpuKernel::new("BitShift", emit),
    GpuKernel::new("BitwiseAnd", emit),
    GpuKernel::new("BitwiseOr", emit),
    GpuKernel::new("BitwiseXor", emit),
    GpuKernel::new("Div", emit),
    GpuKernel::new("Equal", emit),
    GpuKernel::new("Greater", emit),
    GpuKernel::new("GreaterOrEqual", emit),
    GpuKernel::new("Less", emit),
    GpuKernel::new("LessOrEqual", emit),
    GpuKernel::new("Max", variadic),
    GpuKernel::new("Mean", variadic),
    GpuKernel::new("Min", variadic),
    GpuKernel::new("Mod", emit),
    GpuKernel::new("Mul", emit),
    GpuKernel::new("Or", emit),
    GpuKernel::new("PRelu", emit),
    GpuKernel::new("Pow", emit),
    GpuKernel::new("Sub", emit),
    GpuKernel::new("Sum", variadic),
    GpuKernel::new("SwiGLU", emit),
    GpuKernel::new("Where", choice),
    GpuKernel::new("Xor", emit),
];

/// Axes a shader's uniform has room for, after merging.
const MAX_RANK: usize = 8;

/// The operator's number, if it computes elements of `dtype`.
fn number(e: &Emit, op: &str, dtype: DType) -> Option<u32> {
    use DType::{Bool, F32, I32, I64, U32};
    let attrs = &e.node.attrs;
    let (op, types): (u32, &[DType]) = match op {
        "Add" | "Sum" => (0, &[F32, I32, U32, I64]),
        "Sub" => (1, &[F32, I32, U32, I64]),
        "Mul" => (2, &[F32, I32, U32, I64]),
        "Div" => (3, &[F32, I32, U32]),
        "Pow" => (4, &[F32]),
        "Max" => (5, &[F32, I32, U32, I64]),
        "Min" => (6, &[F32, I32, U32, I64]),
        "Mod" => (if attrs.flag("fmod") { 8 } else { 7 }, &[F32, I32, U32]),
        "PRelu" => (9, &[F32]),
        "Mean" => (10, &[F32]),
        "SwiGLU" => (11, &[F32]),
        "Equal" => (16, &[F32, I32, U32, I64, Bool]),
        "Greater" => (17, &[F32, I32, U32, I64]),
        "GreaterOrEqual" => (18, &[F32, I32, U32, I64]),
        "Less" => (19, &[F32, I32, U32, I64]),
        "LessOrEqual" => (20, &[F32, I32, U32, I64]),
        "And" => (32, &[Bool]),
        "Or" => (33, &[Bool]),
        "Xor" => (34, &[Bool]),
        "BitwiseAnd" => (32, &[I32, U32]),
        "BitwiseOr" => (33, &[I32, U32]),
        "BitwiseXor" => (34, &[I32, U32]),
        "BitShift" if attrs.string("direction") == Some("LEFT") => (35, &[U32]),
        "BitShift" => (36, &[U32]),
        _ => return None,
    };
    types.contains(&dtype).then_some(op)
}

/// Merged axes of `out` as the shaders take them: `(size, stride of each operand)`, and their number.
fn axes(e: &Emit, out: &[usize], operands: &[&[usize]]) -> Result<([[u32; 4]; MAX_RANK], u32)> {
    let (dims, strides) = Walk::new(out, operands).axes();
    let mut axes = [[1, 0, 0, 0]; MAX_RANK];
    if dims.len() > MAX_RANK {
        return Err(e.unsupported(format!("{} axes that do not merge", dims.len())));
    }
    for (k, axis) in axes.iter_mut().enumerate().take(dims.len()) {
        axis[0] = u32_of(dims[k])?;
        for (slot, s) in axis[1..].iter_mut().zip(&strides) {
            *slot = u32_of(s[k])?;
        }
    }
    Ok((axes, dims.len() as u32))
}

/// `out = op(a, b)`: each operand with its shape, the output with its type, `scale` as the shader says.
/// A comparison's element type is that of the node's first input; any other operator's that of `out`.
pub fn dispatch(
    e: &mut Emit,
    op: &str,
    [(a, a_shape), (b, b_shape)]: [(Operand, &[usize]); 2],
    (out, ty): (Operand, &TensorType),
    scale: f32,
) -> Result<()> {
    let dtype = if ty.dtype == DType::Bool { e.input_type(0)?.dtype } else { ty.dtype };
    let number = number(e, op, dtype).ok_or_else(|| e.unsupported(format!("{op} of {}", dtype.name())))?;
    let kind = match dtype {
        DType::F32 => 0,
        DType::I32 => 1,
        DType::I64 => 3,
        _ => 2,
    };
    let (axes, rank) = axes(e, &ty.shape, &[a_shape, b_shape])?;
    let overrides = [("OP", number.into()), ("TYPE", kind.into()), ("RANK", rank.into())];
    let params = binary::Params { axes, count: u32_of(ty.len())?, scale };
    let groups = grid(ty.len().div_ceil(binary::SHADER.code.workgroup_size[0] as usize))?;
    e.dispatch(&binary::SHADER, &overrides, &[a, b, out], &params, groups)
}

fn emit(e: &mut Emit) -> Result<()> {
    let (a, b, y) = (e.input_type(0)?, e.input_type(1)?, e.output_type(0)?);
    if a.dtype != b.dtype {
        return Err(e.unsupported(format!("{} with {}", a.dtype.name(), b.dtype.name())));
    }
    let operands = [(e.input(0)?, a.shape.as_slice()), (e.input(1)?, b.shape.as_slice())];
    let out = e.output(0)?;
    let op = e.node.op.as_str();
    let alpha = e.node.attrs.float_or("alpha", 1.0);
    dispatch(e, op, operands, (out, y), alpha)
}

/// A chain of pairs; partial results alternate between the output and a temporary buffer, the last lies in the output.
fn variadic(e: &mut Emit) -> Result<()> {
    let (count, ty) = (e.node.inputs.len(), e.output_type(0)?);
    let op = e.node.op.as_str();
    if count < 2 {
        return Err(e.unsupported("a single input"));
    }
    let temporary = match count {
        2 => e.absent(),
        _ => e.scratch((ty.len() * words_per_element(ty.dtype)).max(4))?,
    };
    let mut total = (e.input(0)?, e.input_type(0)?.shape.as_slice());
    for i in 1..count {
        let last = i + 1 == count;
        let target = if (count - 1 - i).is_multiple_of(2) { e.output(0)? } else { temporary.clone() };
        let step = if op == "Mean" && !last { "Sum" } else { op };
        let next = (e.input(i)?, e.input_type(i)?.shape.as_slice());
        dispatch(e, step, [total, next], (target.clone(), ty), 1.0 / count as f32)?;
        total = (target, &ty.shape);
    }
    Ok(())
}

fn choice(e: &mut Emit) -> Result<()> {
    let y = e.output_type(0)?;
    if !is_computable(y.dtype) {
        return Err(e.unsupported(format!("elements of {}", y.dtype.name())));
    }
    let shapes = [&*e.input_type(0)?.shape, &*e.input_type(1)?.shape, &*e.input_type(2)?.shape];
    let (axes, rank) = axes(e, &y.shape, &shapes)?;
    let operands = [e.input(0)?, e.input(1)?, e.input(2)?, e.output(0)?];
    let overrides = [("RANK", rank.into()), ("WORDS", words_per_element(y.dtype) as f64)];
    let params = choose::Params { axes, count: u32_of(y.len())? };
    let groups = grid(y.len().div_ceil(choose::SHADER.code.workgroup_size[0] as usize))?;
    e.dispatch(&choose::SHADER, &overrides, &operands, &params, groups)
}
