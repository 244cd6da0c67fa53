//! Noise that a seed decides, on every platform.

use crate::tensor::Tensor;
use crate::text::Random;
use crate::{Error, Result};

/// More than any model wants.
const MOST: usize = 1 << 24;

/// Independent values of the normal distribution with mean 0 (Box & Muller 1958): f32 of `shape`. Fails for a variance that
/// is none, and for sizes that cannot be.
pub fn normal(shape: [usize; 2], variance: f32, seed: u64) -> Result<Tensor> {
    check(variance)?;
    let [rows, columns] = shape;
    let Some(count) = rows.checked_mul(columns).filter(|&count| count <= MOST) else {
        return Err(Error::Unsupported(format!("a model that wants {rows} × {columns} values of noise")));
    };
    let (mut random, deviation) = (Random::new(seed), f64::from(variance).sqrt());
    let mut value = || {
        // From 1 downwards: its logarithm is finite.
        let (length, turn) = (1.0 - random.uniform(), random.uniform());
        (deviation * (-2.0 * length.ln()).sqrt() * (std::f64::consts::TAU * turn).cos()) as f32
    };
    Tensor::new(shape, &(0..count).map(|_| value()).collect::<Vec<_>>())
}

/// Fails for what is no variance.
pub fn check(variance: f32) -> Result<()> {
    match variance >= 0.0 && variance.is_finite() {
        true => Ok(()),
        false => Err(Error::Usage(format!("a variance of {variance}; it must be 0 or more"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_moments_that_it_should() {
        let values = normal([500, 200], 0.016, 7).unwrap().to_f32().unwrap();
        let mean = |power: i32| values.iter().map(|&v| f64::from(v).powi(power)).sum::<f64>() / values.len() as f64;
        // Within five of the deviations that means of so many values have.
        assert!(mean(1).abs() < 5.0 * (0.016f64 / 1e5).sqrt(), "{}", mean(1));
        assert!((mean(2) / 0.016 - 1.0).abs() < 5.0 * (2.0f64 / 1e5).sqrt(), "{}", mean(2));
        assert!((mean(4) / 0.016f64.powi(2) - 3.0).abs() < 5.0 * (96.0f64 / 1e5).sqrt(), "{}", mean(4));
        assert_eq!(normal([500, 200], 0.016, 7).unwrap().to_f32().unwrap(), values);
        assert_ne!(normal([500, 200], 0.016, 8).unwrap().to_f32().unwrap(), values);
        assert!(normal([3, 5], 0.0, 7).unwrap().to_f32().unwrap().iter().all(|&v| v == 0.0));
        assert!(normal([1 << 40, 1 << 40], 1.0, 7).is_err());
        assert!(normal([2, 2], -1.0, 7).is_err() && normal([2, 2], f32::NAN, 7).is_err());
    }
}
