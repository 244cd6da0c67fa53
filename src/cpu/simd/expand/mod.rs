//! Rows of sparse weights: values that lie next to each other go to the columns where a mask has ones.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod row;

use super::Level;
pub use row::{MAX_ROWS, ROOM, Row, STEP};

/// `out[c]` = the next value where bit `c` of the mask is 1, else 0.
pub fn expand(level: Level, row: Row<f32>, out: &mut [f32]) {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Avx2 => avx2::expand(row, out),
        #[cfg(not(target_arch = "x86_64"))]
        Level::Neon | Level::Simd128 => super::codes::expand(row.mask, row.values, out),
        _ => row::plain(row.mask, row.values, out),
    }
}

/// Whether a level has products.
#[cfg(target_arch = "x86_64")]
pub fn has_dots(level: Level) -> bool {
    matches!(level, Level::Avx512 | Level::Avx2)
}

/// `Σ x[i, c] · w[c]` for up to `MAX_ROWS` rows of x, `[rows, stride]`; the stride is a multiple of `STEP`, with zeros
/// behind the columns.
#[cfg(target_arch = "x86_64")]
pub fn dots(level: Level, row: Row<f32>, x: &[f32], stride: usize) -> [f32; MAX_ROWS] {
    assert!(fits(row.mask, x, stride));
    match level {
        Level::Avx512 => avx512::dots(row, x, stride),
        _ => avx2::dots(row, x, stride),
    }
}

/// `dots` of values in half precision.
#[cfg(target_arch = "x86_64")]
pub fn half_dots(level: Level, row: Row<u16>, x: &[f32], stride: usize) -> [f32; MAX_ROWS] {
    assert!(fits(row.mask, x, stride));
    match level {
        Level::Avx512 if is_x86_feature_detected!("avx512vbmi2") => avx512::half_dots(row, x, stride),
        _ => avx2::half_dots(row, x, stride),
    }
}

/// Whether rows of x have what kernels read for each word of the mask.
#[cfg(target_arch = "x86_64")]
fn fits(mask: &[u8], x: &[f32], stride: usize) -> bool {
    mask.len() * 8 <= stride && stride.is_multiple_of(STEP) && x.len().is_multiple_of(stride.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Masks of `cols` columns, from none to all, and rows of values with NaN behind them.
    fn rows(cols: usize) -> Vec<(Vec<u8>, Vec<f32>)> {
        let stride = cols.div_ceil(32) * 4;
        let mut state = cols as u64 + 1;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            state >> 33
        };
        let mut all = Vec::new();
        for share in [0, 1, 8, 16, 31, 32] {
            let mut mask = vec![0u8; stride];
            (0..cols).filter(|_| next() % 32 < share).for_each(|c| mask[c / 8] |= 1 << (c % 8));
            let ones: u32 = mask.iter().map(|b| b.count_ones()).sum();
            let values = (0..ones).map(|_| half::f16::from_f32(next() as f32 / 2f32.powi(30) - 1.0).to_f32());
            let values: Vec<f32> = values.chain([f32::NAN; ROOM]).collect();
            all.push((mask, values));
        }
        all
    }

    const WIDTHS: [usize; 11] = [0, 1, 7, 8, 31, 32, 33, 64, 100, 257, 1000];

    #[test]
    fn values_go_where_the_mask_says() {
        for level in Level::available() {
            for cols in WIDTHS {
                for (mask, values) in rows(cols) {
                    let mut out = vec![f32::NAN; cols];
                    expand(level, Row { mask: &mask, values: &values }, &mut out);
                    let mut wanted = values.iter();
                    for (c, &v) in out.iter().enumerate() {
                        let there = mask[c / 8] >> (c % 8) & 1 == 1;
                        assert_eq!(v, if there { *wanted.next().unwrap() } else { 0.0 }, "{level:?} {cols} {c}");
                    }
                }
            }
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn dots_are_those_of_the_expanded_row() {
        for level in Level::available().into_iter().filter(|&level| has_dots(level)) {
            for cols in WIDTHS {
                let stride = cols.next_multiple_of(STEP).max(STEP);
                for (mask, values) in rows(cols) {
                    let mut dense = vec![0f32; cols];
                    row::plain(&mask, &values, &mut dense);
                    let halves: Vec<u16> = values.iter().map(|&v| half::f16::from_f32(v).to_bits()).collect();
                    for m in 0..=MAX_ROWS {
                        let x: Vec<f32> = (0..m * stride)
                            .map(|i| if i % stride < cols { (i as f32 * 0.7).sin() } else { 0.0 })
                            .collect();
                        let both = [
                            dots(level, Row { mask: &mask, values: &values }, &x, stride),
                            half_dots(level, Row { mask: &mask, values: &halves }, &x, stride),
                        ];
                        for (got, i) in both.iter().flat_map(|got| (0..m).map(move |i| (got[i], i))) {
                            let terms = dense.iter().zip(&x[i * stride..]);
                            let terms: Vec<f64> = terms.map(|(w, x)| f64::from(*w) * f64::from(*x)).collect();
                            let (sum, size) = (terms.iter().sum::<f64>(), terms.iter().map(|t| t.abs()).sum::<f64>());
                            assert!((f64::from(got) - sum).abs() <= 1e-6 * size, "{level:?} {cols} {got} {sum}");
                        }
                    }
                }
            }
        }
    }
}
