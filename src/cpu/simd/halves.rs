//! Products with rows in half precision: a tile of sums, lanes along the rows of both sides.

use std::ops::Range;

use super::Level;
use super::lanes::{Avx2, Avx512, Lanes, MAX_LANES};
use super::unroll::unroll;

/// Most rows of x in a tile. Rows often lie a multiple of 4 KiB apart, and then all share one set of the first-level
/// cache with those of the weight: eight would push each other out.
const X_ROWS: usize = 4;
/// Rows of the weight that stay in the second-level cache while all of x passes.
const BLOCK: usize = 32;

/// Rows in half precision.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// `[rows, stride]`
    pub halves: &'a [u16],
    pub stride: usize,
    /// Columns that count.
    pub k: usize,
}

/// Whether there are kernels for a level.
pub fn takes(level: Level) -> bool {
    matches!(level, Level::Avx512 | Level::Avx2)
}

/// `out[i][j] = Σ x[i, k] · weight[first + j, k]`: rows of `out` have equal length, `x` is `[out.len(), k]`.
pub fn products(level: Level, weight: Rows, first: usize, x: &[f32], out: &mut [&mut [f32]]) {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
    fn avx512(weight: Rows, first: usize, x: &[f32], out: &mut [&mut [f32]]) {
        // SAFETY: this function has the features.
        unsafe { tiles::<Avx512>(weight, first, x, out) }
    }
    #[target_feature(enable = "avx2,fma,f16c")]
    fn avx2(weight: Rows, first: usize, x: &[f32], out: &mut [&mut [f32]]) {
        // SAFETY: this function has the features.
        unsafe { tiles::<Avx2>(weight, first, x, out) }
    }
    // SAFETY: `Level::available` found the features before anybody could hold the value.
    unsafe {
        match level {
            Level::Avx512 => avx512(weight, first, x, out),
            Level::Avx2 => avx2(weight, first, x, out),
            _ => {}
        }
    }
}

/// Cuts the output into tiles that leave registers for their operands.
///
/// # Safety
/// That of `Lanes`.
#[inline(always)]
unsafe fn tiles<S: Lanes>(weight: Rows, first: usize, x: &[f32], out: &mut [&mut [f32]]) {
    let (m, n) = (out.len(), out.first().map_or(0, |out| out.len()));
    if weight.k == 0 || n == 0 {
        return out.iter_mut().for_each(|out| out.fill(0.0));
    }
    // Of equal height: none is left with a row or two.
    let height = m.div_ceil(m.div_ceil(X_ROWS));
    for start in (0..n).step_by(BLOCK) {
        let span = start..n.min(start + BLOCK);
        for (x, out) in x.chunks(height * weight.k).zip(out.chunks_mut(height)) {
            // SAFETY: the caller's.
            unsafe {
                match (out.len(), S::LANES == MAX_LANES) {
                    (1, _) => columns::<S, 4, 1>(weight, first, x, span.clone(), out),
                    (2, _) => columns::<S, 4, 2>(weight, first, x, span.clone(), out),
                    (3, _) => columns::<S, 4, 3>(weight, first, x, span.clone(), out),
                    (_, true) => columns::<S, 4, X_ROWS>(weight, first, x, span.clone(), out),
                    // 16 registers hold 12 sums beside their operands.
                    (_, false) => columns::<S, 3, X_ROWS>(weight, first, x, span.clone(), out),
                }
            }
        }
    }
}

/// Columns `span` of `out`: `W` rows of the weight at a time with all `M` rows of x.
///
/// # Safety
/// That of `Lanes`.
#[inline(always)]
unsafe fn columns<S: Lanes, const W: usize, const M: usize>(
    weight: Rows,
    first: usize,
    x: &[f32],
    span: Range<usize>,
    out: &mut [&mut [f32]],
) {
    let k = weight.k;
    let whole = k / (2 * S::LANES) * (2 * S::LANES);
    // Ragged ends, padded with zeros.
    let mut x_end = [[0f32; 2 * MAX_LANES]; M];
    let mut w_end = [[0u16; 2 * MAX_LANES]; W];
    let mut x_rows = [std::ptr::null(); M];
    for i in 0..M {
        let row = &x[i * k..][..k];
        x_end[i][..k - whole].copy_from_slice(&row[whole..]);
        x_rows[i] = row.as_ptr();
    }
    for j in span.clone().step_by(W) {
        let mut w_rows = [std::ptr::null(); W];
        for r in 0..W {
            // Rows behind the last are the last.
            let row = &weight.halves[(first + (j + r).min(span.end - 1)) * weight.stride..][..k];
            w_end[r][..k - whole].copy_from_slice(&row[whole..]);
            w_rows[r] = row.as_ptr();
        }
        // SAFETY: the caller's; a step reads `2 · LANES` elements, of which rows have `whole` and ends one.
        unsafe {
            let mut sums = [[S::zero(); M]; W];
            for at in (0..whole).step_by(2 * S::LANES) {
                // Rows are short for the processor to foresee the next ones.
                unroll!(r in W, 4 => { S::prefetch(w_rows[r].wrapping_add(W * weight.stride + at).cast()); });
                step::<S, W, M>(&w_rows, &x_rows, at, &mut sums);
                step::<S, W, M>(&w_rows, &x_rows, at + S::LANES, &mut sums);
            }
            if whole < k {
                let (w_end, x_end) = (w_end.each_ref().map(|w| w.as_ptr()), x_end.each_ref().map(|x| x.as_ptr()));
                step::<S, W, M>(&w_end, &x_end, 0, &mut sums);
                step::<S, W, M>(&w_end, &x_end, S::LANES, &mut sums);
            }
            for (i, out) in out.iter_mut().enumerate() {
                for (r, out) in out[j..span.end].iter_mut().take(W).enumerate() {
                    *out = S::sum(sums[r][i]);
                }
            }
        }
    }
}

/// Adds the products of a vector of each row.
///
/// # Safety
/// That of `Lanes`; all rows have a vector at `at`.
#[inline(always)]
unsafe fn step<S: Lanes, const W: usize, const M: usize>(
    weight: &[*const u16; W],
    x: &[*const f32; M],
    at: usize,
    sums: &mut [[S::F; M]; W],
) {
    // SAFETY: the caller's.
    unsafe {
        let mut values = [S::zero(); W];
        unroll!(r in W, 4 => { values[r] = S::load_halves(weight[r].add(at)); });
        unroll!(i in M, 8 => {
            let x = S::load(x[i].add(at));
            unroll!(r in W, 4 => { sums[r][i] = S::fma(values[r], x, sums[r][i]); });
        });
    }
}
