//! Convolutions that compute chosen filters of chosen channels: weights and planes of both are gathered, and the product is as much
//! smaller. Semantics in `ops/gated_conv.rs`.

use super::patches::{Patches, TapAxis};
use super::weights::Weights;
use crate::Result;
use crate::cpu::decode::decode_row;
use crate::cpu::gemm::{Bias, Divide, Epilogue, Operand, Pack, Product, Strided, with_scratch};
use crate::cpu::product::encoded;
use crate::cpu::simd::Level;
use crate::cpu::{Call, Kernel, Threads};
use crate::ops::conv::ConvShape;
use crate::ops::epilogue::{Activation, Residual};
use crate::ops::gated_conv::{CHANNELS, FILTERS};

pub const KERNELS: &[Kernel] =
    &[Kernel { op: "fewbit.GatedConv", run: gated_conv, prepare: None, encoded_inputs: &[1] }];

fn gated_conv(call: &mut Call) -> Result<()> {
    let node = call.node;
    let x = call.input(0)?;
    let encoded = encoded(call, 1);
    let dims = match encoded {
        Some(weight) => weight.shape(),
        None => call.input(1)?.shape,
    };
    let shape = ConvShape::conv(node, x.shape, dims)?;
    let axes = shape.axes3().ok_or_else(|| node.error(format!("{} axes", shape.axes.len())))?;
    let weights = match encoded {
        Some(weight) => Weights::Encoded(weight),
        None => Weights::Dense(call.slice::<f32>(1)?),
    };
    let gated = Gated {
        threads: call.threads,
        shape: &shape,
        axes: axes.each_ref().map(TapAxis::of),
        weights,
        bias: call.opt_slice::<f32>(2)?,
        residual: call.opt_slice::<f32>(3)?,
        order: Residual::of(node)?,
        activation: Activation::of(node)?,
    };
    let (x, filters, channels) = (x.slice::<f32>()?, call.opt_slice::<f32>(FILTERS)?, call.opt_slice::<f32>(CHANNELS)?);
    let y = call.output::<f32>(0)?;
    let (inputs, outputs) = (shape.in_channels * shape.in_pixels(), shape.out_channels * shape.out_pixels());
    for (image, y) in y.chunks_exact_mut(outputs.max(1)).enumerate() {
        let filters = kept(filters, image, shape.out_channels);
        let channels = kept(channels, image, shape.in_channels);
        gated.image(image, &x[image * inputs..][..inputs], &filters, &channels, y);
    }
    Ok(())
}

/// The entries of an image's part of a mask that are not 0; all, without a mask.
fn kept(mask: Option<&[f32]>, image: usize, count: usize) -> Vec<usize> {
    (0..count).filter(|i| mask.is_none_or(|mask| mask[image * count + i] != 0.0)).collect()
}

struct Gated<'a> {
    threads: &'a Threads,
    shape: &'a ConvShape,
    axes: [TapAxis; 3],
    weights: Weights<'a>,
    bias: Option<&'a [f32]>,
    residual: Option<&'a [f32]>,
    order: Residual,
    activation: Activation,
}

impl Gated<'_> {
    /// `x`: the image's `[in_channels, pixels]`, of which `channels` count; `y`: its `[out_channels, pixels]`, of which `filters`
    /// are computed and the others set to 0.
    fn image(&self, image: usize, x: &[f32], filters: &[usize], channels: &[usize], y: &mut [f32]) {
        let (pixels, taps) = (self.shape.out_pixels(), self.shape.taps());
        let mut wanted = filters.iter().copied().peekable();
        let mut rows = Vec::with_capacity(filters.len());
        for (i, row) in y.chunks_exact_mut(pixels.max(1)).enumerate() {
            match wanted.next_if_eq(&i) {
                Some(_) => rows.push(row),
                None => row.fill(0.0),
            }
        }
        // A sum over nothing is one over a channel of zeros.
        let depth = channels.len().max(1) * taps;
        let plane = self.shape.in_pixels();
        let all_channels = !channels.is_empty() && channels.len() == self.shape.in_channels;
        let gathered = if all_channels { 0 } else { channels.len().max(1) * plane };
        with_scratch(gathered, |scratch| {
            let x = if all_channels { x } else { self.planes(x, channels, scratch) };
            self.with_weights(filters, channels, depth, |a| self.product(image, x, filters, depth, a, rows));
        });
    }

    fn product(&self, image: usize, x: &[f32], filters: &[usize], k: usize, a: Strided, rows: Vec<&mut [f32]>) {
        let (m, n) = (filters.len(), self.shape.out_pixels());
        let bias: Option<Vec<f32>> = self.bias.map(|bias| filters.iter().map(|&i| bias[i]).collect());
        // Where there is a residual, all filters are computed.
        let epilogue = Epilogue {
            scale: 1.0,
            bias: bias.as_deref().map_or(Bias::None, Bias::PerRow),
            residual: self.residual.map(|residual| &residual[image * m * n..][..m * n]),
            order: self.order,
            activation: self.activation,
        };
        let pointwise = self.axes.iter().all(|a| a.stride == 1 && a.offsets == [0] && a.input == a.output);
        let (columns, patches) = (Strided::columns(x, n), Patches { image: x, axes: &self.axes });
        let b: &dyn Pack = if pointwise { &columns } else { &patches };
        let few = n < 2 * self.threads.count() * self.threads.level().tile_cols();
        let divide = if few { Divide::Rows } else { Divide::Columns };
        let product = Product { m, n, k, a: Operand::Source(&a), b: Operand::Source(b), epilogue };
        product.run_apart(self.threads, divide, rows);
    }

    /// The planes of `channels` one after the other; a plane of zeros if there are none.
    fn planes<'s>(&self, x: &[f32], channels: &[usize], out: &'s mut [f32]) -> &'s [f32] {
        let plane = self.shape.in_pixels();
        if channels.is_empty() {
            out.fill(0.0);
        }
        for (out, &channel) in out.chunks_exact_mut(plane.max(1)).zip(channels) {
            out.copy_from_slice(&x[channel * plane..][..plane]);
        }
        out
    }

    /// Calls `work` with the weights of `filters` at `channels`, `[filters, depth]`.
    fn with_weights(&self, filters: &[usize], channels: &[usize], depth: usize, work: impl FnOnce(Strided)) {
        let (all, taps) = (self.shape.group_size().1, self.shape.taps());
        if let (Weights::Dense(weight), true) = (self.weights, depth == all && filters.len() == self.shape.out_channels)
        {
            return work(Strided::rows(weight, all));
        }
        // Rows at multiples of 2 KiB would share few sets of the first-level cache.
        let stride = if depth.is_multiple_of(512) { depth + 16 } else { depth };
        let (level, weights) = (self.threads.level(), self.weights);
        with_scratch(filters.len() * stride, |scratch| {
            let part = filters.len().div_ceil(4 * self.threads.count()).max(1);
            self.threads.for_chunks(scratch, part * stride, |i, rows| {
                for (row, &filter) in rows.chunks_exact_mut(stride).zip(&filters[i * part..]) {
                    gather(level, weights, filter, all, taps, channels, &mut row[..depth]);
                }
            });
            work(Strided::rows(scratch, stride));
        });
    }
}

/// The weights of one filter at `channels`; all where `out` has room for all.
fn gather(level: Level, weights: Weights, filter: usize, all: usize, taps: usize, channels: &[usize], out: &mut [f32]) {
    if channels.is_empty() {
        return out.fill(0.0);
    }
    let pick = |row: &[f32], out: &mut [f32]| {
        if out.len() == all {
            return out.copy_from_slice(row);
        }
        for (out, &channel) in out.chunks_exact_mut(taps).zip(channels) {
            out.copy_from_slice(&row[channel * taps..][..taps]);
        }
    };
    match weights {
        Weights::Dense(weight) => pick(&weight[filter * all..][..all], out),
        Weights::Encoded(weight) => with_scratch(all, |row| {
            decode_row(level, weight, filter, 0, row);
            pick(row, out);
        }),
    }
}
