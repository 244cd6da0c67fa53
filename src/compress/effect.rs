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
use crate::graph::Model;
use crate::runtime::Device;

/// Samples that are run with each layer's error; a window of text has many positions.
const SAMPLES: usize = 4;
const WINDOWS: usize = 1;
/// The error that is made.
const CRUDE: Spec = Spec::Palette { bits: 3, rows: None, dim: 1, factors: Factors::PerRow };

/// For each target: relative squared error of the model's outputs per squared error of the layer's output (of its
/// weights, where it has no statistics). Without samples, per relative squared error of the weights.
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
    let mut effects = vec![0.0; targets.len()];
    for (at, i) in order {
        front.advance(at)?;
        effects[i] = one(model, targets[i], statistics, &front, &exact)?;
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
    let whole = relative(exact, &front.outputs(&changed)?);
    Ok(if layer > 0.0 { whole / layer } else { 0.0 })
}

/// Mean over tensors of `‖a − b‖² / ‖a‖²`.
fn relative(exact: &[Vec<f32>], changed: &[Vec<f32>]) -> f64 {
    let one = |(a, b): (&Vec<f32>, &Vec<f32>)| {
        let error: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let norm: f64 = a.iter().map(|&a| f64::from(a).powi(2)).sum();
        if norm > 0.0 { error / norm } else { 0.0 }
    };
    exact.iter().zip(changed).map(one).sum::<f64>() / exact.len().max(1) as f64
}
