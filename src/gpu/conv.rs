//! Conv and ConvTranspose. Shader: `shaders/conv.wgsl`; few-bit weights are decoded ahead.

use super::decode;
use super::emit::{Emit, GpuKernel, grid, u32_of};
use super::epilogue::Epilogue;
use super::gemm::LANES;
use super::shader::conv::{NARROW, Params, SHADER, TRANSPOSED, TRANSPOSED_NARROW};
use crate::Result;
use crate::ops::conv::{ConvAxis, ConvShape};
use crate::tensor::DType;

pub const KERNELS: &[GpuKernel] = &[
    GpuKernel { op: "Conv", emit: conv, encoded_inputs: &[1] },
    GpuKernel { op: "ConvTranspose", emit: conv_transpose, encoded_inputs: &[1] },
];

/// Output channels and pixels of an invocation.
const TILE_CHANNELS: usize = 8;
const TILE_PIXELS: usize = 4;

fn conv(e: &mut Emit) -> Result<()> {
    let shape = ConvShape::conv(e.node, &e.input_type(0)?.shape, &e.input_type(1)?.shape)?;
    emit(e, &shape, false)
}

fn conv_transpose(e: &mut Emit) -> Result<()> {
    let shape = ConvShape::transposed(e.node, &e.input_type(0)?.shape, &e.input_type(1)?.shape)?;
    emit(e, &shape, true)
}

fn emit(e: &mut Emit, shape: &ConvShape, transposed: bool) -> Result<()> {
    if e.input_type(0)?.dtype != DType::F32 {
        return Err(e.unsupported("only f32"));
    }
    let axes = shape.axes3().ok_or_else(|| e.unsupported("more than three axes"))?;
    let epilogue = Epilogue::of(e, 2, 3)?;
    let (out_group, _) = shape.group_size();
    let (in_group, taps) = (shape.in_channels / shape.groups, shape.taps());
    // Of a depthwise convolution 7 of 8 channels of a wide tile would be wasted.
    let narrow = out_group < TILE_CHANNELS / 2;
    let (residues, pixels) = if transposed {
        let residues: usize = axes.iter().map(|a| a.stride).product();
        (residues, axes.map(|a| a.output.div_ceil(a.stride)))
    } else {
        (1, axes.map(|a| a.output))
    };
    let pixel_tiles = pixels.iter().product::<usize>().div_ceil(TILE_PIXELS * LANES);
    let tiles = pixel_tiles * if narrow { out_group } else { out_group.div_ceil(TILE_CHANNELS) };
    let all_tiles = tiles * shape.batch * shape.groups * residues;
    // Group, output channel, channel, tap.
    let w_stride = if transposed {
        [in_group * out_group * taps, taps, out_group * taps, 1]
    } else {
        [out_group * in_group * taps, in_group * taps, taps, 1]
    };
    let of = |f: fn(&ConvAxis) -> usize, last: usize| -> Result<[u32; 4]> {
        Ok([u32_of(f(&axes[0]))?, u32_of(f(&axes[1]))?, u32_of(f(&axes[2]))?, u32_of(last)?])
    };
    let pad = |a: &ConvAxis| i32::try_from(a.pad).unwrap_or(i32::MAX);
    let params = Params {
        input: of(|a| a.input, in_group)?,
        output: of(|a| a.output, out_group)?,
        kernel: of(|a| a.kernel, shape.groups)?,
        stride: of(|a| a.stride, 0)?,
        dilation: of(|a| a.dilation, 0)?,
        pad: [pad(&axes[0]), pad(&axes[1]), pad(&axes[2]), 0],
        pixels: [u32_of(pixels[0])?, u32_of(pixels[1])?, u32_of(pixels[2])?, u32_of(pixel_tiles)?],
        w_stride: [u32_of(w_stride[0])?, u32_of(w_stride[1])?, u32_of(w_stride[2])?, u32_of(w_stride[3])?],
        tiles: u32_of(tiles)?,
        all_tiles: u32_of(all_tiles)?,
        act_a: epilogue.activation.a,
        act_b: epilogue.activation.b,
    };
    let weight = match e.encoded(1) {
        Some(encoded) => decode::to_scratch(e, encoded, false)?,
        None => e.input(1)?,
    };
    let operands = [e.input(0)?, weight, e.opt_input(2)?, e.opt_input(3)?, e.output(0)?];
    let shader = match (transposed, narrow) {
        (false, false) => &SHADER,
        (false, true) => &NARROW,
        (true, false) => &TRANSPOSED,
        (true, true) => &TRANSPOSED_NARROW,
    };
    let mut overrides = vec![("LANES", LANES as f64)];
    overrides.extend(epilogue.overrides());
    e.dispatch(shader, &overrides, &operands, &params, grid((all_tiles * LANES).div_ceil(64))?)
}
