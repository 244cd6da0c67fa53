//! Convolutions whose filters a mask chooses while the model runs → `fewbit.GatedConv`, which does not compute the others.

use super::activation;
use super::{Edit, Matcher};
use crate::graph::{Attr, Node, ValueId};
use crate::tensor::DType;

/// Inputs of a `fewbit.GatedConv`: see `ops/gated_conv.rs`.
const FILTERS: usize = 4;
const CHANNELS: usize = 5;

/// Nodes between a truth and the mask that is made of it, at most.
const STEPS: usize = 4;

/// `Conv(x) · mask`, the mask 0 or 1 for each image and filter.
pub fn filters(m: &Matcher, index: usize, _: &mut Edit) -> Option<Node> {
    let root = m.node(index);
    if root.op != "Mul" {
        return None;
    }
    let bare = |id: ValueId| m.only_from(id, "Conv").filter(|conv| is_gateable(conv) && conv.input(3).is_none());
    let (product, mask) = m.split(root, |id| bare(id).is_some())?;
    let shape = m.shape(product)?;
    if m.shape(mask)? != per_channel(shape) || !m.is_f32(product) || !is_truth(m, mask) {
        return None;
    }
    let mut node = gated(bare(product)?);
    node.outputs = root.outputs.clone();
    node.inputs[FILTERS] = Some(mask);
    Some(node)
}

/// An activation that leaves zeros zeros, behind the mask.
pub fn bent(m: &Matcher, index: usize, _: &mut Edit) -> Option<Node> {
    let root = m.node(index);
    let gate = m.only_from(root.input(0)?, "fewbit.GatedConv")?;
    activation::onto(m, root, gate).filter(leaves_zeros)
}

/// A convolution of what a mask left: channels that are zeros are not read.
pub fn channels(m: &Matcher, index: usize, _: &mut Edit) -> Option<Node> {
    let root = m.node(index);
    let fits = root.op == "fewbit.GatedConv" || (root.op == "Conv" && is_gateable(root));
    if !fits || root.input(CHANNELS).is_some() {
        return None;
    }
    let before = m.made_by(root.input(0)?, "fewbit.GatedConv")?;
    let mask = before.input(FILTERS)?;
    let mut node = gated(root);
    node.inputs[CHANNELS] = Some(mask);
    Some(node)
}

fn gated(conv: &Node) -> Node {
    let mut node = conv.clone();
    node.op = "fewbit.GatedConv".into();
    node.inputs.resize(CHANNELS + 1, None);
    node
}

fn is_gateable(conv: &Node) -> bool {
    conv.attrs.int_or("group", 1) == 1
}

/// `[batch, channels, 1, …]` of the shape of planes.
fn per_channel(shape: &[usize]) -> Vec<usize> {
    shape.iter().enumerate().map(|(axis, &size)| if axis < 2 { size } else { 1 }).collect()
}

/// Whether a value is made of truths alone.
fn is_truth(m: &Matcher, mut id: ValueId) -> bool {
    for _ in 0..STEPS {
        let Some(node) = m.producer(id) else { return false };
        let Some(input) = node.input(0) else { return false };
        match node.op.as_str() {
            "Cast" => return m.typed.ty(input).is_some_and(|ty| ty.dtype == DType::Bool) && m.is_f32(id),
            "Reshape" | "Unsqueeze" | "Identity" => id = input,
            _ => return false,
        }
    }
    false
}

fn leaves_zeros(node: &Node) -> bool {
    match node.attrs.string_or("fewbit.activation", "") {
        "sigmoid" | "hardsigmoid" => false,
        "clip" => {
            let bound = |name: &str| node.attrs.float_or(name, 0.0);
            bound("fewbit.min") <= 0.0 && bound("fewbit.max") >= 0.0
        }
        _ => matches!(node.attrs.get("fewbit.activation"), Some(Attr::String(_))),
    }
}
