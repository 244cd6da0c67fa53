//! Before opset 13, the softmax family saw its input as a matrix: all axes before `axis` are rows, the rest columns.

use super::{Table, Upgrade, first_input};
use crate::Result;
use crate::graph::{Attr, Node};

pub const RULES: Table =
    &[("Softmax", 13, over_the_rest), ("LogSoftmax", 13, over_the_rest), ("Hardmax", 13, over_the_rest)];

/// Over the last axis both meanings agree. Otherwise: flatten, apply along the columns, restore the shape.
fn over_the_rest(up: &mut Upgrade, mut node: Node) -> Result<Node> {
    let axis = node.attrs.int_or("axis", 1);
    node.attrs.set("axis", Attr::Int(-1));
    let data = first_input(&node)?;
    if axis == -1 || up.rank(data).is_some_and(|rank| rank as i64 - 1 == axis) {
        return Ok(node);
    }
    let name = node.name.clone();
    let shape = up.emit("Shape", format!("{name}.shape"), &[data], &[])?;
    let rows = up.emit("Flatten", format!("{name}.rows"), &[data], &[("axis", Attr::Int(axis))])?;
    let result = up.emit(&node.op, format!("{name}.result"), &[rows], &[("axis", Attr::Int(-1))])?;
    node.op = "Reshape".into();
    node.inputs = vec![Some(result), Some(shape)];
    node.attrs = Default::default();
    Ok(node)
}
