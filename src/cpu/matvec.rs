//! One row times a few-bit weight that no kernel of `fewbit` takes: rows are decoded and used at once, without panels.

use super::Threads;
use super::decode::decode_row;
use super::gemm::epilogue::{Epilogue, finish};
use super::gemm::with_scratch;
use super::simd::{fma, multiversion};
use crate::weights::Encoded;

/// Weights decoded at once: with their part of x they stay in the first-level cache. A multiple of 8, from where rows
/// can be decoded.
const STRETCH: usize = 2048;

/// `y[j] = epilogue(Σₖ x[k] · w[j, k])`.
pub fn matvec(threads: &Threads, x: &[f32], weight: &Encoded, epilogue: &Epilogue, y: &mut [f32]) {
    let level = threads.level();
    let n = y.len();
    let share = if threads.count() == 1 { n } else { n.div_ceil(4 * threads.count()) };
    threads.for_chunks(y, share, |i, y| {
        with_scratch(STRETCH.min(x.len()), |row| {
            for (j, y) in y.iter_mut().enumerate() {
                *y = 0.0;
                for (k, x) in x.chunks(STRETCH).enumerate() {
                    let row = &mut row[..x.len()];
                    decode_row(level, weight, i * share + j, k * STRETCH, row);
                    *y += dot(level, row, x);
                }
            }
        });
        finish(level, y, 0, i * share, n, epilogue);
    });
}

multiversion! {
    /// `Σ a[i] · b[i]`.
    pub fn dot = dot_body(a: &[f32], b: &[f32]) -> f32
}

#[inline(always)]
fn dot_body<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    // Four vectors of sums hide the latency of an addition.
    const LANES: usize = 64;
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            sums[i] = fma::<FMA>(a[i], b[i], sums[i]);
        }
    }
    let mut sum = 0.0;
    for s in sums {
        sum += s;
    }
    for (a, b) in a_rest.iter().zip(b_rest) {
        sum = fma::<FMA>(*a, *b, sum);
    }
    sum
}
