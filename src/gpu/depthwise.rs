//! Depthwise convolutions. Shader: `shaders/depthwise.wgsl`.

use super::axes::{pads, sizes};
use super::decode::Coded;
use super::emit::{Emit, grid, u32_of};
use super::epilogue::Epilogue;
use super::shader::depthwise::{Params, decoding};
use crate::Result;
use crate::ops::conv::{ConvAxis, ConvShape};

/// Taps that the shader can hold decoded.
const MOST_TAPS: usize = 64;

/// Whether every output channel reads one input channel, with weights that the kernel can hold.
pub fn suits(shape: &ConvShape, weight: &Coded) -> bool {
    shape.in_channels == shape.groups && (weight.is_dense() || shape.taps() <= MOST_TAPS)
}

pub fn emit(e: &mut Emit, shape: &ConvShape, axes: &[ConvAxis; 3], weight: Coded, epilogue: &Epilogue) -> Result<()> {
    let runs = axes[2].output.div_ceil(8);
    let total = [shape.batch, shape.out_channels, axes[0].output, axes[1].output, runs]
        .iter()
        .fold(1usize, |product, &n| product.saturating_mul(n));
    let params = Params {
        input: sizes(axes, |a| a.input, shape.group_size().0)?,
        output: sizes(axes, |a| a.output, shape.out_channels)?,
        kernel: sizes(axes, |a| a.kernel, runs)?,
        stride: sizes(axes, |a| a.stride, 0)?,
        dilation: sizes(axes, |a| a.dilation, 0)?,
        pad: pads(axes),
        weight: weight.form,
        total: u32_of(total)?,
        act_a: epilogue.activation.a,
        act_b: epilogue.activation.b,
    };
    let shader = decoding(weight.stage);
    let mut operands = vec![e.input(0)?, e.opt_input(2)?, e.opt_input(3)?, e.output(0)?];
    operands.extend(weight.operands);
    let mut overrides = weight.overrides;
    overrides.push(("DILATED", u32::from(axes[2].dilation > 1).into()));
    overrides.extend(epilogue.overrides());
    e.dispatch(shader, &overrides, &operands, &params, grid(total.div_ceil(64))?)
}
