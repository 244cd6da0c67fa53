//! Conv. Shader: `shaders/conv.wgsl`; depthwise ones go to `depthwise.rs`.

use super::axes::{pads, sizes};
use super::decode::coded_input;
use super::depthwise;
use super::emit::{Emit, GpuKernel, Operand, grid, u32_of};
use super::epilogue::Epilogue;
#[cfg(feature = "full")]
use super::shader::conv::decoding_gated;
use super::shader::conv::{Params, decoding};
use super::tile::{Tile, VARIANTS};
use crate::Result;
use crate::ops::conv::{ConvShape, UNIT_AXIS};
use crate::tensor::DType;

pub const KERNELS: &[GpuKernel] = &[GpuKernel { op: "Conv", emit: conv, encoded_inputs: &[1] }];

/// Inputs.
pub const BIAS: usize = 2;
const RESIDUAL: usize = 3;

fn conv(e: &mut Emit) -> Result<()> {
    let shape = ConvShape::conv(e.node, &e.input_type(0)?.shape, &e.input_type(1)?.shape)?;
    dispatch(e, &shape, None)
}

/// `gate`: which filters and channels are computed, as `choose_filters.wgsl` writes it.
pub fn dispatch(e: &mut Emit, shape: &ConvShape, gate: Option<Operand>) -> Result<()> {
    if e.input_type(0)?.dtype != DType::F32 {
        return Err(e.unsupported("only f32"));
    }
    let axes = shape.axes3().ok_or_else(|| e.unsupported("more than three axes"))?;
    let epilogue = Epilogue::of(e, BIAS, RESIDUAL)?;
    let weight = coded_input(e, 1, shape.group_size().1)?;
    if gate.is_none() && depthwise::suits(shape, &weight) {
        return depthwise::emit(e, shape, &axes, weight, &epilogue);
    }
    let (out_group, columns) = shape.group_size();
    let pixels = shape.out_pixels();
    let default = Tile::of(out_group, pixels, 64).number();
    let tile = Tile::variant(out_group, pixels, e.choose([out_group, columns, pixels], VARIANTS, default));
    let tiles = tile.workgroups().saturating_mul(shape.batch).saturating_mul(shape.groups);
    let params = Params {
        input: sizes(&axes, |a| a.input, shape.in_channels / shape.groups)?,
        output: sizes(&axes, |a| a.output, out_group)?,
        kernel: sizes(&axes, |a| a.kernel, shape.groups)?,
        stride: sizes(&axes, |a| a.stride, 0)?,
        dilation: sizes(&axes, |a| a.dilation, 0)?,
        pad: pads(&axes),
        weight: weight.form,
        columns: u32_of(columns)?,
        tiles_channels: u32_of(tile.rows)?,
        tiles_pixels: u32_of(tile.cols)?,
        tiles: u32_of(tiles)?,
        act_a: epilogue.activation.a,
        act_b: epilogue.activation.b,
    };
    let shader = match gate {
        #[cfg(feature = "full")]
        Some(_) => decoding_gated(weight.stage),
        _ => decoding(weight.stage),
    };
    let second = gate.map_or_else(|| e.opt_input(BIAS), Ok)?;
    let mut operands = vec![e.input(0)?, second, e.opt_input(RESIDUAL)?, e.output(0)?];
    operands.extend(weight.operands);
    let mut overrides = weight.overrides;
    let pointwise = axes.iter().all(|a| a.kernel == UNIT_AXIS.kernel);
    overrides.extend([("LANES", tile.lanes as f64), ("POINTWISE", u32::from(pointwise).into())]);
    overrides.extend(epilogue.overrides());
    e.dispatch(shader, &overrides, &operands, &params, grid(tiles)?)
}
