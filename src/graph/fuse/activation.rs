//! An activation directly after a convolution or linear layer becomes its epilogue.

use super::{Edit, Matcher};
use crate::graph::{Attr, Node};

pub fn activation(m: &Matcher, index: usize, _: &mut Edit) -> Option<Node> {
    let root = m.node(index);
    let source = root.input(0)?;
    let producer = ["Conv", "ConvTranspose", "fewbit.Linear"].iter().find_map(|op| m.only_from(source, op))?;
    onto(m, root, producer)
}

/// The producer with the activation `root` behind it, if it has none yet.
pub fn onto(m: &Matcher, root: &Node, producer: &Node) -> Option<Node> {
    let (name, numbers) = epilogue(m, root)?;
    let source = root.input(0)?;
    if producer.attrs.get("fewbit.activation").is_some() || !m.is_f32(source) {
        return None;
    }
    let mut node = producer.clone();
    node.outputs = vec![root.outputs[0]];
    node.attrs.set("fewbit.activation", Attr::String(name.into()));
    for (key, value) in numbers {
        node.attrs.set(key, Attr::Float(value));
    }
    Some(node)
}

/// The epilogue's name and numbers for an activation node.
fn epilogue(m: &Matcher, node: &Node) -> Option<(&'static str, Vec<(&'static str, f32)>)> {
    Some(match node.op.as_str() {
        "Relu" => ("relu", vec![]),
        "Sigmoid" => ("sigmoid", vec![]),
        "Tanh" => ("tanh", vec![]),
        "Gelu" if node.attrs.string_or("approximate", "none") == "none" => ("gelu", vec![]),
        "Swish" if node.attrs.float_or("alpha", 1.0) == 1.0 => ("silu", vec![]),
        "HardSwish" => ("hardswish", vec![("fewbit.alpha", 1.0 / 6.0), ("fewbit.beta", 0.5)]),
        "HardSigmoid" => {
            let (alpha, beta) = (node.attrs.float_or("alpha", 0.2), node.attrs.float_or("beta", 0.5));
            ("hardsigmoid", vec![("fewbit.alpha", alpha), ("fewbit.beta", beta)])
        }
        "Clip" => {
            let low = bound(m, node, 1, f32::MIN)?;
            let high = bound(m, node, 2, f32::MAX)?;
            if (low, high) == (0.0, 6.0) {
                ("relu6", vec![])
            } else {
                ("clip", vec![("fewbit.min", low), ("fewbit.max", high)])
            }
        }
        _ => return None,
    })
}

/// A bound of `Clip`: its constant, the default when left out, `None` when computed at run time.
fn bound(m: &Matcher, node: &Node, input: usize, default: f32) -> Option<f32> {
    match node.input(input) {
        None => Some(default),
        Some(id) => m.scalar(id),
    }
}
