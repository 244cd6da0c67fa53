//! Products of plain matrices, for statistics and errors.

use rayon::prelude::*;

use crate::cpu::Threads;
use crate::cpu::gemm::{Divide, Epilogue, Operand, Product, Strided};

/// Rows of a result that a thread computes at a time.
const ROWS: usize = 96;

/// `a · bᵀ`: `[m, n]` of `a` `[m, depth]` and `b` `[n, depth]`.
pub fn by_rows(a: &[f32], b: &[f32], depth: usize) -> Vec<f32> {
    let (m, n) = (a.len() / depth.max(1), b.len() / depth.max(1));
    let mut out = vec![0f32; m * n];
    let blocks = out.par_chunks_mut((ROWS * n).max(1)).zip(a.par_chunks((ROWS * depth).max(1)));
    blocks.for_each(|(out, a)| product(a, b, depth, out));
    out
}

/// `a · aᵀ`: `[m, m]` of `a` `[m, depth]`, one half of it computed.
pub fn square(a: &[f32], depth: usize) -> Vec<f32> {
    let m = a.len() / depth.max(1);
    let mut out = vec![0f32; m * m];
    out.par_chunks_mut((ROWS * m).max(1)).enumerate().for_each(|(block, out)| {
        let start = block * ROWS;
        let rows = &a[start * depth..][..out.len() / m * depth];
        let mut half = vec![0f32; out.len() / m * (m - start)];
        product(rows, &a[start * depth..], depth, &mut half);
        out.chunks_exact_mut(m).zip(half.chunks_exact(m - start)).for_each(|(o, h)| o[start..].copy_from_slice(h));
    });
    for i in 0..m {
        for j in 0..i {
            out[i * m + j] = out[j * m + i];
        }
    }
    out
}

/// `a · bᵀ` on one thread.
fn product(a: &[f32], b: &[f32], depth: usize, out: &mut [f32]) {
    let (m, n) = (a.len() / depth.max(1), b.len() / depth.max(1));
    let (rows, columns) = (Strided::rows(a, depth), Strided::rows(b, depth));
    let (a, b) = (Operand::Source(&rows), Operand::Source(&columns));
    Product { m, n, k: depth, a, b, epilogue: Epilogue::default() }.run(&Threads::single(), Divide::Rows, out);
}

/// `a · b` of two vectors; eight sums side by side, which a compiler turns into vector instructions.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0f64; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a8.remainder().iter().zip(b8.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a8.zip(b8) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_sums_of_products() {
        let depth = 13;
        let a: Vec<f32> = (0..5 * depth).map(|i| (i % 7) as f32 - 3.0).collect();
        let b: Vec<f32> = (0..130 * depth).map(|i| (i % 11) as f32 - 5.0).collect();
        let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        for (i, found) in by_rows(&a, &b, depth).iter().enumerate() {
            let (row, col) = (&a[i / 130 * depth..][..depth], &b[i % 130 * depth..][..depth]);
            let sum: f32 = row.iter().zip(col).map(|(a, b)| a * b).sum();
            assert_eq!((*found, dot(&wide(row), &wide(col)) as f32), (sum, sum));
        }
        assert_eq!(square(&b, depth), by_rows(&b, &b, depth));
    }
}
