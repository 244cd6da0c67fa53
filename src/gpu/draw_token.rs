//! The next token of sampling. Shader: `shaders/draw_token.wgsl`; CPU twin: `cpu/draw_token.rs`.

use super::emit::{Emit, GpuKernel, grid, u32_of};
use super::shader::draw_token::{Params, SHADER};
use crate::Result;
use crate::tensor::DType;

pub const KERNELS: &[GpuKernel] = &[GpuKernel::new("fewbit.DrawToken", emit)];

fn emit(e: &mut Emit) -> Result<()> {
    let logits = e.input_type(0)?;
    if logits.dtype != DType::F32 {
        return Err(e.unsupported("only f32"));
    }
    let rows = e.output_type(0)?.len();
    let params = Params { rows: u32_of(rows)?, width: u32_of(logits.len() / rows.max(1))? };
    let operands = [e.input(0)?, e.input(1)?, e.output(0)?];
    e.dispatch(&SHADER, &[], &operands, &params, grid(rows)?)
}
