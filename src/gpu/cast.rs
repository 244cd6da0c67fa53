//! Conversion between dtypes. Shader: `shaders/convert.wgsl`; the types' numbers are shared with it.

use super::emit::{Emit, GpuKernel, grid, u32_of};
use super::shader::convert::{Params, SHADER};
use crate::Result;
use crate::tensor::DType;

pub const KERNELS: &[GpuKernel] = &[GpuKernel::new("Cast", emit), GpuKernel::new("CastLike", emit)];

fn number(e: &Emit, dtype: DType) -> Result<f64> {
    Ok(match dtype {
        DType::F32 => 0.0,
        DType::I32 => 1.0,
        DType::U32 => 2.0,
        DType::I64 => 3.0,
        DType::Bool => 4.0,
        DType::I8 => 5.0,
        DType::I16 => 6.0,
        DType::U8 => 7.0,
        DType::U16 => 8.0,
        _ => return Err(e.unsupported(format!("elements of {}", dtype.name()))),
    })
}

fn emit(e: &mut Emit) -> Result<()> {
    let (from, to) = (e.input_type(0)?, e.output_type(0)?);
    let overrides = [("FROM", number(e, from.dtype)?), ("TO", number(e, to.dtype)?)];
    // A cast to the own type is a copy of words, which the numbers of i32 or i64 describe.
    let same = if from.dtype.size() == 8 { 3.0 } else { 1.0 };
    let overrides = if from.dtype == to.dtype { [("FROM", same), ("TO", same)] } else { overrides };
    let operands = [e.input(0)?, e.output(0)?];
    let groups = grid(to.len().div_ceil(SHADER.code.workgroup_size[0] as usize))?;
    e.dispatch(&SHADER, &overrides, &operands, &Params { count: u32_of(to.len())? }, groups)
}
