//! Error feedback: a weight's rounding error is made up for by the weights of its row that are not yet rounded
//! (GPTQ, Frantar et al. 2022; the update is that of Optimal Brain Surgeon with `H = Xᵀ X`).

use rayon::prelude::*;

use super::product;

/// Share of the mean diagonal added to `H`, so that few samples do not decide too much.
pub const DAMPING: f64 = 0.01;

/// What calibration saw at the inputs of a weight `[rows, inputs]`.
#[derive(Clone, Debug)]
pub struct Statistics {
    pub inputs: usize,
    /// `Xᵀ X`, `[inputs, inputs]`, summed over samples.
    pub second: Vec<f32>,
    /// Sum of x over samples, `[inputs]`.
    pub first: Vec<f32>,
    pub samples: usize,
    /// Runs of the model that gave them: samples of one run resemble each other.
    pub runs: usize,
    /// Runs that will have given them in the end, if their halves are kept apart; else 0.
    pub total: usize,
    /// What the first half of the runs showed.
    pub half: Option<Half>,
    /// Summed over the channels of a depthwise convolution, each of which meets one row only.
    pub shared: bool,
}

/// Sums over some runs, of some inputs.
#[derive(Clone, Debug)]
pub struct Half {
    pub picked: Vec<usize>,
    /// `[picked, picked]`.
    pub second: Vec<f32>,
    /// `[picked]`.
    pub first: Vec<f32>,
    pub samples: usize,
}

/// Inputs whose sums are kept for a half, at most: enough to tell how far correlations can be trusted.
const PICKED: usize = 256;

impl Statistics {
    /// `total` runs will give them, whose halves are kept apart; 0 if they are not to be.
    pub fn new(inputs: usize, total: usize) -> Self {
        Statistics {
            inputs,
            second: vec![0.0; inputs * inputs],
            first: vec![0.0; inputs],
            samples: 0,
            runs: 0,
            total,
            half: None,
            shared: false,
        }
    }

    /// Adds the samples of one run; `x` is `[inputs, samples]`.
    pub fn add(&mut self, x: &[f32], samples: usize) {
        if samples == 0 || x.len() != self.inputs * samples {
            return;
        }
        let square = product::square(x, samples);
        self.second.iter_mut().zip(square).for_each(|(sum, s)| *sum += s);
        for (sum, x) in self.first.iter_mut().zip(x.chunks_exact(samples)) {
            *sum += x.iter().sum::<f32>();
        }
        self.samples += samples;
        self.runs += 1;
        if self.total > 1 && self.runs == self.total / 2 {
            self.half = Some(self.half());
        }
    }

    fn half(&self) -> Half {
        let n = self.inputs;
        let picked: Vec<usize> = (0..n).step_by(n.div_ceil(PICKED).max(1)).collect();
        let second = picked.iter().flat_map(|&i| picked.iter().map(move |&j| self.second[i * n + j])).collect();
        let first = picked.iter().map(|&i| self.first[i]).collect();
        Half { picked, second, first, samples: self.samples }
    }

    /// How much each input matters: its mean square relative to the average one, with a floor for silent inputs.
    pub fn importance(&self) -> Vec<f32> {
        const FLOOR: f32 = 0.01;
        let diagonal: Vec<f32> = self.second.iter().step_by(self.inputs + 1).copied().collect();
        let mean = diagonal.iter().sum::<f32>() / self.inputs.max(1) as f32;
        diagonal.iter().map(|d| if mean > 0.0 { d.max(0.0) / mean + FLOOR } else { 1.0 }).collect()
    }

    /// Mean of the diagonal of `Xᵀ X`.
    pub fn strength(&self) -> f32 {
        self.second.iter().step_by(self.inputs + 1).sum::<f32>() / self.inputs.max(1) as f32
    }

    /// `‖rows · X‖²`, all together; rows are `[inputs]`.
    pub fn energy(&self, rows: &[f32]) -> f64 {
        let through = product::by_rows(rows, &self.second, self.inputs);
        through.iter().zip(rows).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>().max(0.0)
    }

    /// Statistics of `matrix · x`, whose rows are `[inputs]`.
    pub fn through(&self, matrix: &[f32]) -> Statistics {
        let through = product::by_rows(matrix, &self.second, self.inputs);
        let second = product::by_rows(&through, matrix, self.inputs);
        let first = product::by_rows(matrix, &self.first, self.inputs);
        Statistics { inputs: first.len(), second, first, half: None, shared: false, ..*self }
    }

    /// Statistics of `x − mean(x)`.
    pub fn centred(&self) -> Statistics {
        let (mut second, mean) = (self.second.clone(), self.mean());
        second.par_chunks_mut(self.inputs.max(1)).zip(self.first.par_iter()).for_each(|(row, first)| {
            row.iter_mut().zip(&mean).for_each(|(s, m)| *s -= first * m);
        });
        Statistics { second, first: vec![0.0; self.inputs], half: None, ..*self }
    }

    /// Mean of each input.
    pub fn mean(&self) -> Vec<f32> {
        self.first.iter().map(|sum| sum / self.samples.max(1) as f32).collect()
    }
}

/// The upper Cholesky factor of `(H + damping)⁻¹`, ready to spread errors.
pub struct Feedback {
    inputs: usize,
    /// Inputs in the order of rounding.
    order: Vec<usize>,
    /// `[inputs, inputs]`, both in that order.
    factor: Vec<f32>,
}

/// What is rounded first has the most others to make up for it.
fn strongest_first(statistics: &Statistics) -> Vec<usize> {
    let strength = |i: usize| statistics.second[i * (statistics.inputs + 1)];
    let mut order: Vec<usize> = (0..statistics.inputs).collect();
    order.sort_by(|&a, &b| strength(b).total_cmp(&strength(a)));
    order
}

impl Feedback {
    /// `None` where `H` is not positive definite even so (no samples, or values that are not finite).
    pub fn new(statistics: &Statistics) -> Option<Self> {
        Self::in_order(statistics, strongest_first(statistics))
    }

    /// For weights that go: the weakest are the first, and the strongest can make up for all.
    pub fn weakest_first(statistics: &Statistics) -> Option<Self> {
        let mut order = strongest_first(statistics);
        order.reverse();
        Self::in_order(statistics, order)
    }

    fn in_order(statistics: &Statistics, order: Vec<usize>) -> Option<Self> {
        let n = statistics.inputs;
        let mut h: Vec<f64> = Vec::with_capacity(n * n);
        for &i in &order {
            h.extend(order.iter().map(|&j| f64::from(statistics.second[i * n + j])));
        }
        let mean = h.iter().step_by(n + 1).sum::<f64>() / n.max(1) as f64;
        for d in h.iter_mut().step_by(n + 1) {
            *d += DAMPING * mean;
        }
        // H = R Rᵀ with R upper triangular; then H⁻¹ = R⁻ᵀ R⁻¹, whose upper factor is R⁻¹.
        for j in (0..n).rev() {
            let (above, from_j) = h.split_at_mut(j * n);
            let row_j = &mut from_j[..n];
            let square = row_j[j] - product::dot(&row_j[j + 1..], &row_j[j + 1..]);
            if square.is_nan() || square <= 0.0 {
                return None;
            }
            let pivot = square.sqrt();
            row_j[j] = pivot;
            let tail = &row_j[j + 1..];
            above.par_chunks_mut(n).for_each(|row| {
                row[j] = (row[j] - product::dot(&row[j + 1..], tail)) / pivot;
            });
        }
        let mut factor = vec![0f32; n * n];
        factor.par_chunks_mut(n.max(1)).enumerate().for_each(|(i, out)| {
            let mut row = vec![0f64; n];
            row[i] = 1.0;
            for k in i..n {
                row[k] /= h[k * n + k];
                let pivot = row[k];
                for (r, h) in row[k + 1..].iter_mut().zip(&h[k * n + k + 1..(k + 1) * n]) {
                    *r -= pivot * h;
                }
            }
            for (o, r) in out.iter_mut().zip(row) {
                *o = r as f32;
            }
        });
        Some(Feedback { inputs: n, order, factor })
    }

    /// The inputs in the order of rounding.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// `rows · (H + damping)⁻¹`; rows are `[inputs]`.
    pub fn solve(&self, rows: &[f32]) -> Vec<f32> {
        let n = self.inputs;
        let ordered: Vec<f32> =
            rows.chunks_exact(n.max(1)).flat_map(|row| self.order.iter().map(move |&i| row[i])).collect();
        let mut across = vec![0f32; n * n];
        for (i, row) in self.factor.chunks_exact(n.max(1)).enumerate() {
            row.iter().enumerate().for_each(|(j, f)| across[j * n + i] = *f);
        }
        // (H + damping)⁻¹ = Fᵀ F.
        let solved = product::by_rows(&product::by_rows(&ordered, &self.factor, n), &across, n);
        let mut found = vec![0f32; rows.len()];
        for (out, row) in found.chunks_exact_mut(n.max(1)).zip(solved.chunks_exact(n.max(1))) {
            self.order.iter().zip(row).for_each(|(&i, v)| out[i] = *v);
        }
        found
    }

    /// The diagonal of `(H + damping)⁻¹`, `[inputs]`.
    pub fn inverse_diagonal(&self) -> Vec<f32> {
        let mut found = vec![0f32; self.inputs];
        for row in self.factor.chunks_exact(self.inputs.max(1)) {
            self.order.iter().zip(row).for_each(|(&input, f)| found[input] += f * f);
        }
        found
    }

    /// Spreads the error of the `j`th input in order over those after it. `row`: the row's weights in that order.
    pub fn spread(&self, row: &mut [f32], j: usize, rounded: f32) {
        let factor = &self.factor[j * self.inputs..(j + 1) * self.inputs];
        let error = (row[j] - rounded) / factor[j];
        for (w, f) in row[j + 1..].iter_mut().zip(&factor[j + 1..]) {
            *w -= error * f;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Correlated inputs: rounding with feedback must give a smaller output error than plain rounding.
    #[test]
    fn output_error_shrinks() {
        let (inputs, samples) = (16, 200);
        let mut state = 3u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        let common: Vec<f32> = (0..samples).map(|_| next()).collect();
        let x: Vec<f32> =
            (0..inputs).flat_map(|_| common.iter().map(|c| c + 0.3 * next()).collect::<Vec<_>>()).collect();
        let mut statistics = Statistics::new(inputs, 1);
        statistics.add(&x, samples);
        let feedback = Feedback::new(&statistics).unwrap();

        let error = |change: &[f32]| {
            let output = |s: usize| change.iter().enumerate().map(|(i, c)| c * x[i * samples + s]).sum::<f32>();
            (0..samples).map(|s| output(s).powi(2)).sum::<f32>()
        };
        // Many rows: on a single one, plain rounding may be lucky.
        let (mut plain, mut fed) = (0.0, 0.0);
        for _ in 0..64 {
            let weights: Vec<f32> = (0..inputs).map(|_| 4.0 * next()).collect();
            plain += error(&weights.iter().map(|w| w.round() - w).collect::<Vec<_>>());
            let mut row: Vec<f32> = feedback.order().iter().map(|&i| weights[i]).collect();
            let mut change = vec![0.0; inputs];
            for (j, &input) in feedback.order().iter().enumerate() {
                let rounded = row[j].round();
                feedback.spread(&mut row, j, rounded);
                change[input] = rounded - weights[input];
            }
            fed += error(&change);
        }
        assert!(fed < 0.5 * plain, "{fed} against {plain}");
    }

    #[test]
    fn without_samples_there_is_no_feedback() {
        assert!(Feedback::new(&Statistics::new(4, 1)).is_none());
    }
}
