//! What an error in one layer does to the output of the model, found by making one.

use std::collections::HashMap;

use super::bias;
use super::calibrate::{Inputs, Sample, of_tokens};
use super::encode::{encode, fitting};
use super::feedback::Statistics;
use super::front::Front;
use super::report::{output_error, weight_error};
use super::spec::{Factors, Spec};
use super::targets::{Target, dense};
use crate::Result;
use crate::graph::{Dim, Model};
use crate::runtime::Device;

/// Samples that are run with each layer's error; a window of text has many positions.
const SAMPLES: usize = 4;
const WINDOWS: usize = 1;
/// The error that is made.
const CRUDE: Spec = Spec::Palette { bits: 3, rows: None, dim: 1, factors: Factors::PerRow };

/// For each target: error of the model's outputs (`Measure`) per squared error of the layer's output (of its weights,
/// where it has no statistics). Without samples, per relative squared error of the weights.
/// `progress` is called after each target.
pub fn effects(
    model: &Model,
    targets: &[&Target],
    statistics: &HashMap<Inputs, Statistics>,
    samples: &[Sample],
    device: &Device,
    mut progress: impl FnMut(),
) -> Result<Vec<f64>> {
    let most = if of_tokens(model) { WINDOWS } else { SAMPLES };
    let some: Vec<Sample> = samples.iter().step_by(samples.len().div_ceil(most).max(1)).cloned().collect();
    let mut front = Front::new(model, &some, device);
    let exact = if some.is_empty() { Vec::new() } else { front.outputs(model)? };
    let mut order: Vec<(usize, usize)> = targets.iter().map(|t| t.first(&model.graph)).zip(0..).collect();
    order.sort();
    let measure = Measure::of(model);
    let mut effects = vec![0.0; targets.len()];
    for (at, i) in order {
        front.advance(at)?;
        effects[i] = one(model, targets[i], statistics, &front, &exact, measure)?;
        progress();
    }
    Ok(effects)
}

/// The effect of a target that is not before the front, whose outputs are `exact` without an error.
fn one(
    model: &Model,
    target: &Target,
    statistics: &HashMap<Inputs, Statistics>,
    front: &Front,
    exact: &[Vec<f32>],
    measure: Measure,
) -> Result<f64> {
    let dense = &*dense(&model.graph, target)?;
    if exact.is_empty() {
        let norm: f64 = dense.slice::<f32>()?.iter().map(|&v| f64::from(v).powi(2)).sum();
        return Ok(1.0 / norm.max(f64::MIN_POSITIVE));
    }
    let crude = encode(dense, &CRUDE, None)?;
    let statistics = target.inputs.and_then(|inputs| statistics.get(&inputs));
    let statistics = fitting(dense, statistics);
    let layer = match statistics {
        Some(s) => output_error(dense, &crude, s)?.0,
        None => weight_error(dense, &crude)?.0,
    };
    let mut changed = model.clone();
    // The mean error will be taken back, so it must not count here.
    if let Some(s) = statistics {
        bias::correct(&mut changed.graph, target, &crude, s)?;
    }
    changed.graph.weights.insert(target.weight, crude);
    let whole = measure.error(exact, &front.outputs(&changed)?);
    Ok(if layer > 0.0 { whole / layer } else { 0.0 })
}

/// How wrong outputs are.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Measure {
    /// Mean over tensors of `‖a − b‖² / ‖a‖²`.
    Relative,
    /// For logits of so many words: mean over tokens of the Kullback–Leibler divergence of what they say comes next, by
    /// which the logarithm of the perplexity grows. Most of what logits share says nothing.
    Divergence(usize),
}

impl Measure {
    fn of(model: &Model) -> Self {
        // Encoders of texts read tokens too, and give states.
        let first = model.graph.outputs.first().map(|&id| model.graph.value(id));
        let logits = first.filter(|value| value.name == "logits" && of_tokens(model));
        match logits.and_then(|value| value.dims.as_ref()?.last()) {
            Some(&Dim::Known(words)) if words > 0 => Measure::Divergence(words),
            _ => Measure::Relative,
        }
    }

    fn error(self, exact: &[Vec<f32>], changed: &[Vec<f32>]) -> f64 {
        let pairs = exact.iter().zip(changed);
        match self {
            Measure::Relative => pairs.map(|(a, b)| relative(a, b)).sum::<f64>() / exact.len().max(1) as f64,
            Measure::Divergence(words) => {
                let rows = pairs.flat_map(|(a, b)| a.chunks_exact(words).zip(b.chunks_exact(words)));
                let count = exact.iter().map(|a| a.len() / words).sum::<usize>();
                rows.map(|(a, b)| divergence(a, b)).sum::<f64>() / count.max(1) as f64
            }
        }
    }
}

fn relative(exact: &[f32], changed: &[f32]) -> f64 {
    let error: f64 = exact.iter().zip(changed).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    let norm: f64 = exact.iter().map(|&a| f64::from(a).powi(2)).sum();
    if norm > 0.0 { error / norm } else { 0.0 }
}

/// `Σ p · ln(p / q)` of the softmax of both.
fn divergence(exact: &[f32], changed: &[f32]) -> f64 {
    let sum = |logits: &[f32]| {
        let top = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        top + logits.iter().map(|&v| (f64::from(v) - top).exp()).sum::<f64>().ln()
    };
    let (p_sum, q_sum) = (sum(exact), sum(changed));
    let term = |(&p, &q): (&f32, &f32)| {
        let (p, q) = (f64::from(p) - p_sum, f64::from(q) - q_sum);
        p.exp() * (p - q)
    };
    exact.iter().zip(changed).map(term).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_logits_share_says_nothing() {
        let exact = vec![vec![1.0, 2.0, 0.0, 5.0, 5.0, 5.0]];
        let moved: Vec<Vec<f32>> = vec![exact[0].iter().map(|v| v + 3.0).collect()];
        let measure = Measure::Divergence(3);
        assert!(measure.error(&exact, &moved).abs() < 1e-12);
        assert!(Measure::Relative.error(&exact, &moved) > 0.1);
        // The second row: thirds against a half and two quarters. The first is as it was.
        let other = vec![vec![1.0, 2.0, 0.0, 2f32.ln(), 0.0, 0.0]];
        let expected = (2.0 * (4f64 / 3.0).ln() + (2f64 / 3.0).ln()) / 3.0 / 2.0;
        assert!((measure.error(&exact, &other) - expected).abs() < 1e-7);
    }
}
