//! Conv and its relatives. Most convolutions are products of the weight with patches of the image (`patches`);
//! depthwise ones have their own loop. Between convolutions channels may lie last (`last`, `channelwise`, `spread`):
//! `cpu::layout` decides and names such nodes `fewbit.Conv`. ConvTranspose is a few ordinary convolutions, one per
//! remainder of the output position modulo the stride.

mod channelwise;
mod conv_transpose;
mod deform;
mod depthwise;
#[cfg(feature = "full")]
pub mod gated;
mod gather;
mod last;
mod patches;
pub mod plain;
mod spread;
mod weights;

use std::sync::Arc;

use super::decode::{EncodedRows, decode_row};
use super::gemm::{Bias, Divide, Epilogue, Operand, Pack, Panels, Product, Strided, with_scratch};
use super::layout::{self, Form};
use super::numeric::{self, for_ring};
use super::product::{dense_weight, encoded};
use super::{Call, Kernel, Prepare, Prepared, Threads};
use crate::graph::Weight;
use crate::ops::conv::ConvShape;
use crate::ops::epilogue::{Activation, Residual};
use crate::tensor::DType;
use crate::{Error, Result};
use patches::{Patches, TapAxis};
use weights::Weights;

pub const KERNELS: &[Kernel] = &[
    Kernel { op: "Conv", run: conv, prepare: Some(prepare_conv), encoded_inputs: &[1] },
    Kernel { op: "fewbit.Conv", run: conv, prepare: Some(prepare_conv), encoded_inputs: &[1] },
    Kernel {
        op: "ConvTranspose",
        run: conv_transpose::conv_transpose,
        prepare: Some(conv_transpose::prepare),
        encoded_inputs: &[1],
    },
    Kernel::new("DeformConv", deform::deform_conv),
];

/// One group per entry: its weight as the panels of A.
struct PackedGroups(Vec<Panels>);

fn is_depthwise(shape: &ConvShape) -> bool {
    shape.in_channels == shape.groups && shape.out_channels <= 2 * shape.groups && shape.axes.len() <= 3
}

fn prepare_conv(p: &Prepare) -> Result<Option<Prepared>> {
    let dims = |i: usize| p.types.get(i).and_then(Option::as_ref).map_or(&[][..], |t| &t.shape);
    let shape = ConvShape::conv(p.node, dims(0), dims(1))?;
    if let (_, true) = layout::of(p.node) {
        let encoded = match p.weights.get(1).copied().flatten() {
            Some(Weight::Encoded(weight)) => Some(Weights::Encoded(weight)),
            _ => None,
        };
        let weights = encoded.or_else(|| dense_weight(p, 1).map(Weights::Dense));
        return Ok(weights.and_then(|weights| last::prepare(p, &shape, weights)));
    }
    let Some(weight) = dense_weight(p, 1) else { return Ok(None) };
    if is_depthwise(&shape) || shape.axes.len() > 3 {
        return Ok(None);
    }
    let (rows, depth) = shape.group_size();
    let pack = |g: usize| {
        let weight = &weight[g * rows * depth..][..rows * depth];
        Panels::new(p.threads, p.threads.level().tile_rows(), rows, depth, &Strided::rows(weight, depth))
    };
    Ok(Some(Arc::new(PackedGroups((0..shape.groups).map(pack).collect()))))
}

fn conv(call: &mut Call) -> Result<()> {
    let node = call.node;
    let x = call.input(0)?;
    let encoded = encoded(call, 1);
    let dims = match encoded {
        Some(weight) => weight.shape(),
        None => call.input(1)?.shape,
    };
    let shape = ConvShape::conv(node, x.shape, dims)?;
    if !matches!(x.dtype, DType::F32 | DType::F16 | DType::BF16) {
        return plain_conv(call, &shape);
    }
    let dense = if encoded.is_some() { None } else { Some(numeric::to_f32(call.input(1)?)?) };
    let weights = match (encoded, &dense) {
        (Some(weight), _) => Weights::Encoded(weight),
        (None, Some(dense)) => Weights::Dense(dense),
        (None, None) => return Err(node.error("the weight is missing")),
    };
    let bias = call.opt_input(2)?.map(numeric::to_f32).transpose()?;
    let residual = call.opt_input(3)?.map(numeric::to_f32).transpose()?;
    let epilogue = Epilogue {
        scale: 1.0,
        bias: bias.as_deref().map_or(Bias::None, Bias::PerRow),
        residual: residual.as_deref(),
        order: Residual::of(node)?,
        activation: Activation::of(node)?,
    };
    let x = numeric::to_f32(x)?;
    let Some(axes) = shape.axes3() else {
        return Err(Error::Unsupported(format!("convolution over {} axes", shape.axes.len())));
    };
    let (threads, prepared) = (call.threads, call.prepared);
    let [out, ..] = &mut *call.outputs else { return Ok(()) };
    let (input_last, output_last) = layout::of(node);
    if output_last {
        let run = match (layout::form(&shape), input_last) {
            (Some(Form::Pointwise), true) => last::pointwise,
            (Some(Form::Depthwise), true) => channelwise::channelwise,
            (Some(Form::Pointwise | Form::Spread), false) => spread::spread,
            _ => return Err(node.error("cannot write its channels last")),
        };
        let epilogue = Epilogue { bias: bias.as_deref().map_or(Bias::None, Bias::PerColumn), ..epilogue };
        return numeric::fill_f32(out, |y| run(threads, &shape, &x, weights, prepared, epilogue, y));
    }
    numeric::fill_f32(out, |y| {
        if is_depthwise(&shape) {
            let frame = depthwise::Frame::new(axes);
            run_depthwise(threads, &shape, &frame, &x, weights, &epilogue, y);
        } else {
            let packed = prepared.and_then(|p| p.downcast_ref::<PackedGroups>());
            let axes = axes.each_ref().map(TapAxis::of);
            run_groups(threads, &shape, &axes, &x, input_last, weights, packed, &epilogue, y);
        }
    })
}

#[allow(clippy::too_many_arguments)]
fn run_groups(
    threads: &Threads,
    shape: &ConvShape,
    axes: &[TapAxis; 3],
    x: &[f32],
    input_last: bool,
    weights: Weights,
    packed: Option<&PackedGroups>,
    epilogue: &Epilogue,
    y: &mut [f32],
) {
    let (m, k) = shape.group_size();
    let n = shape.out_pixels();
    let image_len = shape.in_channels / shape.groups * shape.in_pixels();
    if m * n == 0 {
        return;
    }
    let pointwise = axes.iter().all(|a| a.stride == 1 && a.offsets == [0] && a.input == a.output);
    let one = |threads: &Threads, i: usize, y: &mut [f32]| {
        let group = i % shape.groups;
        let image = &x[i * image_len..][..image_len];
        let columns = if input_last { Strided::rows(image, k) } else { Strided::columns(image, n) };
        let patches = Patches { image, axes };
        let b: &dyn Pack = if pointwise { &columns } else { &patches };
        let (dense_rows, encoded_rows);
        let a = match (packed.and_then(|p| p.0.get(group)), weights) {
            (Some(panels), _) => Operand::Panels(panels),
            (None, Weights::Dense(weight)) => {
                dense_rows = Strided::rows(&weight[group * m * k..][..m * k], k);
                Operand::Source(&dense_rows)
            }
            (None, Weights::Encoded(weight)) => {
                encoded_rows = EncodedRows::new(threads.level(), weight, group * m);
                Operand::Source(&encoded_rows)
            }
        };
        let enough = 2 * threads.count() * threads.level().tile_cols();
        let by_rows = if matches!(a, Operand::Panels(_)) { n < enough } else { m > n };
        let divide = if by_rows { Divide::Rows } else { Divide::Columns };
        let epilogue = epilogue.of_plane(i % shape.groups * m, m, i * m * n, m * n);
        Product { m, n, k, a, b: Operand::Source(b), epilogue }.run(threads, divide, y);
    };
    if shape.batch * shape.groups >= 2 * threads.count() {
        let single = Threads::single().with_level(threads.level()).unwrap_or_else(Threads::single);
        threads.for_chunks(y, m * n, |i, y| one(&single, i, y));
    } else {
        y.chunks_exact_mut(m * n).enumerate().for_each(|(i, y)| one(threads, i, y));
    }
}

fn run_depthwise(
    threads: &Threads,
    shape: &ConvShape,
    frame: &depthwise::Frame,
    x: &[f32],
    weights: Weights,
    epilogue: &Epilogue,
    y: &mut [f32],
) {
    let (n, taps, in_pixels) = (shape.out_pixels(), shape.taps(), shape.in_pixels());
    let multiplier = shape.out_channels / shape.groups;
    let level = threads.level();
    if n == 0 || multiplier == 0 {
        return;
    }
    // Small planes share a task, so that starting it does not cost more than its work.
    let planes = (shape.batch * shape.out_channels).div_ceil(8 * threads.count()).max(1);
    threads.for_chunks(y, planes * n, |task, y| {
        with_scratch(frame.len() + frame.out_len() + taps, |scratch| {
            let (image, rest) = scratch.split_at_mut(frame.len());
            let (sums, row) = rest.split_at_mut(frame.out_len());
            image.fill(0.0);
            for (i, y) in y.chunks_exact_mut(n).enumerate() {
                let plane = task * planes + i;
                let (batch, channel) = (plane / shape.out_channels, plane % shape.out_channels);
                let source = batch * shape.in_channels + channel / multiplier;
                frame.fill(level, &x[source * in_pixels..][..in_pixels], image);
                let weight = match weights {
                    Weights::Dense(weight) => &weight[channel * taps..][..taps],
                    Weights::Encoded(weight) => {
                        decode_row(level, weight, channel, 0, row);
                        &*row
                    }
                };
                let epilogue = epilogue.of_plane(channel, 1, plane * n, n);
                frame.convolve(level, weight, image, sums, y, &epilogue, 0);
            }
        });
    });
}

/// f64 and integer convolution, with bias but nothing fused.
fn plain_conv(call: &mut Call, shape: &ConvShape) -> Result<()> {
    for_ring!(call.input(0)?.dtype, T => {
        let (x, w, bias) = (call.slice::<T>(0)?, call.slice::<T>(1)?, call.opt_slice::<T>(2)?);
        let y = call.output::<T>(0)?;
        plain::convolve(shape, x, w, y);
        if let Some(bias) = bias {
            for (plane, y) in y.chunks_exact_mut(shape.out_pixels().max(1)).enumerate() {
                y.iter_mut().for_each(|v| *v += bias[plane % shape.out_channels]);
            }
        }
        Ok(())
    })
}
