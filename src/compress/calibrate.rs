//! What the weights' inputs look like on sample data.

use std::collections::{BTreeSet, HashMap};

use super::feedback::Statistics;
use super::shrink::shrink;
use super::targets::{Layout, Target, Window};
use crate::graph::{Model, ValueId};
use crate::runtime::{Device, Session};
use crate::tensor::{DType, Tensor};
use crate::{Error, Result};

/// Positions taken of each activation, over all samples: several times as many as weights have inputs. Of texts all are
/// worth their time.
const POSITIONS: usize = 12288;
const POSITIONS_OF_TEXT: usize = 65536;
/// Positions taken of one sample at most, evenly spaced: neighbours in an image tell much the same.
const PER_SAMPLE: usize = 512;

/// Samples of one run that count as independent. Patches of a photo resemble each other, tokens of a text do not: taking
/// them for alike costs SmolLM2's layers 1.4 to 2.2 dB of what feedback gains.
pub fn independent(model: &Model) -> usize {
    const OF_PHOTOS: usize = 16;
    if of_tokens(model) { usize::MAX } else { OF_PHOTOS }
}

/// Whether a model reads the ids of tokens.
pub fn of_tokens(model: &Model) -> bool {
    model.graph.inputs.iter().any(|&id| model.graph.value(id).dtype == Some(DType::I64))
}

/// An activation and how weights meet it.
pub type Inputs = (ValueId, Layout);

/// Values for one run of a model: one for each of its inputs, in the order of the graph.
pub type Sample = Vec<Tensor>;

/// That samples have a value for every input.
pub fn check(model: &Model, samples: &[Sample]) -> Result<()> {
    let inputs = model.graph.inputs.len();
    match samples.iter().find(|s| s.len() != inputs) {
        Some(sample) => {
            let what = format!("a calibration sample has {} values; the model has {inputs} inputs", sample.len());
            Err(Error::Usage(what))
        }
        None => Ok(()),
    }
}

/// A sample with the names of the inputs.
pub fn named<'a>(model: &'a Model, sample: &'a Sample) -> Vec<(&'a str, &'a Tensor)> {
    model.graph.inputs.iter().map(|&id| model.graph.value(id).name.as_str()).zip(sample).collect()
}

/// Runs the float model on each sample and gathers the statistics of every target's input. `progress` is called after
/// each sample.
pub fn statistics(
    model: &Model,
    targets: &[Target],
    samples: &[Sample],
    device: &Device,
    mut progress: impl FnMut(),
) -> Result<HashMap<Inputs, Statistics>> {
    let wanted: BTreeSet<Inputs> = targets.iter().filter_map(|t| t.inputs).collect();
    let mut spied = model.clone();
    // An input of the graph is no output of any node: its samples are at hand anyway.
    let outputs: BTreeSet<ValueId> =
        wanted.iter().map(|(id, _)| *id).filter(|id| !model.graph.inputs.contains(id)).collect();
    spied.graph.outputs = outputs.into_iter().collect();
    let mut session = Session::new(&spied, device)?;
    let mut found: HashMap<Inputs, Statistics> = HashMap::new();
    let positions = positions(model, samples.len());
    for sample in samples {
        let outputs = if spied.graph.outputs.is_empty() { Vec::new() } else { session.run(&named(model, sample))? };
        let mut seen: HashMap<ValueId, &Tensor> =
            spied.graph.outputs.iter().copied().zip(outputs.iter().map(|(_, t)| t)).collect();
        seen.extend(model.graph.inputs.iter().copied().zip(sample));
        for inputs in &wanted {
            let Some(tensor) = seen.get(&inputs.0) else { continue };
            let (count, positions, x) = columns(tensor, inputs.1, positions)?;
            found
                .entry(*inputs)
                .or_insert_with(|| Statistics::new(count, halved(inputs.1, positions, samples.len())))
                .add(&x, positions);
        }
        progress();
    }
    for ((_, layout), statistics) in &mut found {
        statistics.shared = matches!(layout, Layout::Depthwise(_));
        shrink(statistics, independent(model));
    }
    Ok(found)
}

/// The runs, if their halves are to be kept apart: not for streams of tokens, whose correlations are much the same in all
/// photos, more than halves of a few photos show.
pub fn halved(layout: Layout, positions: usize, runs: usize) -> usize {
    if layout == Layout::ChannelsLast && positions > 1 { 0 } else { runs }
}

/// How many of each sample are taken, of so many samples.
pub fn positions(model: &Model, samples: usize) -> usize {
    let all = if of_tokens(model) { POSITIONS_OF_TEXT } else { POSITIONS };
    all.div_ceil(samples.max(1)).min(PER_SAMPLE)
}

/// `[inputs of a row, positions]` of an activation, `most` of them or fewer.
pub fn columns(tensor: &Tensor, layout: Layout, most: usize) -> Result<(usize, usize, Vec<f32>)> {
    let (shape, data) = (tensor.shape(), tensor.slice::<f32>()?);
    // Element of channel c at position p: the strides of the two layouts.
    let (channels, inner) = match layout {
        Layout::ChannelsSecond => (shape.get(1).copied().unwrap_or(1), shape.iter().skip(2).product()),
        Layout::ChannelsLast => (shape.last().copied().unwrap_or(1), 1usize),
        Layout::Patches(window) => return patches(shape, data, window, false, most),
        Layout::Depthwise(window) => return patches(shape, data, window, true, most),
    };
    let all = data.len() / channels.max(1);
    let step = all.div_ceil(most).max(1);
    let picked: Vec<usize> = (0..all).step_by(step).collect();
    let mut x = Vec::with_capacity(channels * picked.len());
    for c in 0..channels {
        x.extend(picked.iter().map(|&p| match layout {
            Layout::ChannelsLast => data[p * channels + c],
            _ => data[(p / inner * channels + c) * inner + p % inner],
        }));
    }
    Ok((channels, picked.len(), x))
}

/// What a convolution's window sees of `[batch, channels, height, width]`: `[channels · window, positions]`, or
/// `[window, positions · channels]` where each channel has filters of its own.
fn patches(
    shape: &[usize],
    data: &[f32],
    window: Window,
    depthwise: bool,
    most: usize,
) -> Result<(usize, usize, Vec<f32>)> {
    let &[batch, channels, height, width] = shape else {
        return Err(Error::Usage(format!("a convolution over two axes got an input of shape {shape:?}")));
    };
    let size = [height, width];
    let out = |axis: usize| {
        let reach = window.dilations[axis] * (window.kernel[axis] - 1) + 1;
        (size[axis] + window.pads[axis] + window.pads[axis + 2] + 1)
            .saturating_sub(reach)
            .div_ceil(window.strides[axis])
    };
    let [rows, cols] = [out(0), out(1)];
    let all = if depthwise { batch * channels * rows * cols } else { batch * rows * cols };
    let picked: Vec<usize> = (0..all).step_by(all.div_ceil(most).max(1)).collect();
    let taps = window.kernel[0] * window.kernel[1];
    let inputs = if depthwise { taps } else { channels * taps };
    let mut x = Vec::with_capacity(inputs * picked.len());
    for input in 0..inputs {
        let (channel, tap) = (input / taps, input % taps);
        x.extend(picked.iter().map(|&p| {
            let (plane, at) = (p / (rows * cols), p % (rows * cols));
            let plane = if depthwise { plane } else { plane * channels + channel };
            let place = |axis: usize, out: usize, tap: usize| {
                (out * window.strides[axis] + tap * window.dilations[axis]).checked_sub(window.pads[axis])
            };
            match (place(0, at / cols, tap / window.kernel[1]), place(1, at % cols, tap % window.kernel[1])) {
                (Some(y), Some(x)) if y < height && x < width => data[(plane * height + y) * width + x],
                _ => 0.0,
            }
        }));
    }
    Ok((inputs, picked.len(), x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_see_what_a_convolution_multiplies() {
        let data: Vec<f32> = (1..=18).map(|v| v as f32).collect();
        let window = Window { kernel: [2, 2], strides: [2, 1], dilations: [1, 1], pads: [1, 0, 0, 0] };
        // 2 channels of 3×3; windows at rows −1 and 1, columns 0 and 1.
        let (inputs, positions, x) = patches(&[1, 2, 3, 3], &data, window, false, 512).unwrap();
        assert_eq!((inputs, positions), (8, 4));
        assert_eq!(x[..4], [0.0, 0.0, 4.0, 5.0]);
        assert_eq!(x[3 * 4..4 * 4], [2.0, 3.0, 8.0, 9.0]);
        assert_eq!(x[4 * 4..5 * 4], [0.0, 0.0, 13.0, 14.0]);
        let (inputs, positions, x) = patches(&[1, 2, 3, 3], &data, window, true, 512).unwrap();
        assert_eq!((inputs, positions), (4, 8));
        assert_eq!(x[..8], [0.0, 0.0, 4.0, 5.0, 0.0, 0.0, 13.0, 14.0]);
    }
}
