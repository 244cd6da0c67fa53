//! What became of each weight, and how far off it is.

use rayon::prelude::*;
use serde::Serialize;

use super::feedback::Statistics;
use crate::Result;
use crate::graph::Weight;
use crate::tensor::Tensor;

#[derive(Clone, Debug, Serialize)]
pub struct TensorReport {
    pub name: String,
    pub encoding: String,
    pub weights: usize,
    /// Stored: codes, tables, scales.
    pub bytes: usize,
    pub bits_per_weight: f64,
    /// `‖W − Ŵ‖ / ‖W‖`.
    pub error: f64,
    /// `‖(W − Ŵ) X‖ / ‖W X‖` on the calibration samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_error: Option<f64>,
}

impl TensorReport {
    pub fn new(
        name: String,
        encoding: String,
        dense: &Tensor,
        encoded: &Weight,
        statistics: Option<&Statistics>,
    ) -> Result<Self> {
        let relative = |(error, norm): (f64, f64)| if norm > 0.0 { (error / norm).sqrt() } else { 0.0 };
        let output_error = statistics.map(|s| output_error(dense, encoded, s)).transpose()?;
        let (weights, bytes) = (dense.len(), encoded.bytes());
        Ok(TensorReport {
            name,
            encoding,
            weights,
            bytes,
            bits_per_weight: 8.0 * bytes as f64 / weights.max(1) as f64,
            error: relative(weight_error(dense, encoded)?),
            output_error: output_error.map(relative),
        })
    }
}

/// Rows that are decoded at a time.
const ROWS: usize = 96;

/// `‖W − Ŵ‖²` and `‖W‖²`.
pub fn weight_error(dense: &Tensor, encoded: &Weight) -> Result<(f64, f64)> {
    let square = |rows: &[f32]| rows.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
    by_rows(dense, encoded, |change, rows| (square(change), square(rows)))
}

/// `‖(W − Ŵ) X‖²` and `‖W X‖²`; statistics of as many inputs as the weight has columns.
pub fn output_error(dense: &Tensor, encoded: &Weight, statistics: &Statistics) -> Result<(f64, f64)> {
    by_rows(dense, encoded, |change, rows| (statistics.energy(change), statistics.energy(rows)))
}

/// Sums of a measure of `W − Ŵ` and `W`, decoding a few rows at a time.
fn by_rows(
    dense: &Tensor,
    encoded: &Weight,
    measure: impl Fn(&[f32], &[f32]) -> (f64, f64) + Sync,
) -> Result<(f64, f64)> {
    let rows = dense.shape().first().copied().unwrap_or(0).max(1);
    let cols = (dense.len() / rows).max(1);
    let data = dense.slice::<f32>()?;
    let same = if let Weight::Dense(other) = encoded { Some(other.slice::<f32>()?) } else { None };
    let one = |(block, rows): (usize, &[f32])| {
        let mut change = vec![0f32; rows.len()];
        match (encoded, same) {
            (Weight::Encoded(encoded), _) => {
                let decoded = change.chunks_mut(cols).enumerate();
                decoded.for_each(|(i, row)| encoded.as_encoding().decode(block * ROWS + i, 0, row));
            }
            (_, Some(other)) => change.copy_from_slice(&other[block * ROWS * cols..][..rows.len()]),
            _ => {}
        }
        change.iter_mut().zip(rows).for_each(|(c, v)| *c = v - *c);
        measure(&change, rows)
    };
    // Collected in order: the sum must not depend on the threads.
    let each: Vec<(f64, f64)> = data.par_chunks(ROWS * cols).enumerate().map(one).collect();
    Ok(each.into_iter().fold((0.0, 0.0), |sum, row| (sum.0 + row.0, sum.1 + row.1)))
}
