//! Between floats and integers. Shader: `shaders/quantize.wgsl`.

use super::emit::{Emit, GpuKernel, grid, u32_of};
use super::shader::quantize::{Params, SHADER};
use crate::Result;
use crate::tensor::{DType, normalize_axis};

pub const KERNELS: &[GpuKernel] = &[GpuKernel::new("DequantizeLinear", emit), GpuKernel::new("QuantizeLinear", emit)];

/// The integers of a type that takes one word on the GPU.
fn range(dtype: DType) -> Option<(f32, f32)> {
    Some(match dtype {
        DType::I8 => (-128.0, 127.0),
        DType::U8 => (0.0, 255.0),
        DType::I16 => (-32768.0, 32767.0),
        DType::U16 => (0.0, 65535.0),
        // The largest f32 below 2³¹.
        DType::I32 => (-2_147_483_648.0, 2_147_483_520.0),
        _ => return None,
    })
}

fn emit(e: &mut Emit) -> Result<()> {
    let back = e.node.op == "DequantizeLinear";
    let (from, to) = (e.input_type(0)?, e.output_type(0)?);
    let (float, integer) = if back { (to.dtype, from.dtype) } else { (from.dtype, to.dtype) };
    let Some((low, high)) =
        range(integer).filter(|_| float == DType::F32 && e.input_type(1).is_ok_and(|t| t.dtype == DType::F32))
    else {
        return Err(e.unsupported(format!("{} to {}", from.dtype.name(), to.dtype.name())));
    };
    let shape = &from.shape;
    let count = from.len();
    // One scale for all; one a position of the axis; or one a block along it.
    let mut params = Params {
        count: u32_of(count)?,
        outer: u32_of(count.max(1))?,
        inner: 1,
        len: 1,
        block: 1,
        blocks: 0,
        step: 0,
        along: 0,
        low,
        high,
    };
    if e.input_type(1)?.len() != 1 {
        let axis = normalize_axis(e.node.attrs.int_or("axis", 1), shape.len())
            .ok_or_else(|| e.node.error("the axis is outside the tensor"))?;
        let (len, inner) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
        let block = e.node.attrs.int_or("block_size", 0).max(0) as usize;
        (params.len, params.inner, params.step) = (u32_of(len)?, u32_of(inner)?, 1);
        if block > 0 {
            params.outer = u32_of(len * inner)?;
            params.block = u32_of(block)?;
            params.blocks = u32_of(len.div_ceil(block))?;
            params.step = params.inner;
            params.along = 1;
        }
    }
    let flag = |f: bool| f64::from(u8::from(f));
    let overrides = [("BACK", flag(back)), ("ZERO", flag(e.has(2)))];
    let operands = [e.input(0)?, e.input(1)?, e.opt_input(2)?, e.output(0)?];
    let groups = grid(count.div_ceil(SHADER.code.workgroup_size[0] as usize))?;
    e.dispatch(&SHADER, &overrides, &operands, &params, groups)
}
