//! Weights encoded one layer after the other, each for the inputs that the layers before it give now.

use std::collections::{BTreeMap, BTreeSet};

use super::anchor::{self, Anchor};
use super::bias;
use super::calibrate::{self, Inputs, Sample};
use super::drift::Drift;
use super::encode::{Guide, encode, fitting};
use super::feedback::{Feedback, Statistics};
use super::report::TensorReport;
use super::shrink::shrink;
use super::spec::Spec;
use super::targets::{Layout, Target, dense};
use super::walk::{Seen, Walk};
use crate::graph::{Graph, Model, ValueId};
use crate::runtime::Device;
use crate::{Error, Result};

/// Samples that are run, evenly spaced: photos, and windows of a text. Each position of a text tells something new: in 3.4
/// bits SmolLM2 has a perplexity of 49.0 after 26 windows, and of 44.4 after 77.
const SAMPLES: usize = 32;
const WINDOWS: usize = 128;

/// Positions for each input of a layer, at least, whose errors are taken back by its weights.
const PER_INPUT: usize = 4;

/// A weight and what is to become of it.
pub struct Job {
    pub target: Target,
    pub spec: Spec,
}

/// A layer whose turn it is.
struct Layer {
    /// Index of its job.
    job: usize,
    anchor: Option<Anchor>,
    bias: Option<ValueId>,
    drift: Drift,
}

/// Layers that see the same inputs.
struct Group {
    /// Index of the first node.
    at: usize,
    inputs: Option<Inputs>,
    layers: Vec<Layer>,
}

/// Encodes every job's weight; reports come in the order of the jobs.
pub fn encode_all(
    model: &mut Model,
    jobs: &[Job],
    samples: &[Sample],
    device: &Device,
    mut done: impl FnMut(),
) -> Result<Vec<TensorReport>> {
    let most = if calibrate::of_tokens(model) { WINDOWS } else { SAMPLES };
    let samples: Vec<Sample> = samples.iter().step_by(samples.len().div_ceil(most).max(1)).cloned().collect();
    let mut walk = Walk::new(model, &samples, device);
    let most = calibrate::positions(model, samples.len());
    let mut reports: Vec<Option<TensorReport>> = vec![None; jobs.len()];
    for mut group in groups(&model.graph, jobs)? {
        let seen = watch(&mut walk, model, &mut group, most)?;
        let mut unsettled = false;
        for layer in &group.layers {
            let job = &jobs[layer.job];
            let (report, settled) =
                encode_layer(model, job, layer, seen.as_ref()).map_err(|e| of_weight(&job.target.name, e))?;
            reports[layer.job] = Some(report);
            unsettled |= !settled;
            done();
        }
        if unsettled {
            settle(&mut walk, model, &group)?;
        }
    }
    Ok(reports.into_iter().flatten().collect())
}

/// An error about one weight says which.
pub fn of_weight(name: &str, error: Error) -> Error {
    match error {
        Error::Usage(what) => Error::Usage(format!("`{name}`: {what}")),
        other => other,
    }
}

/// In the order of the graph: what reads a weight first decides.
fn groups(graph: &Graph, jobs: &[Job]) -> Result<Vec<Group>> {
    let mut groups: Vec<Group> = Vec::new();
    let mut by_inputs: BTreeMap<Inputs, usize> = BTreeMap::new();
    let mut order: Vec<(usize, usize)> = jobs.iter().map(|job| job.target.first(graph)).zip(0..).collect();
    order.sort();
    for (at, job) in order {
        let target = &jobs[job].target;
        let shape = graph.weights.get(&target.weight).map(|w| w.ty().shape).unwrap_or_default();
        let rows = shape.first().copied().unwrap_or(0);
        let transposed = graph.nodes.get(at).is_some_and(|n| n.op == "ConvTranspose");
        let outputs = if transposed { shape.get(1).copied().unwrap_or(0) } else { rows };
        let layer = Layer {
            job,
            anchor: anchor::find(graph, target, outputs),
            bias: bias::of(graph, target, outputs),
            drift: Drift::default(),
        };
        match target.inputs.and_then(|inputs| by_inputs.get(&inputs)) {
            Some(&group) => groups[group].layers.push(layer),
            None => {
                target.inputs.map(|inputs| by_inputs.insert(inputs, groups.len()));
                groups.push(Group { at, inputs: target.inputs, layers: vec![layer] });
            }
        }
    }
    Ok(groups)
}

/// Statistics of a group's inputs, and what its outputs lack.
fn watch(walk: &mut Walk, model: &Model, group: &mut Group, most: usize) -> Result<Option<Statistics>> {
    let anchors = group.layers.iter().filter_map(|l| l.anchor.as_ref()).map(|a| a.value);
    let wanted: BTreeSet<ValueId> = anchors.chain(group.inputs.map(|i| i.0)).collect();
    let mut statistics: Option<Statistics> = None;
    let runs = walk.samples();
    walk.visit(model, group.at, &wanted, |seen| {
        let Some((id, layout)) = group.inputs else { return Ok(()) };
        let Some(tensor) = seen.encoded.get(&id) else { return Ok(()) };
        let (inputs, positions, x) = calibrate::columns(tensor, layout, most)?;
        statistics
            .get_or_insert_with(|| Statistics::new(inputs, calibrate::halved(layout, positions, runs)))
            .add(&x, positions);
        // In streams of tokens errors go with the inputs; those of convolutions do so on the samples, and little elsewhere.
        // There are as many unknowns as inputs: few more positions do not tell either.
        if layout != Layout::ChannelsLast || positions * runs < PER_INPUT * inputs {
            return Ok(());
        }
        for layer in &mut group.layers {
            let Some(anchor) = &layer.anchor else { continue };
            let Some((channels, count, lack)) = lack(&seen, anchor, outer(group.inputs), most)? else { continue };
            if count == positions && channels == anchor.gain.len() {
                layer.drift.add(&lack, &x, positions);
            }
        }
        Ok(())
    })?;
    if let (Some(statistics), Some((_, layout))) = (&mut statistics, group.inputs) {
        statistics.shared = matches!(layout, Layout::Depthwise(_));
        shrink(statistics, calibrate::independent(model));
    }
    Ok(statistics)
}

/// How channels lie in the outputs.
fn outer(inputs: Option<Inputs>) -> Layout {
    match inputs {
        Some((_, Layout::ChannelsLast)) => Layout::ChannelsLast,
        _ => Layout::ChannelsSecond,
    }
}

/// What the encoded model's output lacks, `[channels, positions]`, in units of the layer's own output.
fn lack(seen: &Seen, anchor: &Anchor, layout: Layout, most: usize) -> Result<Option<(usize, usize, Vec<f32>)>> {
    let (Some(exact), Some(encoded)) = (seen.exact.get(&anchor.value), seen.encoded.get(&anchor.value)) else {
        return Ok(None);
    };
    let (channels, positions, mut lack) = calibrate::columns(exact, layout, most)?;
    let (_, _, encoded) = calibrate::columns(encoded, layout, most)?;
    lack.iter_mut().zip(encoded).for_each(|(l, e)| *l -= e);
    for (row, gain) in lack.chunks_exact_mut(positions.max(1)).zip(&anchor.gain) {
        row.iter_mut().for_each(|v| *v /= gain);
    }
    Ok(Some((channels, positions, lack)))
}

/// Whether the bias is right, too.
fn encode_layer(
    model: &mut Model,
    job: &Job,
    layer: &Layer,
    seen: Option<&Statistics>,
) -> Result<(TensorReport, bool)> {
    let Job { target, spec } = job;
    let dense = &*dense(&model.graph, target)?;
    let seen = fitting(dense, seen);
    let bias = layer.bias.filter(|_| seen.is_some_and(|s| !s.shared));
    let centred = seen.filter(|_| bias.is_some()).map(Statistics::centred);
    // f16 is near enough not to need feedback.
    let guiding = centred.as_ref().or(seen).filter(|_| !matches!(spec, Spec::F16 | Spec::F32));
    let feedback = guiding.and_then(Feedback::new);
    let guide = guiding.map(|statistics| Guide { statistics, feedback: feedback.as_ref(), refit: true });
    let mut wanted = dense.clone();
    if let (Some(feedback), Some(seen), false) = (&feedback, seen, layer.drift.is_empty()) {
        let mean = seen.mean();
        let by = layer.drift.correction(feedback, bias.map(|_| mean.as_slice()));
        if by.iter().all(|v| v.is_finite()) {
            wanted.slice_mut::<f32>()?.iter_mut().zip(by).for_each(|(w, by)| *w += by);
        }
    }
    let weight = encode(&wanted, spec, guide.as_ref())?;
    let report = TensorReport::new(target.name.clone(), spec.to_string(), dense, &weight, seen)?;
    let settled = match (bias, seen) {
        (Some(id), Some(seen)) => {
            let lost = bias::lost(dense, &weight, &seen.mean())?;
            bias::shift(&mut model.graph, id, &lost)?;
            if !layer.drift.is_empty() {
                bias::shift(&mut model.graph, id, &layer.drift.mean())?;
            }
            true
        }
        _ => layer.bias.is_none(),
    };
    model.graph.weights.insert(target.weight, weight);
    Ok((report, settled))
}

/// Sums over positions and samples.
#[derive(Default)]
struct Mean {
    sum: Vec<f64>,
    count: usize,
}

/// Biases of layers whose inputs say nothing of the mean of their outputs: by the outputs themselves.
fn settle(walk: &mut Walk, model: &mut Model, group: &Group) -> Result<()> {
    let mut means: Vec<Mean> = group.layers.iter().map(|_| Mean::default()).collect();
    let anchors = group.layers.iter().filter_map(|l| l.anchor.as_ref()).map(|a| a.value);
    let wanted: BTreeSet<ValueId> = anchors.collect();
    let layout = outer(group.inputs);
    walk.visit(model, group.at, &wanted, |seen| {
        for (layer, mean) in group.layers.iter().zip(&mut means) {
            let Some(anchor) = &layer.anchor else { continue };
            let Some((_, count, lack)) = lack(&seen, anchor, layout, usize::MAX)? else { continue };
            let sums = lack.chunks_exact(count.max(1)).map(|row| row.iter().map(|&v| f64::from(v)).sum::<f64>());
            mean.count += count;
            match mean.sum.as_mut_slice() {
                [] => mean.sum = sums.collect(),
                known => known.iter_mut().zip(sums).for_each(|(k, s)| *k += s),
            }
        }
        Ok(())
    })?;
    for (layer, mean) in group.layers.iter().zip(means) {
        if let (Some(id), Some(anchor)) = (layer.bias, &layer.anchor)
            && mean.sum.len() == anchor.gain.len()
        {
            let by: Vec<f32> = mean.sum.iter().map(|s| (s / mean.count.max(1) as f64) as f32).collect();
            bias::shift(&mut model.graph, id, &by)?;
        }
    }
    Ok(())
}
