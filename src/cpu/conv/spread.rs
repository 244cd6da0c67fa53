//! A convolution of several taps from channels first to channels last: the rows that a band of the output reads are
//! copied with their borders, and the product then reads every pixel's inputs there, in place.
//! x: `[batch, channels, height, width]`, y: `[batch, height, width, out_channels]`.

use super::last::with_lanes;
use super::weights::Weights;
use crate::cpu::gemm::epilogue::{self, Epilogue};
use crate::cpu::gemm::{Operand, PanelSpan, with_scratch};
use crate::cpu::simd::Level;
use crate::cpu::simd::tile::{Lanes, MAX_ROWS};
use crate::cpu::{Prepared, Threads};
use crate::ops::conv::{ConvAxis, ConvShape};

/// A few input channels, all of one group.
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
    with_lanes(threads.level(), weights, prepared, k, |b| {
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
    if len == 0 || h.input == 0 {
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
