//! A per-channel multiply, add or batch normalisation after a convolution goes into its weights and bias.

use super::{Edit, Matcher};
use crate::graph::{Node, ValueId};
use crate::tensor::Tensor;

pub fn into_conv(m: &Matcher, index: usize, edit: &mut Edit) -> Option<Node> {
    let root = m.node(index);
    let (conv_out, per_channel) = match root.op.as_str() {
        "BatchNormalization" if root.outputs.len() == 1 && !root.attrs.flag("training_mode") => {
            (root.input(0)?, batch_norm(m, root)?)
        }
        "Mul" | "Add" => {
            let (constant, other) = m.split(root, |v| m.floats(v).is_some())?;
            let channels = *m.shape(other)?.get(1)?;
            let values = channel_values(m, constant, channels, m.shape(other)?.len())?;
            let pairs = values.iter().map(|&v| if root.op == "Mul" { (v.into(), 0.0) } else { (1.0, v.into()) });
            (other, pairs.collect())
        }
        _ => return None,
    };
    let conv = m.only_from(conv_out, "Conv").or_else(|| m.only_from(conv_out, "ConvTranspose"))?;
    // Only a bare convolution: an activation or residual in between does not commute.
    if conv.input(3).is_some()
        || conv.attrs.get("fewbit.activation").is_some()
        || m.shape(conv_out) != m.shape((*root.outputs.first()?)?)
    {
        return None;
    }
    let (weight_id, channels) = (conv.input(1)?, per_channel.len());
    let mut weight = m.typed.constant(weight_id)?.clone();
    let bias = match conv.input(2) {
        Some(id) => m.floats(id)?.to_vec(),
        None => vec![0.0; channels],
    };
    if bias.len() != channels || channels == 0 {
        return None;
    }

    scale_channels(conv, weight.slice_mut().ok()?, m.shape(weight_id)?, &per_channel)?;
    let shifted: Vec<f32> = bias.iter().zip(&per_channel).map(|(&b, (s, t))| (f64::from(b) * s + t) as f32).collect();
    let mut node = conv.clone();
    node.outputs = root.outputs.clone();
    node.inputs.resize(3, None);
    node.inputs[1] = Some(edit.constant(format!("{}.weight", conv.name), weight));
    node.inputs[2] = Some(edit.constant(format!("{}.bias", conv.name), Tensor::new(vec![channels], &shifted).ok()?));
    Some(node)
}

/// `(scale, shift)` per channel of an inference batch normalisation, in f64.
fn batch_norm(m: &Matcher, node: &Node) -> Option<Vec<(f64, f64)>> {
    let [scale, bias, mean, variance] = [1, 2, 3, 4].map(|i| node.input(i).and_then(|id| m.floats(id)));
    let epsilon = f64::from(node.attrs.float_or("epsilon", 1e-5));
    let rows = scale?.iter().zip(bias?).zip(mean?.iter().zip(variance?));
    Some(
        rows.map(|((&g, &b), (&mu, &var))| {
            let s = f64::from(g) / (f64::from(var) + epsilon).sqrt();
            (s, f64::from(b) - f64::from(mu) * s)
        })
        .collect(),
    )
}

/// A constant that varies along axis 1 of a tensor of `rank` at most, as one value per channel.
fn channel_values(m: &Matcher, id: ValueId, channels: usize, rank: usize) -> Option<Vec<f32>> {
    let (values, shape) = (m.floats(id)?, m.shape(id)?);
    if values.len() == 1 && shape.len() <= rank {
        return Some(vec![values[0]; channels]);
    }
    let axis = (shape.len() + 1).checked_sub(rank)?;
    let only_channels = shape.iter().enumerate().all(|(i, &d)| d == if i == axis { channels } else { 1 });
    (shape.len() <= rank && only_channels).then(|| values.to_vec())
}

/// Scales every output channel of weights `[out, in/group, …]` (`Conv`) or `[in, out/group, …]` (`ConvTranspose`).
fn scale_channels(conv: &Node, weight: &mut [f32], shape: &[usize], per_channel: &[(f64, f64)]) -> Option<()> {
    let channels = per_channel.len();
    let inner: usize = shape.iter().skip(2).product();
    let (ins, outs) = (*shape.first()?, *shape.get(1)?);
    // Of each run of `run` weights, which channel it is of.
    let (run, channel_of): (usize, Box<dyn Fn(usize) -> usize>) = match conv.op.as_str() {
        "Conv" if ins == channels => (outs * inner, Box::new(|run| run)),
        "ConvTranspose" => {
            let group = usize::try_from(conv.attrs.int_or("group", 1)).ok().filter(|&g| g > 0)?;
            if outs * group != channels || ins % group != 0 || inner == 0 || outs == 0 {
                return None;
            }
            let per_group = ins / group;
            (inner, Box::new(move |run| run / outs / per_group * outs + run % outs))
        }
        _ => return None,
    };
    for (i, weights) in weight.chunks_mut(run.max(1)).enumerate() {
        let scale = per_channel[channel_of(i)].0;
        weights.iter_mut().for_each(|w| *w = (f64::from(*w) * scale) as f32);
    }
    Some(())
}
