//! Few samples show correlations that are not there, and feedback would lean on them: a covariance estimated from them
//! is shrunk to its diagonal (the target of Schäfer & Strimmer 2005, D). How far, the runs tell where their halves were
//! kept apart: what one half shows and the other does not is chance. Neighbours in an image and crops of one photo
//! resemble each other, so that a count of samples says little; runs that resemble each other should follow each other.
//! Elsewhere it is the share that suits the number of samples (oracle approximating shrinkage, Chen et al. 2010, of the
//! correlations).

use rayon::prelude::*;

use super::feedback::{Half, Statistics};

/// Replaces the covariance within `second` by its shrunk form. Its diagonal and the means stay. `per_run`: how many samples of
/// a run count as independent.
pub fn shrink(statistics: &mut Statistics, per_run: usize) {
    let (inputs, mean, samples) = (statistics.inputs, statistics.mean(), statistics.samples as f32);
    let independent = statistics.samples.min(per_run.saturating_mul(statistics.runs));
    if inputs < 2 || independent < 2 {
        return;
    }
    let kept = match statistics.half.take() {
        Some(half) => agreed(statistics, &half),
        None => 1.0 - share(inputs as f64, independent as f64, squares(statistics)),
    };
    statistics.second.par_chunks_mut(inputs).enumerate().for_each(|(i, row)| {
        for (j, value) in row.iter_mut().enumerate().filter(|(j, _)| *j != i) {
            let product = samples * mean[i] * mean[j];
            *value = product + kept as f32 * (*value - product);
        }
    });
}

/// Sum of the squared correlations of different inputs.
fn squares(statistics: &Statistics) -> f64 {
    let (inputs, mean, samples) = (statistics.inputs, statistics.mean(), statistics.samples as f32);
    let covariance = |i: usize, j: usize| statistics.second[i * inputs + j] - samples * mean[i] * mean[j];
    let variance: Vec<f32> = (0..inputs).map(|i| covariance(i, i)).collect();
    let square = |i: usize| -> f64 {
        let varies = |j: usize| variance[i] > 0.0 && variance[j] > 0.0;
        let one = |j: usize| f64::from(covariance(i, j)).powi(2) / (f64::from(variance[i]) * f64::from(variance[j]));
        (0..inputs).filter(|&j| j != i && varies(j)).map(one).sum()
    };
    // Collected in order: the sum must not depend on the threads.
    let squares: Vec<f64> = (0..inputs).into_par_iter().map(square).collect();
    squares.iter().sum()
}

/// The share of the diagonal in the estimate, from `off`, the sum of squared correlations beside it.
fn share(inputs: f64, samples: f64, off: f64) -> f64 {
    let trace = inputs + off;
    let (above, below) =
        ((1.0 - 2.0 / inputs) * trace + inputs * inputs, (samples + 1.0 - 2.0 / inputs) * (trace - inputs));
    if above < below { above / below } else { 1.0 }
}

/// The share of the correlations that is no chance: `2r / (1 + r)` of all runs, where r is how those of two halves go
/// together (Spearman 1910; Brown 1910).
fn agreed(statistics: &Statistics, half: &Half) -> f64 {
    let (n, count) = (statistics.inputs, half.picked.len());
    let (before, after) = (half.samples.max(1) as f64, (statistics.samples - half.samples).max(1) as f64);
    // Covariances of both halves, of the ith and the jth picked input.
    let covariances = |i: usize, j: usize| -> [f64; 2] {
        let (a, b) = (half.picked[i], half.picked[j]);
        let first = |i: usize, a: usize| {
            let early = f64::from(half.first[i]);
            (early, f64::from(statistics.first[a]) - early)
        };
        let early = f64::from(half.second[i * count + j]);
        let late = f64::from(statistics.second[a * n + b]) - early;
        let ((early_a, late_a), (early_b, late_b)) = (first(i, a), first(j, b));
        [early - early_a * early_b / before, late - late_a * late_b / after]
    };
    let variances: Vec<[f64; 2]> = (0..count).map(|i| covariances(i, i)).collect();
    let (mut together, mut own) = (0.0, [0.0; 2]);
    for i in 0..count {
        for j in 0..i {
            let covariances = covariances(i, j);
            let [early, late] = std::array::from_fn(|half| {
                let norm = (variances[i][half] * variances[j][half]).sqrt();
                if norm > 0.0 { covariances[half] / norm } else { 0.0 }
            });
            together += early * late;
            own[0] += early * early;
            own[1] += late * late;
        }
    }
    let norm = (own[0] * own[1]).sqrt();
    let r = if norm > 0.0 { (together / norm).clamp(0.0, 1.0) } else { 0.0 };
    2.0 * r / (1.0 + r)
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

    fn of(inputs: usize, runs: usize, halves: bool, x: impl Fn(usize, usize) -> f32) -> Statistics {
        let mut statistics = Statistics::new(inputs, if halves { runs } else { 0 });
        for run in 0..runs {
            let x: Vec<f32> = (0..inputs).map(|i| x(i, run)).collect();
            statistics.add(&x, 1);
        }
        statistics
    }

    #[test]
    fn chance_is_taken_away_and_the_diagonal_stays() {
        let values = noise(40 * 10);
        for halves in [false, true] {
            let before = of(40, 10, halves, |i, run| values[i * 10 + run]);
            let mut after = before.clone();
            shrink(&mut after, 16);
            let mean = before.mean();
            for (i, j) in (0..40).flat_map(|i| (0..40).map(move |j| (i, j))) {
                let (old, new) = (before.second[i * 40 + j], after.second[i * 40 + j]);
                let expected = if i == j { old } else { 10.0 * mean[i] * mean[j] };
                let at = format!("{halves} {i} {j}: {old} {new}");
                assert!((new - expected).abs() <= 0.2 * (old - expected).abs() + 1e-5, "{at}");
            }
        }
    }

    #[test]
    fn what_many_samples_show_is_kept() {
        let values = noise(9 * 2000);
        for halves in [false, true] {
            let before = of(8, 2000, halves, |i, run| values[run] + 0.5 * values[(i + 1) * 2000 + run]);
            let mut after = before.clone();
            shrink(&mut after, 16);
            let off = |s: &Statistics| s.second[1];
            assert!((off(&after) / off(&before) - 1.0).abs() < 0.01, "{} {}", off(&before), off(&after));
        }
    }

    /// Samples that are copies of a few runs tell no more than these.
    #[test]
    fn copies_of_a_few_runs_are_no_evidence() {
        let values = noise(40 * 4);
        let before = of(40, 400, true, |i, run| values[i * 4 + run / 100]);
        let mut after = before.clone();
        shrink(&mut after, 16);
        let off = |s: &Statistics| -> f32 {
            let mean = s.mean();
            let pairs = (0..40).flat_map(|i| (0..i).map(move |j| (i, j)));
            pairs.map(|(i, j)| (s.second[i * 40 + j] - 400.0 * mean[i] * mean[j]).powi(2)).sum()
        };
        assert!(off(&after) < 0.1 * off(&before), "{} {}", off(&after), off(&before));
    }
}
