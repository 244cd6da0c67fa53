//! Depthwise convolution with channels last: every pixel adds whole vectors of channels over the taps inside the image,
//! whatever the stride. x: `[batch, height, width, channels]`, y likewise.

use super::weights::Weights;
use crate::cpu::decode::decode_row;
use crate::cpu::gemm::epilogue::{self, Bias, Epilogue};
use crate::cpu::simd::Level;
use crate::cpu::simd::depthwise::{Window, depthwise};
use crate::cpu::{Prepared, Threads};
use crate::ops::conv::{ConvAxis, ConvShape};

/// A depthwise weight as its kernel reads it: `[taps, channels]` in f32. Of dense weights the plan holds it, few-bit ones
/// are decoded into it for a run.
pub struct Filters(Vec<f32>);

impl Filters {
    pub fn new(level: Level, shape: &ConvShape, weights: Weights) -> Self {
        let (channels, taps) = (shape.groups, shape.taps());
        let mut out = vec![0.0; channels * taps];
        let mut row = vec![0.0; taps];
        for channel in 0..channels {
            match weights {
                Weights::Dense(weight) => row.copy_from_slice(&weight[channel * taps..][..taps]),
                Weights::Encoded(weight) => decode_row(level, weight, channel, 0, &mut row),
            }
            for (out, &v) in out[channel..].iter_mut().step_by(channels).zip(&row) {
                *out = v;
            }
        }
        Filters(out)
    }
}

/// The taps `first .. last` of an output along one axis that lie inside the input.
fn inside(axis: ConvAxis, output: usize) -> (usize, usize) {
    let start = (output * axis.stride) as isize - axis.pad;
    let first = if start < 0 { start.unsigned_abs().div_ceil(axis.dilation) } else { 0 };
    let left = axis.input as isize - start;
    let last = if left > 0 { (left as usize).div_ceil(axis.dilation) } else { 0 };
    (first.min(axis.kernel), last.min(axis.kernel))
}

/// One filter per channel.
pub fn channelwise(
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
    let Filters(filters) = match prepared.and_then(|p| p.downcast_ref::<Filters>()) {
        Some(filters) => filters,
        None => {
            own = Filters::new(threads.level(), shape, weights);
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
