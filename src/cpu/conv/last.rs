//! Convolutions whose output lies channels last (`cpu::layout`). x: `[batch, height, width, channels]`, for `spread`
//! `[batch, channels, height, width]`; y: `[batch, height, width, out_channels]`.

use std::sync::Arc;

use super::{EncodedRows, Weights, decode_row};
use crate::cpu::gemm::epilogue::{self, Bias, Epilogue};
use crate::cpu::gemm::{Divide, Operand, PanelSpan, Panels, Product, Strided, with_scratch};
use crate::cpu::panel_codes::PanelCodes;
use crate::cpu::product::pack_b;
use crate::cpu::simd::Level;
use crate::cpu::simd::depthwise::{Window, depthwise};
use crate::cpu::simd::tile::{Lanes, MAX_ROWS};
use crate::cpu::{Prepared, Threads};
use crate::ops::conv::{ConvAxis, ConvShape};
use crate::weights::Encoded;

/// Rows of a product from which each thread may read the whole weight for itself: even decoding it is then below a
/// tenth of the work.
const MANY_ROWS: usize = 128;
/// Few-bit weights up to this many elements are decoded when the plan is made. They belong to the first convolutions of
/// a network: used for thousands of pixels, and a percent of its weights.
const SMALL: usize = 16_384;

/// A 1×1 convolution: one product, a row per pixel.
pub fn pointwise(
    threads: &Threads,
    shape: &ConvShape,
    x: &[f32],
    weights: Weights,
    prepared: Option<&Prepared>,
    epilogue: Epilogue,
    y: &mut [f32],
) {
    let (n, k) = shape.group_size();
    let m = shape.batch * shape.out_pixels();
    let rows = Strided::rows(x, k);
    with_lanes(weights, prepared, k, |b| {
        let panels = n.div_ceil(threads.level().tile_cols());
        let divide = if m < MANY_ROWS && panels >= 2 * threads.count() { Divide::Columns } else { Divide::Rows };
        Product { m, n, k, a: Operand::Source(&rows), b, epilogue }.run(threads, divide, y);
    });
}

/// Calls `work` with the weight as B: the panels of the plan, or what they are packed from.
fn with_lanes(weights: Weights, prepared: Option<&Prepared>, depth: usize, work: impl FnOnce(Operand)) {
    let panels = prepared.and_then(|p| p.downcast_ref::<Panels>());
    let codes = prepared.and_then(|p| p.downcast_ref::<PanelCodes>());
    match (panels, codes, weights) {
        (Some(panels), ..) => work(Operand::Panels(panels)),
        (_, Some(codes), _) => work(Operand::Source(codes)),
        (.., Weights::Dense(weight)) => work(Operand::Source(&Strided::rows(weight, depth))),
        (.., Weights::Encoded(weight)) => work(Operand::Source(&EncodedRows { weight, first: 0 })),
    }
}

/// A convolution of several taps from channels first to channels last: the rows that a band of the output reads are
/// copied with their borders, and the product then reads every pixel's inputs there, in place.
pub fn spread(
    threads: &Threads,
    shape: &ConvShape,
    x: &[f32],
    weights: Weights,
    prepared: Option<&Prepared>,
    epilogue: Epilogue,
    y: &mut [f32],
) {
    let [h, w] = shape.axes[..] else { return };
    let (n, k) = shape.group_size();
    let (in_pixels, out_pixels) = (shape.in_pixels(), shape.out_pixels());
    if n * out_pixels == 0 {
        return;
    }
    let band = h.output.div_ceil(4 * threads.count());
    let padded = |a: ConvAxis, outputs: usize| (outputs - 1) * a.stride + (a.kernel - 1) * a.dilation + 1;
    let width = padded(w, w.output);
    with_lanes(weights, prepared, k, |b| {
        for (image, y) in y.chunks_exact_mut(out_pixels * n).enumerate() {
            let x = &x[image * shape.in_channels * in_pixels..][..shape.in_channels * in_pixels];
            threads.for_chunks(y, band * w.output * n, |task, y| {
                let (first, outputs) = (task * band, y.len() / (w.output * n));
                let height = padded(h, outputs);
                with_scratch(shape.in_channels * height * width, |scratch| {
                    copy_rows(x, h, w, (first * h.stride) as isize - h.pad, [height, width], scratch);
                    let starts: Vec<usize> = (0..shape.in_channels)
                        .flat_map(|c| (0..h.kernel).map(move |t| (c * height + t * h.dilation) * width))
                        .collect();
                    let band = Band { scratch, starts: &starts, axes: [h, w], width, n };
                    let row = image * out_pixels + first * w.output;
                    band.run(threads.level(), b, row, &epilogue, y);
                });
            });
        }
    });
}

/// Copies rows `top ..` of every channel into `[channels, height, width]` with their borders.
fn copy_rows(x: &[f32], h: ConvAxis, w: ConvAxis, top: isize, [height, width]: [usize; 2], out: &mut [f32]) {
    out.fill(0.0);
    let (before, skip) = (w.pad.max(0) as usize, w.pad.min(0).unsigned_abs());
    let len = w.input.saturating_sub(skip).min(width.saturating_sub(before));
    if len == 0 {
        return;
    }
    for (channel, out) in x.chunks_exact(h.input * w.input).zip(out.chunks_exact_mut(height * width)) {
        for (i, out) in out.chunks_exact_mut(width).enumerate() {
            let Some(row) = usize::try_from(top + i as isize).ok().filter(|&row| row < h.input) else { continue };
            out[before..][..len].copy_from_slice(&channel[row * w.input + skip..][..len]);
        }
    }
}

/// A band of output rows over its copied inputs.
struct Band<'a> {
    scratch: &'a [f32],
    /// Where each channel's rows begin under the window.
    starts: &'a [usize],
    axes: [ConvAxis; 2],
    width: usize,
    n: usize,
}

impl Band<'_> {
    /// `y`: the band's pixels, of which the first is pixel `row` of the output.
    fn run(&self, level: Level, b: Operand, row: usize, epilogue: &Epilogue, y: &mut [f32]) {
        let ([h, w], n, nr) = (self.axes, self.n, level.tile_cols());
        let depth = self.starts.len() * w.kernel;
        with_scratch(nr * depth, |packed| {
            for col in (0..n).step_by(nr) {
                let cols = nr.min(n - col);
                let panel = match b {
                    Operand::Panels(panels) => panels.panel(col, 0, depth),
                    Operand::Source(source) => {
                        source.pack(level, PanelSpan { width: nr, first: col, lanes: cols, start: 0, depth }, packed);
                        &*packed
                    }
                };
                for (line, y) in y.chunks_exact_mut(w.output * n).enumerate() {
                    for left in (0..w.output).step_by(level.tile_rows()) {
                        let rows = level.tile_rows().min(w.output - left);
                        let data = &self.scratch[line * h.stride * self.width + left * w.stride..];
                        let a = Lanes { data, lane: w.stride, step: w.dilation, starts: self.starts, run: w.kernel };
                        let place = epilogue::Place { row: row + line * w.output + left, col, cols, width: n };
                        let mut out: [&mut [f32]; MAX_ROWS] = std::array::from_fn(|_| Default::default());
                        out.iter_mut().zip(y[left * n..].chunks_exact_mut(n)).for_each(|(slot, row)| *slot = row);
                        epilogue::tile(level, a, panel, &mut out[..rows], col, place, false, Some(epilogue));
                    }
                }
            }
        });
    }
}

/// A depthwise weight as its kernel reads it: `[taps, channels]` in f32. Filters are a few percent of a model's
/// weights; decoding their short rows on every run would cost more than the convolution.
struct Filters(Vec<f32>);

/// What a plan prepares for a convolution with channels last.
pub fn prepare(threads: &Threads, shape: &ConvShape, weights: Weights) -> Option<Prepared> {
    if shape.groups > 1 {
        return Some(Arc::new(Filters(filters(threads, shape, weights))));
    }
    let (n, k) = shape.group_size();
    match weights {
        Weights::Dense(weight) => pack_b(threads, n, k, &Strided::rows(weight, k)),
        Weights::Encoded(weight) if n * k <= SMALL => pack_b(threads, n, k, &EncodedRows { weight, first: 0 }),
        Weights::Encoded(Encoded::Palette(weight)) => {
            let level = threads.level();
            PanelCodes::new(level, level.tile_cols(), weight).map(|codes| Arc::new(codes) as Prepared)
        }
        Weights::Encoded(_) => None,
    }
}

fn filters(threads: &Threads, shape: &ConvShape, weights: Weights) -> Vec<f32> {
    let (channels, taps) = (shape.groups, shape.taps());
    let mut out = vec![0.0; channels * taps];
    let mut row = vec![0.0; taps];
    for channel in 0..channels {
        match weights {
            Weights::Dense(weight) => row.copy_from_slice(&weight[channel * taps..][..taps]),
            Weights::Encoded(weight) => decode_row(threads.level(), weight, channel, 0, &mut row),
        }
        for (out, &v) in out[channel..].iter_mut().step_by(channels).zip(&row) {
            *out = v;
        }
    }
    out
}

/// The taps `first .. last` of an output along one axis that lie inside the input.
fn inside(axis: ConvAxis, output: usize) -> (usize, usize) {
    let start = (output * axis.stride) as isize - axis.pad;
    let first = if start < 0 { start.unsigned_abs().div_ceil(axis.dilation) } else { 0 };
    let left = axis.input as isize - start;
    let last = if left > 0 { (left as usize).div_ceil(axis.dilation) } else { 0 };
    (first.min(axis.kernel), last.min(axis.kernel))
}

/// One filter per channel: every pixel adds whole vectors of channels over the taps inside the image.
pub fn depthwise_last(
    threads: &Threads,
    shape: &ConvShape,
    x: &[f32],
    weights: Weights,
    prepared: Option<&Prepared>,
    epilogue: Epilogue,
    y: &mut [f32],
) {
    let [h, w] = shape.axes[..] else { return };
    let channels = shape.groups;
    let own;
    let filters = match prepared.and_then(|p| p.downcast_ref::<Filters>()) {
        Some(Filters(filters)) => filters,
        None => {
            own = filters(threads, shape, weights);
            &own
        }
    };
    let none = vec![0.0; channels];
    let bias = match epilogue.bias {
        Bias::PerColumn(bias) => bias,
        _ => &none,
    };
    let simple = epilogue.range().filter(|_| epilogue.residual.is_none());
    let range = simple.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
    let after = Epilogue { bias: Bias::None, ..epilogue };
    let level = threads.level();
    let line = (w.output * channels).max(1);
    let rows = (shape.batch * h.output).div_ceil(4 * threads.count()).max(1);
    // Outputs whose window lies inside the image along the width: they share their taps.
    let whole = |o: &usize| inside(w, *o) == (0, w.kernel);
    let begin = (0..w.output).find(whole).unwrap_or(w.output);
    let end = (begin..w.output).find(|o| !whole(o)).unwrap_or(w.output);
    threads.for_chunks(y, rows * line, |task, y| {
        for (i, out) in y.chunks_exact_mut(line).enumerate() {
            let row = task * rows + i;
            let (image, oy) = (row / h.output, row % h.output);
            let (top, bottom) = inside(h, oy);
            let mut stretch = |from: usize, to: usize| {
                let (left, right) = inside(w, from);
                let window = Window {
                    rows: bottom.saturating_sub(top),
                    cols: right.saturating_sub(left),
                    x_row: h.dilation * w.input * channels,
                    x_col: w.dilation * channels,
                    x_pixel: w.stride * channels,
                    weight_row: w.kernel * channels,
                    channels,
                };
                // Not negative where the window has a tap.
                let at =
                    |o: usize, a: ConvAxis, tap: usize| ((o * a.stride + tap * a.dilation) as isize - a.pad).max(0);
                let pixel = image * h.input * w.input + at(oy, h, top) as usize * w.input + at(from, w, left) as usize;
                let (x, filters) = if window.rows * window.cols == 0 {
                    (&[][..], &[][..])
                } else {
                    (&x[pixel * channels..], &filters[(top * w.kernel + left) * channels..])
                };
                depthwise(level, &window, x, filters, bias, range, &mut out[from * channels..to * channels]);
            };
            (0..begin).chain(end..w.output).for_each(|o| stretch(o, o + 1));
            if begin < end {
                stretch(begin, end);
            }
            if simple.is_none() {
                // As one row of the output.
                epilogue::finish(level, out, 0, row * line, 0, &after);
            }
        }
    });
}
