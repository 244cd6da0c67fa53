//! The best approximation of a matrix by one of low rank: a randomised range finder with power iterations (Halko,
//! Martinsson & Tropp 2011), then one-sided Jacobi rotations on the small matrix that is left (Hestenes 1958). In f64.

use rayon::prelude::*;

use super::product::dot;

/// Directions beyond the rank that the range finder keeps.
const SPARE: usize = 16;
/// Power iterations: each sharpens the gap between what is kept and what is not.
const POWERS: usize = 4;
/// Sweeps of rotations; they end earlier once all rows are orthogonal to this cosine.
const SWEEPS: usize = 40;
const ORTHOGONAL: f64 = 1e-12;

/// `left · right` with singular values shared out evenly: left `[rows, rank]`, right `[rank, cols]`.
pub struct Factors {
    pub rank: usize,
    pub left: Vec<f32>,
    pub right: Vec<f32>,
}

/// Factors a matrix `[rows, cols]`; `most`, the rank, is at most the smaller side, and less where singular values are below
/// `least` of the largest.
pub fn factors(matrix: &[f32], rows: usize, cols: usize, most: usize, least: f64) -> Factors {
    let row = |r: usize| &matrix[r * cols..(r + 1) * cols];
    let directions = (most + SPARE).min(rows.min(cols));
    // Vectors are rows here: `basis` is Qᵀ, `[directions, rows]`.
    let times = |vectors: &[Vec<f64>]| -> Vec<Vec<f64>> {
        vectors.par_iter().map(|v| (0..rows).map(|r| mixed_dot(row(r), v)).collect()).collect()
    };
    let transposed_times = |vectors: &[Vec<f64>]| -> Vec<Vec<f64>> {
        let one = |v: &Vec<f64>| {
            let mut out = vec![0f64; cols];
            for (r, factor) in v.iter().enumerate() {
                out.iter_mut().zip(row(r)).for_each(|(o, &m)| *o += factor * f64::from(m));
            }
            out
        };
        vectors.par_iter().map(one).collect()
    };
    let mut basis = times(&random(directions, cols));
    orthonormalise(&mut basis);
    for _ in 0..POWERS {
        let mut other = transposed_times(&basis);
        orthonormalise(&mut other);
        basis = times(&other);
        orthonormalise(&mut basis);
    }
    let mut small = transposed_times(&basis);
    rotate(&mut small, &mut basis);
    let norm = |v: &[f64]| dot(v, v).sqrt();
    let mut order: Vec<(f64, usize)> = small.iter().enumerate().map(|(i, v)| (norm(v), i)).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    order.truncate(most);
    let bar = order.first().map_or(0.0, |(largest, _)| least * largest);
    order.retain(|(value, _)| *value >= bar);
    let rank = order.len();
    let mut left = vec![0f32; rows * rank];
    let mut right = Vec::with_capacity(rank * cols);
    for (k, &(value, i)) in order.iter().enumerate() {
        let root = value.sqrt();
        (0..rows).for_each(|r| left[r * rank + k] = (basis[i][r] * root) as f32);
        right.extend(small[i].iter().map(|v| if root > 0.0 { (v / root) as f32 } else { 0.0 }));
    }
    Factors { rank, left, right }
}

fn mixed_dot(a: &[f32], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(&a, b)| f64::from(a) * b).sum()
}

/// Numbers in −1..1, the same on every run (splitmix64, Steele et al. 2014).
fn random(count: usize, len: usize) -> Vec<Vec<f64>> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..count).map(|_| (0..len).map(|_| next()).collect()).collect()
}

/// Gram–Schmidt, twice for accuracy. What depends on the vectors before becomes 0.
fn orthonormalise(vectors: &mut [Vec<f64>]) {
    for i in 0..vectors.len() {
        let (done, rest) = vectors.split_at_mut(i);
        let Some(v) = rest.first_mut() else { return };
        let before = dot(v, v).sqrt();
        for _ in 0..2 {
            let products: Vec<f64> = done.par_iter().with_min_len(8).map(|d| dot(d, v)).collect();
            for (d, product) in done.iter().zip(products) {
                v.iter_mut().zip(d).for_each(|(v, d)| *v -= product * d);
            }
        }
        let norm = dot(v, v).sqrt();
        let factor = if norm > 1e-12 * before && norm > 0.0 { 1.0 / norm } else { 0.0 };
        v.iter_mut().for_each(|v| *v *= factor);
    }
}

/// Rotates pairs of `rows` until all are orthogonal, and `others` with them.
fn rotate(rows: &mut [Vec<f64>], others: &mut [Vec<f64>]) {
    for _ in 0..SWEEPS {
        let mut squares: Vec<f64> = rows.iter().map(|v| dot(v, v)).collect();
        let mut rotated = false;
        for i in 0..rows.len() {
            for j in i + 1..rows.len() {
                let product = dot(&rows[i], &rows[j]);
                if product.abs() <= ORTHOGONAL * (squares[i] * squares[j]).sqrt() {
                    continue;
                }
                rotated = true;
                let half = (squares[j] - squares[i]) / (2.0 * product);
                let tangent = half.signum() / (half.abs() + (1.0 + half * half).sqrt());
                let cosine = 1.0 / (1.0 + tangent * tangent).sqrt();
                turn(rows, i, j, cosine, cosine * tangent);
                turn(others, i, j, cosine, cosine * tangent);
                squares[i] -= tangent * product;
                squares[j] += tangent * product;
            }
        }
        if !rotated {
            return;
        }
    }
}

fn turn(vectors: &mut [Vec<f64>], i: usize, j: usize, cosine: f64, sine: f64) {
    let (head, tail) = vectors.split_at_mut(j);
    for (a, b) in head[i].iter_mut().zip(&mut tail[0]) {
        (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(matrix: &[f32], rows: usize, cols: usize, rank: usize) -> f64 {
        let Factors { left, right, .. } = factors(matrix, rows, cols, rank, 0.0);
        let at =
            |r: usize, c: usize| (0..rank).map(|k| f64::from(left[r * rank + k] * right[k * cols + c])).sum::<f64>();
        (0..rows * cols).map(|i| (f64::from(matrix[i]) - at(i / cols, i % cols)).powi(2)).sum::<f64>().sqrt()
    }

    /// `U · diag(1, 1/2, 1/4, …) · Vᵀ` of random orthonormal U and V.
    fn known(rows: usize, cols: usize, count: usize) -> (Vec<f32>, Vec<f64>) {
        let (mut u, mut v) = (random(count, rows), random(count, cols));
        orthonormalise(&mut u);
        orthonormalise(&mut v);
        let values: Vec<f64> = (0..count).map(|k| 0.5f64.powi(k as i32)).collect();
        let at = |r: usize, c: usize| (0..count).map(|k| u[k][r] * values[k] * v[k][c]).sum::<f64>() as f32;
        ((0..rows * cols).map(|i| at(i / cols, i % cols)).collect(), values)
    }

    #[test]
    fn the_error_is_that_of_the_values_left_out() {
        for (rows, cols) in [(40, 30), (30, 40), (7, 100)] {
            let count = rows.min(cols).min(12);
            let (matrix, values) = known(rows, cols, count);
            for rank in [1, 3, count] {
                let best = values[rank..].iter().map(|v| v * v).sum::<f64>().sqrt();
                let found = error(&matrix, rows, cols, rank);
                assert!((found - best).abs() < 1e-5, "{rows}×{cols} rank {rank}: {found} against {best}");
            }
        }
    }

    #[test]
    fn values_below_the_threshold_are_left_out() {
        let (matrix, _) = known(30, 40, 12);
        for (least, rank) in [(0.6, 1), (0.2, 3), (0.03, 6), (0.001, 8)] {
            let found = factors(&matrix, 30, 40, 8, least);
            assert_eq!((found.rank, found.left.len(), found.right.len()), (rank, 30 * rank, 40 * rank), "{least}");
        }
    }

    #[test]
    fn zeros_stay_zeros() {
        assert_eq!(error(&[0.0; 20], 4, 5, 2), 0.0);
    }
}
