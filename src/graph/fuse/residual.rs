//! The addition of a tensor of the same shape after a convolution or linear layer becomes its epilogue.

use super::{Edit, Matcher};
use crate::graph::{Attr, Node};

pub fn residual(m: &Matcher, index: usize, _: &mut Edit) -> Option<Node> {
    let root = m.node(index);
    if root.op != "Add" {
        return None;
    }
    let producer_of = |id| {
        let node = m.only_from(id, "Conv").or_else(|| m.only_from(id, "fewbit.Linear"))?;
        node.input(3).is_none().then_some(node)
    };
    let (product, other) = m.split(root, |id| producer_of(id).is_some())?;
    if product == other || m.shape(product) != m.shape(other) || !m.is_f32(other) {
        return None;
    }
    let producer = producer_of(product)?;
    let mut node = producer.clone();
    node.outputs = root.outputs.clone();
    node.inputs.resize(4, None);
    node.inputs[3] = Some(other);
    node.attrs.set("fewbit.residual", Attr::String("after".into()));
    Some(node)
}
