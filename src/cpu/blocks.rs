//! Few rows of activations times a block-sparse weight: blocks that are not there cost nothing.

use super::Threads;
use super::decode::decode_row;
use super::fewbit::parts::divide;
use super::gemm::epilogue::{Epilogue, finish};
use super::gemm::with_scratch;
use super::simd::{fma, multiversion};
use crate::weights::{Blocks, Encoding};

/// Up to here no panels are quicker.
const FEW_ROWS: usize = 16;
/// Rows of the weight that are decoded at once: a row of x stays in the first-level cache while they pass.
const BLOCK: usize = 16;
/// Outputs of a part are a multiple of this: a cache line.
const UNIT: usize = 16;

/// `out = epilogue(x · Wᵀ)`, `[m, n]`, for `x`, `[m, k]`; `false` where a packed product is better, and nothing was done.
pub fn product(threads: &Threads, x: &[f32], m: usize, weight: &Blocks, epilogue: &Epilogue, out: &mut [f32]) -> bool {
    let level = threads.level();
    let &[n, k] = weight.shape() else { return false };
    if m > FEW_ROWS || k == 0 {
        return false;
    }
    if m * n == 0 {
        return true;
    }
    let wide = weight.block()[1];
    let stride = k.next_multiple_of(wide);
    with_scratch(m * stride, |padded| {
        for (to, from) in padded.chunks_exact_mut(stride).zip(x.chunks_exact(k)) {
            to[..k].copy_from_slice(from);
            to[k..].fill(0.0);
        }
        let padded = &*padded;
        divide(threads, n, UNIT, out, |first, out| {
            let (width, count) = (weight.width(), out.first().map_or(0, |out| out.len()));
            with_scratch(BLOCK * width, |values| {
                for start in (0..count).step_by(BLOCK) {
                    let block = start..count.min(start + BLOCK);
                    for j in block.clone() {
                        decode_row(level, weight.values(), first + j, 0, &mut values[(j - start) * width..][..width]);
                    }
                    for (x, out) in padded.chunks_exact(stride).zip(&mut *out) {
                        for j in block.clone() {
                            let values = &values[(j - start) * width..][..width];
                            out[j] = dot(level, values, weight.of_row(first + j), wide, x);
                        }
                    }
                }
            });
        });
    });
    let rows = out.chunks_mut(n).enumerate().collect();
    threads.for_each(rows, |(row, out)| finish(level, out, row, 0, n, epilogue));
    true
}

multiversion! {
    /// `Σ values[i · wide + c] · x[blocks[i] · wide + c]`.
    fn dot = dot_body(values: &[f32], blocks: &[u16], wide: usize, x: &[f32]) -> f32
}

#[inline(always)]
fn dot_body<const FMA: bool>(values: &[f32], blocks: &[u16], wide: usize, x: &[f32]) -> f32 {
    let columns = |block: u16| &x[usize::from(block) * wide..][..wide];
    // Two sums hide some of the latency of an addition where a block is as wide as a vector.
    let (mut even, mut odd) = (Sums::default(), Sums::default());
    let (pairs, last) = blocks.as_chunks::<2>();
    let mut rows = values.chunks_exact(wide);
    for (&[a, b], (a_values, b_values)) in pairs.iter().zip(std::iter::from_fn(|| rows.next().zip(rows.next()))) {
        even.add::<FMA>(a_values, columns(a));
        odd.add::<FMA>(b_values, columns(b));
    }
    if let (Some(&block), Some(values)) = (last.first(), rows.next()) {
        even.add::<FMA>(values, columns(block));
    }
    let lanes: f32 = even.lanes.iter().zip(odd.lanes).map(|(a, b)| a + b).sum();
    lanes + even.rest + odd.rest
}

const LANES: usize = 16;

#[derive(Default)]
struct Sums {
    lanes: [f32; LANES],
    /// Of columns that fill no vector.
    rest: f32,
}

impl Sums {
    #[inline(always)]
    fn add<const FMA: bool>(&mut self, values: &[f32], x: &[f32]) {
        let ((values, ends), (x, x_ends)) = (values.as_chunks::<LANES>(), x.as_chunks::<LANES>());
        for (values, x) in values.iter().zip(x) {
            for lane in 0..LANES {
                self.lanes[lane] = fma::<FMA>(values[lane], x[lane], self.lanes[lane]);
            }
        }
        for (value, x) in ends.iter().zip(x_ends) {
            self.rest = fma::<FMA>(*value, *x, self.rest);
        }
    }
}
