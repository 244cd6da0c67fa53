//! Few samples show correlations that are not there, and feedback would lean on them: a covariance estimated from them
//! is shrunk to its diagonal, by the share that suits their number (oracle approximating shrinkage, Chen et al. 2010,
//! of the correlations; the target of Schäfer & Strimmer 2005, D).

use rayon::prelude::*;

use super::feedback::Statistics;

/// Samples of one run that count as independent: neighbours in an image or a sentence do not.
const PER_RUN: usize = 16;

/// Replaces the covariance within `second` by its shrunk form. Its diagonal and the means stay.
pub fn shrink(statistics: &mut Statistics) {
    let inputs = statistics.inputs;
    let independent = statistics.samples.min(PER_RUN * statistics.runs);
    if inputs < 2 || independent < 2 {
        return;
    }
    let (mean, samples) = (statistics.mean(), statistics.samples as f32);
    let second = &statistics.second;
    let covariance = |i: usize, j: usize| second[i * inputs + j] - samples * mean[i] * mean[j];
    let variance: Vec<f32> = (0..inputs).map(|i| covariance(i, i)).collect();
    let square = |i: usize| -> f64 {
        let varies = |j: usize| variance[i] > 0.0 && variance[j] > 0.0;
        let one = |j: usize| f64::from(covariance(i, j)).powi(2) / (f64::from(variance[i]) * f64::from(variance[j]));
        (0..inputs).filter(|&j| j != i && varies(j)).map(one).sum()
    };
    // Collected in order: the sum must not depend on the threads.
    let squares: Vec<f64> = (0..inputs).into_par_iter().map(square).collect();
    let kept = 1.0 - share(inputs as f64, independent as f64, squares.iter().sum());
    statistics.second.par_chunks_mut(inputs).enumerate().for_each(|(i, row)| {
        for (j, value) in row.iter_mut().enumerate().filter(|(j, _)| *j != i) {
            let product = samples * mean[i] * mean[j];
            *value = product + kept as f32 * (*value - product);
        }
    });
}

/// The share of the diagonal in the estimate, from `off`, the sum of squared correlations beside it.
fn share(inputs: f64, samples: f64, off: f64) -> f64 {
    let trace = inputs + off;
    let (above, below) =
        ((1.0 - 2.0 / inputs) * trace + inputs * inputs, (samples + 1.0 - 2.0 / inputs) * (trace - inputs));
    if above < below { above / below } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in −½..½ without correlation, the same on every run.
    fn noise(count: usize) -> Vec<f32> {
        let mut state = 5u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..count).map(|_| next()).collect()
    }

    fn of(inputs: usize, runs: usize, x: impl Fn(usize, usize) -> f32) -> Statistics {
        let mut statistics = Statistics::new(inputs);
        for run in 0..runs {
            let x: Vec<f32> = (0..inputs).map(|i| x(i, run)).collect();
            statistics.add(&x, 1);
        }
        statistics
    }

    #[test]
    fn chance_is_taken_away_and_the_diagonal_stays() {
        let values = noise(40 * 10);
        let before = of(40, 10, |i, run| values[i * 10 + run]);
        let mut after = before.clone();
        shrink(&mut after);
        let mean = before.mean();
        for i in 0..40 {
            for j in 0..40 {
                let (old, new) = (before.second[i * 40 + j], after.second[i * 40 + j]);
                let expected = if i == j { old } else { 10.0 * mean[i] * mean[j] };
                assert!((new - expected).abs() <= 0.2 * (old - expected).abs() + 1e-5, "{i} {j}: {old} {new}");
            }
        }
    }

    #[test]
    fn what_many_samples_show_is_kept() {
        let values = noise(9 * 2000);
        let before = of(8, 2000, |i, run| values[run] + 0.5 * values[(i + 1) * 2000 + run]);
        let mut after = before.clone();
        shrink(&mut after);
        let off = |s: &Statistics| s.second[1];
        assert!((off(&after) / off(&before) - 1.0).abs() < 0.01, "{} {}", off(&before), off(&after));
    }
}
