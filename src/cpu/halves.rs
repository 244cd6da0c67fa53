//! Few rows of activations times a weight in half precision: widened in registers, where a packed product would write
//! panels that are read once.

use super::Threads;
use super::fewbit::parts::divide;
use super::gemm::epilogue::{Epilogue, finish};
use super::simd::halves::{Rows, products, takes};
use crate::weights::{Encoding, HalfFloat};

/// Up to here no panels are quicker.
const FEW_ROWS: usize = 16;
/// Outputs of a part are a multiple of this: a cache line.
const UNIT: usize = 16;

/// `out = epilogue(x · Wᵀ)`, `[m, n]`, for `x`, `[m, k]`; `false` where a packed product is better or there is no kernel,
/// and nothing was done.
pub fn product(
    threads: &Threads,
    x: &[f32],
    m: usize,
    weight: &HalfFloat,
    epilogue: &Epilogue,
    out: &mut [f32],
) -> bool {
    let level = threads.level();
    let &[n, k] = weight.shape() else { return false };
    if m > FEW_ROWS || !takes(level) {
        return false;
    }
    if m * n == 0 {
        return true;
    }
    let weight = Rows { halves: bytemuck::cast_slice(weight.values().bytes()), stride: k.next_multiple_of(2), k };
    divide(threads, n, UNIT, out, |first, out| products(level, weight, first, x, out));
    let rows = out.chunks_mut(n).enumerate().collect();
    threads.for_each(rows, |(row, out)| finish(level, out, row, 0, n, epilogue));
    true
}
