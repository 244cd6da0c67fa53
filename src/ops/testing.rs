//! Builds a node and its inference context for unit tests of shape functions.

use super::{Infer, find};
use crate::graph::{Attr, Attrs, Node, ValueId};
use crate::tensor::{Tensor, TensorType};
use crate::{Error, Result};

/// A node with `inputs` inputs and `outputs` outputs.
pub fn node(op: &str, attrs: &[(&str, Attr)], inputs: usize, outputs: usize) -> Node {
    let mut all = Attrs::default();
    for (name, value) in attrs {
        all.set(name, value.clone());
    }
    Node {
        name: "test".into(),
        op: op.into(),
        inputs: (0..inputs as u32).map(|i| Some(ValueId(i))).collect(),
        outputs: (0..outputs as u32).map(|i| Some(ValueId(100 + i))).collect(),
        attrs: all,
    }
}

/// Output types of a one-output node, from input types and the values known of them.
pub fn infer_one(
    op: &str,
    attrs: &[(&str, Attr)],
    inputs: &[(TensorType, Option<&Tensor>)],
) -> Result<Vec<TensorType>> {
    let node = node(op, attrs, inputs.len(), 1);
    let infer = Infer {
        node: &node,
        types: inputs.iter().map(|(t, _)| Some(t.clone())).collect(),
        values: inputs.iter().map(|(_, v)| *v).collect(),
    };
    find(op).ok_or_else(|| Error::UnknownOperator(op.into()))?(&infer)
}
