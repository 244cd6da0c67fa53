//! ConvTranspose. Shader: `shaders/conv_transpose.wgsl`.

use super::axes::{pads, sizes};
use super::decode::Coded;
#[cfg(feature = "full")]
use super::decode::{Window, coded};
use super::emit::{Emit, GpuKernel, grid, u32_of};
use super::epilogue::Epilogue;
#[cfg(feature = "full")]
use super::shader::conv_transpose::decoding;
use super::shader::conv_transpose::{NARROW, Params, SHADER};
use crate::Result;
use crate::ops::conv::ConvShape;
use crate::tensor::DType;

/// Small builds have no kernel for few-bit weights.
const ENCODED: &[usize] = if cfg!(feature = "full") { &[1] } else { &[] };
pub const KERNELS: &[GpuKernel] = &[GpuKernel { op: "ConvTranspose", emit: conv_transpose, encoded_inputs: ENCODED }];

/// Output channels and pixels of an invocation, and invocations side by side.
const TILE_CHANNELS: usize = 8;
const TILE_PIXELS: usize = 4;
const LANES: usize = 8;
const WORKGROUP: usize = 64;

/// Few-bit weights that fit the workgroup memory of the shader: eight output channels with all taps.
#[cfg(feature = "full")]
const MOST_TAPS: usize = 1024 / TILE_CHANNELS;

/// The weight, decoded as the kernel goes.
#[cfg(feature = "full")]
fn few_bit(e: &mut Emit, taps: usize) -> Result<Option<Coded>> {
    let Some(encoded) = e.encoded(1) else { return Ok(None) };
    let windows = Window::split(encoded, e.binding_limit());
    match windows.as_slice() {
        [window] if taps <= MOST_TAPS => coded(e, window).map(Some),
        _ => Err(e.unsupported(format!("few-bit weights of {} bytes and {taps} taps", encoded.bytes()))),
    }
}

fn conv_transpose(e: &mut Emit) -> Result<()> {
    let shape = ConvShape::transposed(e.node, &e.input_type(0)?.shape, &e.input_type(1)?.shape)?;
    if e.input_type(0)?.dtype != DType::F32 {
        return Err(e.unsupported("only f32"));
    }
    let axes = shape.axes3().ok_or_else(|| e.unsupported("more than three axes"))?;
    let epilogue = Epilogue::of(e, 2, 3)?;
    let out_group = shape.group_size().0;
    let (in_group, taps) = (shape.in_channels / shape.groups, shape.taps());
    #[cfg(feature = "full")]
    let weight = few_bit(e, taps)?;
    #[cfg(not(feature = "full"))]
    let weight: Option<Coded> = None;
    // Of a depthwise convolution 7 of 8 channels of a wide tile would be wasted.
    let narrow = out_group < TILE_CHANNELS / 2 && weight.is_none();
    // Few-bit weights are decoded by a workgroup for one tile.
    let lanes = if weight.is_some() { WORKGROUP } else { LANES };
    let residues: usize = axes.iter().map(|a| a.stride).product();
    let pixels = axes.map(|a| a.output.div_ceil(a.stride));
    let pixel_tiles = pixels.iter().product::<usize>().div_ceil(TILE_PIXELS * lanes);
    let tiles = pixel_tiles * if narrow { out_group } else { out_group.div_ceil(TILE_CHANNELS) };
    let all_tiles = tiles * shape.batch * shape.groups * residues;
    // Group, output channel, channel, tap; in workgroup memory eight output channels lie side by side.
    let w_stride = match weight {
        None => [in_group * out_group * taps, taps, out_group * taps, 1],
        Some(_) => [0, taps, TILE_CHANNELS * taps, 1],
    };
    let params = Params {
        input: sizes(&axes, |a| a.input, in_group)?,
        output: sizes(&axes, |a| a.output, out_group)?,
        kernel: sizes(&axes, |a| a.kernel, shape.groups)?,
        stride: sizes(&axes, |a| a.stride, 0)?,
        dilation: sizes(&axes, |a| a.dilation, 0)?,
        pad: pads(&axes),
        pixels: [u32_of(pixels[0])?, u32_of(pixels[1])?, u32_of(pixels[2])?, u32_of(pixel_tiles)?],
        w_stride: [u32_of(w_stride[0])?, u32_of(w_stride[1])?, u32_of(w_stride[2])?, u32_of(w_stride[3])?],
        weight: weight.as_ref().map_or([0; 4], |w| w.form),
        tiles: u32_of(tiles)?,
        all_tiles: u32_of(all_tiles)?,
        act_a: epilogue.activation.a,
        act_b: epilogue.activation.b,
    };
    let mut overrides = vec![("LANES", lanes as f64)];
    overrides.extend(epilogue.overrides());
    let groups = grid((all_tiles * lanes).div_ceil(WORKGROUP))?;
    let (x, bias, residual, y) = (e.input(0)?, e.opt_input(2)?, e.opt_input(3)?, e.output(0)?);
    #[cfg(feature = "full")]
    if let Some(weight) = weight {
        let shader = decoding(weight.stage).ok_or_else(|| e.unsupported("dense weights"))?;
        overrides.extend(weight.overrides);
        let operands = [vec![x, bias, residual, y], weight.operands].concat();
        return e.dispatch(shader, &overrides, &operands, &params, groups);
    }
    let shader = if narrow { &NARROW } else { &SHADER };
    let operands = [x, e.input(1)?, bias, residual, y];
    e.dispatch(shader, &overrides, &operands, &params, groups)
}
