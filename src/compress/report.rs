//! What became of each weight, and how far off it is.

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

/// `‖W − Ŵ‖²` and `‖W‖²`.
pub fn weight_error(dense: &Tensor, encoded: &Weight) -> Result<(f64, f64)> {
    let square = |row: &[f32]| row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
    by_row(dense, encoded, |change, row| (square(change), square(row)))
}

/// `‖(W − Ŵ) X‖²` and `‖W X‖²`; statistics of as many inputs as the weight has columns.
pub fn output_error(dense: &Tensor, encoded: &Weight, statistics: &Statistics) -> Result<(f64, f64)> {
    by_row(dense, encoded, |change, row| (statistics.energy(change), statistics.energy(row)))
}

/// Sums of a measure of each row's `W − Ŵ` and `W`, decoding one row at a time.
fn by_row(
    dense: &Tensor,
    encoded: &Weight,
    measure: impl Fn(&[f32], &[f32]) -> (f64, f64) + Sync,
) -> Result<(f64, f64)> {
    use rayon::prelude::*;
    let rows = dense.shape().first().copied().unwrap_or(0).max(1);
    let cols = (dense.len() / rows).max(1);
    let data = dense.slice::<f32>()?;
    let same = if let Weight::Dense(other) = encoded { Some(other.slice::<f32>()?) } else { None };
    let one = |(index, row): (usize, &[f32])| {
        let mut change = vec![0f32; row.len()];
        match (encoded, same) {
            (Weight::Encoded(encoded), _) => encoded.as_encoding().decode(index, 0, &mut change),
            (_, Some(other)) => change.copy_from_slice(&other[index * cols..][..row.len()]),
            _ => {}
        }
        change.iter_mut().zip(row).for_each(|(c, v)| *c = v - *c);
        measure(&change, row)
    };
    // Collected in order: the sum must not depend on the threads.
    let each: Vec<(f64, f64)> = data.par_chunks(cols).enumerate().map(one).collect();
    Ok(each.into_iter().fold((0.0, 0.0), |sum, row| (sum.0 + row.0, sum.1 + row.1)))
}
