//! What the weights' inputs look like on sample data.

use std::collections::{BTreeMap, HashMap};

use super::feedback::Statistics;
use super::targets::{Layout, Target};
use crate::graph::{Model, ValueId};
use crate::runtime::{Device, Session};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Positions taken of one activation at most, evenly spaced: neighbours in an image tell much the same.
const POSITIONS: usize = 512;

/// Runs the float model on each sample (its only input) and gathers the statistics of every target's input.
/// `progress` is called after each sample.
pub fn statistics(
    model: &Model,
    targets: &[Target],
    samples: &[Tensor],
    device: &Device,
    mut progress: impl FnMut(),
) -> Result<HashMap<ValueId, Statistics>> {
    let graph = &model.graph;
    let &[input] = graph.inputs.as_slice() else {
        let what = format!("calibration feeds models with one input; this one has {}", graph.inputs.len());
        return Err(Error::Unsupported(what));
    };
    let name = graph.value(input).name.clone();
    let wanted: BTreeMap<ValueId, Layout> = targets.iter().filter_map(|t| t.calibration).collect();
    let mut spied = model.clone();
    // An input of the graph is no output of any node: its samples are at hand anyway.
    spied.graph.outputs = wanted.keys().copied().filter(|&id| id != input).collect();
    let mut session = Session::new(&spied, device)?;
    let mut found: HashMap<ValueId, Statistics> = HashMap::new();
    for sample in samples {
        let outputs = if spied.graph.outputs.is_empty() { Vec::new() } else { session.run(&[(&name, sample)])? };
        let mut seen: Vec<(ValueId, &Tensor)> =
            spied.graph.outputs.iter().copied().zip(outputs.iter().map(|(_, t)| t)).collect();
        seen.push((input, sample));
        for (id, tensor) in seen {
            let Some(&layout) = wanted.get(&id) else { continue };
            let (channels, positions, x) = channels_first(tensor, layout)?;
            found.entry(id).or_insert_with(|| Statistics::new(channels)).add(&x, positions);
        }
        progress();
    }
    Ok(found)
}

/// `[channels, positions]` of an activation, at most `POSITIONS` of them.
fn channels_first(tensor: &Tensor, layout: Layout) -> Result<(usize, usize, Vec<f32>)> {
    let (shape, data) = (tensor.shape(), tensor.slice::<f32>()?);
    // Element of channel c at position p: the strides of the two layouts.
    let (channels, inner) = match layout {
        Layout::ChannelsSecond => (shape.get(1).copied().unwrap_or(1), shape.iter().skip(2).product()),
        Layout::ChannelsLast => (shape.last().copied().unwrap_or(1), 1usize),
    };
    let all = data.len() / channels.max(1);
    let step = all.div_ceil(POSITIONS).max(1);
    let picked: Vec<usize> = (0..all).step_by(step).collect();
    let mut x = Vec::with_capacity(channels * picked.len());
    for c in 0..channels {
        x.extend(picked.iter().map(|&p| match layout {
            Layout::ChannelsSecond => data[(p / inner * channels + c) * inner + p % inner],
            Layout::ChannelsLast => data[p * channels + c],
        }));
    }
    Ok((channels, picked.len(), x))
}
