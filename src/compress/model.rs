//! A whole model: fold, calibrate, choose, encode, report.

use std::collections::HashMap;

use super::auto;
use super::calibrate::{self, Inputs, Sample};
use super::effect;
use super::encode::encode;
use super::feedback::Statistics;
use super::report::TensorReport;
use super::rules::Rules;
use super::sequence::{self, Job, of_weight};
use super::spec::Spec;
use super::targets::{self, Target, dense};
use super::{fold, low_rank};
use crate::graph::{Model, Weight};
use crate::runtime::Device;
use crate::{Error, Result};

/// Bits that a weight of a language model may have below the mean. Costs are those of one weight's error; where a few
/// activations are a thousand times larger than all others, as in such models, large errors of many do not add up so.
const SPAN_OF_TEXT: f64 = 1.0;

/// What the caller hears while it takes its time.
pub enum Progress {
    /// One of the calibration samples was run.
    Calibrated,
    /// One of so many weights was measured, for mixed precision.
    Measured(usize),
    /// One of so many weights was encoded.
    Encoded(usize),
}

/// Encodes the weights that the rules name: of Conv, ConvTranspose, Gemm, MatMul and `fewbit.Linear`. With
/// `samples` rounding errors are fed back, and each layer takes back what those before
/// it left wrong. Reports come in the order of the graph.
pub fn compress(
    model: &mut Model,
    rules: &Rules,
    samples: &[Sample],
    device: &Device,
    progress: impl Fn(Progress),
) -> Result<Vec<TensorReport>> {
    calibrate::check(model, samples)?;
    fold::fold_batch_norms(&mut model.graph)?;
    let targets = targets::find(&mut model.graph, |name| rules.find(name).is_some())?;
    if targets.is_empty() {
        return Err(Error::Usage("no weight of the model matches; `fewbit inspect` lists their names".into()));
    }
    let ahead = |target: &Target| matches!(rules.find(&target.name), Some(Spec::Auto { .. } | Spec::LowRank { .. }));
    let mut statistics = match samples {
        [_, ..] if targets.iter().any(ahead) => {
            calibrate::statistics(model, &targets, samples, device, || progress(Progress::Calibrated))?
        }
        _ => HashMap::new(),
    };
    let jobs: Vec<Job> = targets
        .into_iter()
        .map(|target| Job { spec: rules.find(&target.name).cloned().unwrap_or(Spec::F32), target })
        .collect();
    let jobs = resolve_auto(model, jobs, &statistics, samples, device, &progress)?;
    let jobs = split_low_rank(model, jobs, &mut statistics)?;

    if !samples.is_empty() {
        drop(statistics);
        return sequence::encode_all(model, &jobs, samples, device, || progress(Progress::Encoded(jobs.len())));
    }
    // The largest first, and each dense weight dropped when done: the memory needed shrinks from there.
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(model.graph.weights.get(&jobs[i].target.weight).map_or(0, Weight::bytes)));
    let mut reports: Vec<Option<TensorReport>> = vec![None; jobs.len()];
    for i in order {
        reports[i] = Some(run(model, &jobs[i])?);
        progress(Progress::Encoded(jobs.len()));
    }
    Ok(reports.into_iter().flatten().collect())
}

fn run(model: &mut Model, job: &Job) -> Result<TensorReport> {
    let Job { target, spec } = job;
    let dense = &*dense(&model.graph, target)?;
    let weight = encode(dense, spec, None).map_err(|e| of_weight(&target.name, e))?;
    let report = TensorReport::new(target.name.clone(), spec.to_string(), dense, &weight, None)?;
    model.graph.weights.insert(target.weight, weight);
    Ok(report)
}

/// Gives the weights under `auto:BITS` an encoding each; those under the same BITS share a budget.
fn resolve_auto(
    model: &Model,
    mut jobs: Vec<Job>,
    statistics: &HashMap<Inputs, Statistics>,
    samples: &[Sample],
    device: &Device,
    progress: &impl Fn(Progress),
) -> Result<Vec<Job>> {
    let auto: Vec<usize> = (0..jobs.len()).filter(|&i| matches!(jobs[i].spec, Spec::Auto { .. })).collect();
    if auto.is_empty() {
        return Ok(jobs);
    }
    let steps = 2 * auto.len();
    let targets: Vec<&Target> = auto.iter().map(|&i| &jobs[i].target).collect();
    let effects =
        effect::effects(model, &targets, statistics, samples, device, || progress(Progress::Measured(steps)))?;
    let mut budgets: Vec<(Spec, Vec<usize>)> = Vec::new();
    let mut candidates = Vec::new();
    for (at, (&i, effect)) in auto.iter().zip(effects).enumerate() {
        let Job { target, spec } = &jobs[i];
        let seen = target.inputs.and_then(|inputs| statistics.get(&inputs));
        candidates.push(
            auto::candidates(&*dense(&model.graph, target)?, seen, effect).map_err(|e| of_weight(&target.name, e))?,
        );
        match budgets.iter_mut().find(|(known, _)| known == spec) {
            Some((_, members)) => members.push(at),
            None => budgets.push((spec.clone(), vec![at])),
        }
        progress(Progress::Measured(steps));
    }
    for (spec, members) in budgets {
        let Spec::Auto { bits } = spec else { continue };
        let size = |&at: &usize| {
            let weight = model.graph.weights.get(&jobs[auto[at]].target.weight);
            weight.map_or(0, |w| w.ty().shape.iter().product::<usize>())
        };
        let weights: usize = members.iter().map(size).sum();
        let least = if calibrate::of_tokens(model) { bits - SPAN_OF_TEXT } else { 0.0 };
        let theirs: Vec<_> =
            members.iter().map(|at| auto::at_least(least * size(at) as f64, &candidates[*at])).collect();
        let chosen = auto::choose(&theirs, bits * weights as f64).map_err(|e| of_weight(&spec.to_string(), e))?;
        members.iter().zip(chosen).for_each(|(&at, spec)| jobs[auto[at]].spec = spec);
    }
    Ok(jobs)
}

/// Two jobs for each weight that becomes two; one that does not gets the encoding of the factors.
fn split_low_rank(model: &mut Model, jobs: Vec<Job>, statistics: &mut HashMap<Inputs, Statistics>) -> Result<Vec<Job>> {
    let mut done = Vec::with_capacity(jobs.len());
    for Job { target, spec } in jobs {
        let Spec::LowRank { rank, factors } = spec else {
            done.push(Job { target, spec });
            continue;
        };
        match low_rank::split(&mut model.graph, &target, rank, statistics)? {
            Some(two) => done.extend(two.map(|target| Job { target, spec: (*factors).clone() })),
            None => done.push(Job { target, spec: *factors }),
        }
    }
    Ok(done)
}
