//! Rows of activations in the order in which the kernels meet the codes of a weight.

use super::source::Source;
use crate::cpu::Threads;
use crate::cpu::simd::fewbit::order;

/// `[units, quads, 4, width]`: what `element` says of a unit, a code of it and one of `width` neighbours.
fn arrange(bits: usize, width: usize, out: &mut [f32], element: impl Fn(usize, usize, usize) -> f32) {
    let (codes, position) = order(bits);
    for (unit, out) in out.chunks_exact_mut(codes * width).enumerate() {
        for (out, &code) in out.chunks_exact_mut(width).zip(position.as_flattened()) {
            for (i, out) in out.iter_mut().enumerate() {
                *out = element(unit, code, i);
            }
        }
    }
}

/// One row with a unit per lane: `[steps, quads, 4, lanes]`, zeros behind its end.
pub fn by_lane(source: &Source, lanes: usize, x: &[f32], out: &mut [f32]) {
    let unit = source.unit();
    arrange(source.bits, lanes, out, |step, code, lane| {
        x.get((step * lanes + lane) * unit + code).copied().unwrap_or(0.0)
    });
}

/// Blocks of `width` rows, one after the other: `[units, quads, 4, width]`, zeros where there is no element.
pub fn by_row(threads: &Threads, source: &Source, width: usize, x: &[f32], out: &mut [f32]) {
    let (unit, k) = (source.unit(), source.cols);
    threads.for_chunks(out, k.div_ceil(unit) * unit * width, |i, out| {
        let x = &x[i * width * k..];
        let rows = (x.len() / k).min(width);
        arrange(source.bits, width, out, |at, code, row| {
            let col = at * unit + code;
            if row < rows && col < k { x[row * k + col] } else { 0.0 }
        });
    });
}
