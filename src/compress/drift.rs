//! What the layers before left wrong, and the weights that take it back: with inputs `X̂` of the model encoded so far and
//! `E` what the layer's output lacks there, `W + E X̂ᵀ (X̂ X̂ᵀ)⁻¹` is what is rounded (after GPTAQ, Li et al. 2025, and
//! Qronos, Zhang et al. 2025).

use super::feedback::Feedback;
use super::product;

/// How `E` goes with the inputs.
#[derive(Default)]
pub struct Drift {
    /// `E X̂ᵀ`, `[rows, inputs]`, summed over samples.
    cross: Vec<f32>,
    /// Sum of E, `[rows]`.
    first: Vec<f32>,
    samples: usize,
}

impl Drift {
    /// Adds a run; `lack` is `[rows, samples]`, `x` `[inputs, samples]`.
    pub fn add(&mut self, lack: &[f32], x: &[f32], samples: usize) {
        if samples == 0 {
            return;
        }
        let cross = product::by_rows(lack, x, samples);
        let first = lack.chunks_exact(samples).map(|row| row.iter().sum::<f32>());
        if self.samples == 0 {
            (self.cross, self.first) = (cross, first.collect());
        } else {
            self.cross.iter_mut().zip(cross).for_each(|(sum, c)| *sum += c);
            self.first.iter_mut().zip(first).for_each(|(sum, f)| *sum += f);
        }
        self.samples += samples;
    }

    pub fn mean(&self) -> Vec<f32> {
        self.first.iter().map(|sum| sum / self.samples.max(1) as f32).collect()
    }

    /// `[rows, inputs]` to add to the weight, so that it takes E back. `mean`: of the inputs, if a bias takes back the mean of E.
    pub fn correction(&self, feedback: &Feedback, mean: Option<&[f32]>) -> Vec<f32> {
        let inputs = self.cross.len() / self.first.len().max(1);
        let mut cross = self.cross.clone();
        if let Some(mean) = mean {
            for (row, first) in cross.chunks_exact_mut(inputs.max(1)).zip(&self.first) {
                row.iter_mut().zip(mean).for_each(|(c, m)| *c -= first * m);
            }
        }
        feedback.solve(&cross)
    }

    pub fn is_empty(&self) -> bool {
        self.samples == 0
    }
}

#[cfg(test)]
mod tests {
    use super::super::feedback::Statistics;
    use super::*;

    /// Inputs that lost a part: the corrected weight comes nearer to the old output. What is left does not go with
    /// the inputs.
    #[test]
    fn what_is_left_does_not_go_with_the_inputs() {
        let mut state = 11u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        let (rows, inputs, samples) = (3, 6, 500);
        let x: Vec<f32> = (0..inputs * samples).map(|_| next() + 0.25).collect();
        let seen: Vec<f32> = x.iter().map(|v| 0.7 * v + 0.2 * next()).collect();
        let weight: Vec<f32> = (0..rows * inputs).map(|_| next()).collect();
        let output = |w: &[f32], x: &[f32], r: usize, s: usize| -> f64 {
            (0..inputs).map(|i| f64::from(w[r * inputs + i]) * f64::from(x[i * samples + s])).sum()
        };
        let lacks = |w: &[f32]| -> Vec<f64> {
            let each = (0..rows * samples).map(|i| (i / samples, i % samples));
            each.map(|(r, s)| output(&weight, &x, r, s) - output(w, &seen, r, s)).collect()
        };
        let before = lacks(&weight);
        let mut statistics = Statistics::new(inputs, 1);
        statistics.add(&seen, samples);
        let mut drift = Drift::default();
        drift.add(&before.iter().map(|&v| v as f32).collect::<Vec<_>>(), &seen, samples);
        for centred in [false, true] {
            let mean = statistics.mean();
            let (of, mean) =
                if centred { (statistics.centred(), Some(mean.as_slice())) } else { (statistics.clone(), None) };
            let by = drift.correction(&Feedback::new(&of).unwrap(), mean);
            let corrected: Vec<f32> = weight.iter().zip(by).map(|(w, by)| w + by).collect();
            let mut after = lacks(&corrected);
            if centred {
                for row in after.chunks_mut(samples) {
                    let mean = row.iter().sum::<f64>() / samples as f64;
                    row.iter_mut().for_each(|v| *v -= mean);
                }
            }
            // Damping leaves a little.
            for (row, old) in after.chunks(samples).zip(before.chunks(samples)) {
                for i in 0..inputs {
                    let with = |row: &[f64]| -> f64 {
                        let mean = if centred { f64::from(statistics.mean()[i]) } else { 0.0 };
                        row.iter().enumerate().map(|(s, v)| v * (f64::from(seen[i * samples + s]) - mean)).sum()
                    };
                    let (new, old) = (with(row), with(old));
                    assert!(new.abs() < 0.1 * old.abs() + 0.1, "{centred} {i}: {new} of {old}");
                }
            }
            let energy = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>();
            assert!(energy(&after) < 0.8 * energy(&before), "{} {}", energy(&after), energy(&before));
        }
    }
}
