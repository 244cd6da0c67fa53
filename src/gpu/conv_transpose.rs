//! ConvTranspose. Shader: `shaders/conv_transpose.wgsl`.

use super::axes::{pads, sizes};
use super::emit::{Emit, GpuKernel, grid, u32_of};
use super::epilogue::Epilogue;
use super::shader::conv_transpose::{NARROW, Params, SHADER};
use crate::Result;
use crate::ops::conv::ConvShape;
use crate::tensor::DType;

pub const KERNELS: &[GpuKernel] = &[GpuKernel::new("ConvTranspose", conv_transpose)];

/// Output channels and pixels of an invocation, and invocations side by side.
const TILE_CHANNELS: usize = 8;
const TILE_PIXELS: usize = 4;
const LANES: usize = 8;

fn conv_transpose(e: &mut Emit) -> Result<()> {
    let shape = ConvShape::transposed(e.node, &e.input_type(0)?.shape, &e.input_type(1)?.shape)?;
    if e.input_type(0)?.dtype != DType::F32 {
        return Err(e.unsupported("only f32"));
    }
    let axes = shape.axes3().ok_or_else(|| e.unsupported("more than three axes"))?;
    let epilogue = Epilogue::of(e, 2, 3)?;
    let out_group = shape.group_size().0;
    let (in_group, taps) = (shape.in_channels / shape.groups, shape.taps());
    // Of a depthwise convolution 7 of 8 channels of a wide tile would be wasted.
    let narrow = out_group < TILE_CHANNELS / 2;
    let residues: usize = axes.iter().map(|a| a.stride).product();
    let pixels = axes.map(|a| a.output.div_ceil(a.stride));
    let pixel_tiles = pixels.iter().product::<usize>().div_ceil(TILE_PIXELS * LANES);
    let tiles = pixel_tiles * if narrow { out_group } else { out_group.div_ceil(TILE_CHANNELS) };
    let all_tiles = tiles * shape.batch * shape.groups * residues;
    // Group, output channel, channel, tap.
    let w_stride = [in_group * out_group * taps, taps, out_group * taps, 1];
    let params = Params {
        input: sizes(&axes, |a| a.input, in_group)?,
        output: sizes(&axes, |a| a.output, out_group)?,
        kernel: sizes(&axes, |a| a.kernel, shape.groups)?,
        stride: sizes(&axes, |a| a.stride, 0)?,
        dilation: sizes(&axes, |a| a.dilation, 0)?,
        pad: pads(&axes),
        pixels: [u32_of(pixels[0])?, u32_of(pixels[1])?, u32_of(pixels[2])?, u32_of(pixel_tiles)?],
        w_stride: [u32_of(w_stride[0])?, u32_of(w_stride[1])?, u32_of(w_stride[2])?, u32_of(w_stride[3])?],
        tiles: u32_of(tiles)?,
        all_tiles: u32_of(all_tiles)?,
        act_a: epilogue.activation.a,
        act_b: epilogue.activation.b,
    };
    let operands = [e.input(0)?, e.input(1)?, e.opt_input(2)?, e.opt_input(3)?, e.output(0)?];
    let shader = if narrow { &NARROW } else { &SHADER };
    let mut overrides = vec![("LANES", LANES as f64)];
    overrides.extend(epilogue.overrides());
    e.dispatch(shader, &overrides, &operands, &params, grid((all_tiles * LANES).div_ceil(64))?)
}
