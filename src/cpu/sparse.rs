//! Few rows of activations times a sparse weight: the values of a row are decoded, if they are not in half precision, and
//! go to their columns in registers.

use super::Threads;
use super::decode::decode_row;
use super::fewbit::parts::divide;
use super::gemm::epilogue::{Epilogue, finish};
use super::gemm::with_scratch;
use super::simd::expand::{MAX_ROWS, ROOM, Row, STEP, dots, half_dots, has_dots};
use crate::weights::{Encoded, Encoding, Sparse};

/// Up to here no panels are quicker.
const FEW_ROWS: usize = 64;
/// Rows of the weight that stay in the second-level cache while all of x passes.
const BLOCK: usize = 16;
/// Outputs of a part are a multiple of this: a cache line.
const UNIT: usize = 16;

/// `out = epilogue(x · Wᵀ)`, `[m, n]`, for `x`, `[m, k]`; `false` where a packed product is better or there is no kernel,
/// and nothing was done.
pub fn product(threads: &Threads, x: &[f32], m: usize, weight: &Sparse, epilogue: &Epilogue, out: &mut [f32]) -> bool {
    let level = threads.level();
    let &[n, k] = weight.shape() else { return false };
    if m > FEW_ROWS || k == 0 || !has_dots(level) {
        return false;
    }
    if m * n == 0 {
        return true;
    }
    let stride = k.next_multiple_of(STEP);
    with_scratch(m * stride, |padded| {
        for (to, from) in padded.chunks_exact_mut(stride).zip(x.chunks_exact(k)) {
            to[..k].copy_from_slice(from);
            to[k..].fill(0.0);
        }
        let halves = match weight.values() {
            Encoded::HalfFloat(values) => bytemuck::cast_slice(values.values().bytes()),
            _ => &[],
        };
        let job = Job { threads, weight, halves, x: padded, stride };
        divide(threads, n, UNIT, out, |first, out| job.part(first, out));
    });
    let rows = out.chunks_mut(n).enumerate().collect();
    threads.for_each(rows, |(row, out)| finish(level, out, row, 0, n, epilogue));
    true
}

struct Job<'a> {
    threads: &'a Threads,
    weight: &'a Sparse,
    /// The values, where kernels take them as they are; else none.
    halves: &'a [u16],
    /// `[m, stride]`
    x: &'a [f32],
    stride: usize,
}

impl Job<'_> {
    /// Outputs `first ..` of all rows.
    fn part(&self, first: usize, out: &mut [&mut [f32]]) {
        let (width, level) = (self.weight.width(), self.threads.level());
        let count = out.first().map_or(0, |out| out.len());
        with_scratch(BLOCK * (width + ROOM), |scratch| {
            for start in (0..count).step_by(BLOCK) {
                let block = start..count.min(start + BLOCK);
                for (j, values) in block.clone().zip(scratch.chunks_exact_mut(width + ROOM)) {
                    if self.halves_of(first + j).is_none() {
                        decode_row(level, self.weight.values(), first + j, 0, &mut values[..width]);
                    }
                }
                for (x, out) in self.x.chunks(MAX_ROWS * self.stride).zip(out.chunks_mut(MAX_ROWS)) {
                    for (j, values) in block.clone().zip(scratch.chunks_exact(width + ROOM)) {
                        let mask = self.weight.row_mask(first + j);
                        let sums = match self.halves_of(first + j) {
                            Some(values) => half_dots(level, Row { mask, values }, x, self.stride),
                            None => dots(level, Row { mask, values }, x, self.stride),
                        };
                        out.iter_mut().zip(sums).for_each(|(out, sum)| out[j] = sum);
                    }
                }
            }
        });
    }

    /// The values of a row and what lies behind them; the last rows of a weight have too little there.
    fn halves_of(&self, row: usize) -> Option<&[u16]> {
        let width = self.weight.width();
        self.halves.get(row * width.next_multiple_of(2)..).filter(|halves| halves.len() >= width + ROOM)
    }
}
