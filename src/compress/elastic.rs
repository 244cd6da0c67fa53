//! Elastic precision: scale and offset of each of the 28 forms, searched for the least squared error.

use std::ops::Range;

use half::f16;
use rayon::prelude::*;

use super::grid::Matrix;
use crate::tensor::{Shape, Tensor};
use crate::weights::Elastic;
use crate::weights::elastic::{EPSILON, Precision, Step};
use crate::{Error, Result};

/// Clipped ranges tried: shares of the full range, from all of it downwards. At 2 bits of a normal distribution the best
/// one is below half.
const SHARES: usize = 24;
const SMALLEST_SHARE: f32 = 0.3;

/// Stores a weight so that it can be served in every form. The fit sees the weight as it is stored, in half precision.
pub fn encode(shape: Shape, matrix: &Matrix) -> Result<Elastic> {
    let (rows, cols) = (matrix.rows, matrix.cols);
    let stride = cols.next_multiple_of(2);
    let mut stored = vec![f16::ZERO; rows * stride];
    let mut seen = vec![0f32; rows * cols];
    for row in 0..rows {
        let out = stored[row * stride..].iter_mut().zip(&mut seen[row * cols..(row + 1) * cols]);
        for ((stored, seen), &value) in out.zip(matrix.row(row)) {
            *stored = f16::from_f32(value);
            *seen = stored.to_f32();
        }
    }
    if seen.iter().any(|v| !v.is_finite()) {
        return Err(Error::Usage("a value does not fit in f16; exclude this weight".into()));
    }
    let matrix = Matrix { rows, cols, data: seen.into(), importance: matrix.importance.clone() };
    let table = |symmetric: bool, per_channel: bool| {
        let forms = || Precision::all().filter(|p| p.symmetric == symmetric && p.per_channel == per_channel);
        // Rows that share a step.
        let span = if per_channel { 1 } else { rows.max(1) };
        let spans: Vec<Range<usize>> =
            (0..if per_channel { rows } else { 1 }).map(|i| i * span..((i + 1) * span).min(rows)).collect();
        let jobs: Vec<_> = spans.iter().flat_map(|span| forms().map(move |form| (span.clone(), form))).collect();
        let steps: Vec<[f32; 2]> = jobs.into_par_iter().map(|(span, form)| search(&matrix, span, form)).collect();
        Tensor::new([spans.len(), forms().count(), 2], steps.as_flattened())
    };
    let tables = [table(false, true)?, table(true, true)?, table(false, false)?, table(true, false)?];
    Elastic::new(shape, Tensor::new([rows, stride], &stored)?, tables)
}

/// The best `(s, β)` for these rows.
fn search(matrix: &Matrix, rows: Range<usize>, form: Precision) -> [f32; 2] {
    let values = || matrix.data[rows.start * matrix.cols..rows.end * matrix.cols].iter().copied();
    let (low, high) = (values().fold(f32::INFINITY, f32::min), values().fold(f32::NEG_INFINITY, f32::max));
    if low > high {
        return [0.0; 2];
    }
    let codes = (1u32 << form.bits) as f32;
    let mut best = (f64::INFINITY, [0.0; 2]);
    for i in 0..SHARES {
        let share = 1.0 - (1.0 - SMALLEST_SHARE) * i as f32 / (SHARES - 1) as f32;
        let (step, offset) = if form.symmetric {
            // Codes run from −2^(bits−1) to 2^(bits−1) − 1; half a step more keeps both ends.
            (share * high.max(-low) / (codes / 2.0 - 0.5), 0.0)
        } else {
            (share * (high - low) / (codes - 1.0), low + (1.0 - share) / 2.0 * (high - low))
        };
        let pair = [(step - EPSILON).max(0.0), offset];
        let rounding = Step::new(pair[0], pair[1], form);
        let of_row = |row: usize| -> f64 {
            let values = matrix.row(row).iter().zip(matrix.importance(row));
            values.map(|(&w, importance)| f64::from(importance * (rounding.round(w) - w).powi(2))).sum()
        };
        let error: f64 = rows.clone().map(of_row).sum();
        if error < best.0 {
            best = (error, pair);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{Encoded, Encoding};

    /// Errors fall with the bits, and steps per channel are no worse than steps per layer.
    #[test]
    fn more_bits_and_more_steps_fit_better() {
        let (rows, cols) = (5, 63);
        let mut state = 1u32;
        let data: Vec<f32> = (0..rows * cols)
            .map(|i| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                ((state >> 8) as f32 / (1 << 24) as f32 - 0.4) * (1 + i / cols) as f32
            })
            .collect();
        let matrix = Matrix { rows, cols, data: data.clone().into(), importance: vec![1.0; cols] };
        let elastic = encode(vec![rows, cols], &matrix).unwrap();
        let error = |symmetric: bool, per_channel: bool, bits: u32| {
            let form = Encoded::from(elastic.at(Precision { bits, symmetric, per_channel }).unwrap());
            let decoded = form.to_dense().unwrap().to_f32().unwrap();
            decoded.iter().zip(&data).map(|(a, b)| (a - b).powi(2)).sum::<f32>()
        };
        for symmetric in [false, true] {
            for bits in 2..=8 {
                assert!(error(symmetric, true, bits) < error(symmetric, false, bits), "{bits} {symmetric}");
                if bits > 2 {
                    assert!(error(symmetric, true, bits) < 0.5 * error(symmetric, true, bits - 1), "{bits}");
                }
            }
        }
        assert_eq!(elastic.name(), "elastic");
    }
}
