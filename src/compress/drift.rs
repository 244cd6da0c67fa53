//! What the layers before left wrong, and the weights that take it back: with inputs `X̂` of the model encoded so far and
//! `E` what the layer's output lacks there, `W + E X̂ᵀ (X̂ X̂ᵀ)⁻¹` is what is rounded (after GPTAQ, Li et al. 2025, and
//! Qronos, Zhang et al. 2025).

use super::feedback::Feedback;
use super::product;

/// How `E` goes with the inputs.
pub struct Drift {
    rows: usize,
    /// `E X̂ᵀ`, `[rows, inputs]`, summed over samples.
    cross: Vec<f32>,
    /// Sum of E, `[rows]`.
    first: Vec<f32>,
    samples: usize,
}

impl Drift {
    pub fn new(rows: usize, inputs: usize) -> Self {
        Drift { rows, cross: vec![0.0; rows * inputs], first: vec![0.0; rows], samples: 0 }
    }

    /// Adds a run; `lack` is `[rows, samples]`, `x` `[inputs, samples]`.
    pub fn add(&mut self, lack: &[f32], x: &[f32], samples: usize) {
        if lack.len() != self.rows * samples || samples == 0 {
            return;
        }
        let cross = product::by_rows(lack, x, samples);
        self.cross.iter_mut().zip(cross).for_each(|(sum, c)| *sum += c);
        self.first.iter_mut().zip(lack.chunks_exact(samples)).for_each(|(sum, row)| *sum += row.iter().sum::<f32>());
        self.samples += samples;
    }

    pub fn mean(&self) -> Vec<f32> {
        self.first.iter().map(|sum| sum / self.samples.max(1) as f32).collect()
    }

    /// `[rows, inputs]` to add to the weight. `mean`: of the inputs, if a bias takes the mean of E back.
    pub fn correction(&self, feedback: &Feedback, mean: Option<&[f32]>, share: f32) -> Vec<f32> {
        let inputs = self.cross.len() / self.rows.max(1);
        let mut cross = self.cross.clone();
        if let Some(mean) = mean {
            for (row, first) in cross.chunks_exact_mut(inputs.max(1)).zip(&self.first) {
                row.iter_mut().zip(mean).for_each(|(c, m)| *c -= first * m);
            }
        }
        let mut correction = feedback.solve(&cross);
        correction.iter_mut().for_each(|c| *c *= share);
        correction
    }

    pub fn is_empty(&self) -> bool {
        self.samples == 0
    }
}
