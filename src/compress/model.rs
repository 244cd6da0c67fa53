//! A whole model: fold, choose, calibrate, encode, report.

use rayon::prelude::*;
use serde::Serialize;

use super::encode::encode;
use super::feedback::Statistics;
use super::rules::Rules;
use super::spec::Spec;
use super::targets::{self, Target};
use super::{calibrate, fold};
use crate::graph::{Graph, Model, Weight};
use crate::runtime::Device;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// What became of one weight.
#[derive(Clone, Debug, Serialize)]
pub struct TensorReport {
    pub name: String,
    pub encoding: String,
    pub bits_per_weight: f64,
    /// `‖W − Ŵ‖ / ‖W‖`.
    pub error: f64,
}

/// What the caller hears while it takes its time.
pub enum Progress {
    /// One of so many calibration samples was run.
    Calibrated,
    /// One of so many weights was encoded.
    Encoded(usize),
}

/// Encodes the weights that the rules name: of Conv, ConvTranspose, Gemm, MatMul and `fewbit.Linear`. `samples` are
/// values of the model's only input; with them, rounding errors are fed back and biases corrected.
pub fn compress(
    model: &mut Model,
    rules: &Rules,
    samples: &[Tensor],
    device: &Device,
    progress: impl Fn(Progress) + Sync,
) -> Result<Vec<TensorReport>> {
    fold::fold_batch_norms(&mut model.graph)?;
    let targets = targets::find(&mut model.graph, |name| rules.find(name).is_some())?;
    if targets.is_empty() {
        return Err(Error::Usage("no weight of the model matches; `fewbit inspect` lists their names".into()));
    }
    let statistics = match samples {
        [] => Default::default(),
        _ => calibrate::statistics(model, &targets, samples, device, || progress(Progress::Calibrated))?,
    };
    let graph = &model.graph;
    let seen = |target: &Target| target.calibration.and_then(|(id, _)| statistics.get(&id));
    let encoded: Vec<Result<(Weight, TensorReport)>> = targets
        .par_iter()
        .map(|target| {
            let done = encode_target(graph, target, rules, seen(target));
            progress(Progress::Encoded(targets.len()));
            done
        })
        .collect();
    let mut reports = Vec::with_capacity(targets.len());
    for (target, done) in targets.iter().zip(encoded) {
        let (weight, report) = done?;
        if let Some(statistics) = seen(target) {
            correct_bias(&mut model.graph, target, &weight, statistics)?;
        }
        model.graph.weights.insert(target.weight, weight);
        reports.push(report);
    }
    Ok(reports)
}

fn encode_target(
    graph: &Graph,
    target: &Target,
    rules: &Rules,
    statistics: Option<&Statistics>,
) -> Result<(Weight, TensorReport)> {
    let name = target.name.clone();
    let spec = rules.find(&name).unwrap_or(&Spec::F32);
    let dense = graph.weights.get(&target.weight).and_then(Weight::dense);
    let dense = dense.ok_or_else(|| Error::Usage(format!("`{name}` is already in a few-bit encoding")))?;
    let weight = encode(dense, spec, statistics).map_err(|e| match e {
        Error::Usage(what) => Error::Usage(format!("`{name}`: {what}")),
        other => other,
    })?;
    let decoded = dense_of(&weight)?;
    let square = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>();
    let (a, b) = (dense.slice::<f32>()?, decoded.slice::<f32>()?);
    let error = square(&mut a.iter().zip(b).map(|(a, b)| a - b));
    let norm = square(&mut a.iter().copied());
    let report = TensorReport {
        name,
        encoding: spec.to_string(),
        bits_per_weight: 8.0 * weight.bytes() as f64 / dense.len().max(1) as f64,
        error: if norm > 0.0 { (error / norm).sqrt() } else { 0.0 },
    };
    Ok((weight, report))
}

fn dense_of(weight: &Weight) -> Result<Tensor> {
    match weight {
        Weight::Dense(tensor) => Ok(tensor.clone()),
        Weight::Encoded(encoded) => encoded.to_dense(),
    }
}

/// Takes the mean change of each output out of the bias: `b −= (Ŵ − W) · mean(x)` (Nagel et al. 2019, §4.2). Only where
/// a bias is there and serves this node alone.
fn correct_bias(graph: &mut Graph, target: &Target, weight: &Weight, statistics: &Statistics) -> Result<()> {
    let Some(bias_id) = target.node.and_then(|n| graph.nodes[n].input(2)) else { return Ok(()) };
    let users = graph.nodes.iter().filter(|n| n.inputs.contains(&Some(bias_id))).count();
    let (Some(Weight::Dense(bias)), Some(Weight::Dense(old))) =
        (graph.weights.get(&bias_id), graph.weights.get(&target.weight))
    else {
        return Ok(());
    };
    let rows = old.shape().first().copied().unwrap_or(0);
    let scaled = target.node.is_some_and(|n| graph.nodes[n].attrs.float_or("beta", 1.0) != 1.0);
    if users != 1 || bias.shape() != [rows] || bias.slice::<f32>().is_err() || scaled {
        return Ok(());
    }
    let new = dense_of(weight)?;
    let (old, new, mean) = (old.slice::<f32>()?, new.slice::<f32>()?, statistics.mean());
    if rows == 0 || old.len() != rows * mean.len() {
        return Ok(());
    }
    let mut bias = bias.clone();
    let values = bias.slice_mut::<f32>()?;
    for (row, b) in values.iter_mut().enumerate() {
        let at = row * mean.len();
        *b -= mean.iter().enumerate().map(|(i, m)| (new[at + i] - old[at + i]) * m).sum::<f32>();
    }
    graph.weights.insert(bias_id, Weight::Dense(bias));
    Ok(())
}
