//! How far the distributions that two models give are apart, and where to.

use std::sync::Mutex;

use crate::cpu::Threads;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Mean over rows of `Σ p · ln(p / q)`, p and q the softmax of `exact` and `found` over their last axis, in nats; and its
/// gradient to `found`, `(q − p) / rows`.
pub fn divergence(exact: &Tensor, found: &Tensor, threads: &Threads) -> Result<(f64, Vec<f32>)> {
    if exact.shape() != found.shape() {
        return Err(Error::Usage(format!(
            "outputs {:?} of the model to train and {:?} of the float one are different",
            found.shape(),
            exact.shape()
        )));
    }
    let classes = found.shape().last().copied().unwrap_or(0).max(1);
    let rows = found.len() / classes;
    let exact = exact.slice::<f32>()?;
    let mut gradient = found.slice::<f32>()?.to_vec();
    let sum = Mutex::new(0f64);
    threads.for_chunks(&mut gradient, classes, |row, found| {
        let exact = &exact[row * classes..][..classes];
        let (p_sum, q_sum) = (log_sum(exact), log_sum(found));
        let mut divergence = 0f64;
        for (q, p) in found.iter_mut().zip(exact) {
            let (ln_p, ln_q) = (p - p_sum, *q - q_sum);
            let p = ln_p.exp();
            divergence += f64::from(p * (ln_p - ln_q));
            *q = (ln_q.exp() - p) / rows as f32;
        }
        if let Ok(mut sum) = sum.lock() {
            *sum += divergence;
        }
    });
    let sum = sum.into_inner().unwrap_or(f64::NAN);
    Ok((sum / rows.max(1) as f64, gradient))
}

/// `ln Σ exp(v)`.
fn log_sum(values: &[f32]) -> f32 {
    let top = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    top + values.iter().map(|v| f64::from((v - top).exp())).sum::<f64>().ln() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradient_is_the_slope() {
        let exact = Tensor::new([2, 3], &[0.3f32, -1.0, 2.0, 0.0, 0.5, -0.5]).unwrap();
        let at = [1.0f32, 0.2, -0.4, 0.1, 0.1, 3.0];
        let loss =
            |values: &[f32]| divergence(&exact, &Tensor::new([2, 3], values).unwrap(), &Threads::single()).unwrap();
        let (value, gradient) = loss(&at);
        // Of the definition, in f64.
        let softmax = |v: &[f32]| {
            let sum: f64 = v.iter().map(|&v| f64::from(v).exp()).sum();
            v.iter().map(|&v| f64::from(v).exp() / sum).collect::<Vec<_>>()
        };
        let rows = exact.slice::<f32>().unwrap().chunks(3).zip(at.chunks(3));
        let terms = rows.flat_map(|(p, q)| softmax(p).into_iter().zip(softmax(q)).map(|(p, q)| p * (p / q).ln()));
        assert!((value - terms.sum::<f64>() / 2.0).abs() < 1e-6);
        for i in 0..at.len() {
            let moved = |by: f32| {
                let mut values = at;
                values[i] += by;
                loss(&values).0
            };
            let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            assert!((slope - f64::from(gradient[i])).abs() < 1e-4, "{i}: {slope} against {}", gradient[i]);
        }
    }
}
