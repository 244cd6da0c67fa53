//! Before opset 7, binary operators broadcast only on request (`broadcast=1`), from an `axis` of the first input.

use super::{Table, Upgrade, first_input, take, too_old};
use crate::Result;
use crate::graph::{Attr, Node};

pub const RULES: Table = &[
    ("Add", 7, aligned),
    ("Sub", 7, aligned),
    ("Mul", 7, aligned),
    ("Div", 7, aligned),
    ("Pow", 7, aligned),
    ("And", 7, aligned),
    ("Or", 7, aligned),
    ("Xor", 7, aligned),
    ("Equal", 7, aligned),
    ("Less", 7, aligned),
    ("Greater", 7, aligned),
    ("PRelu", 7, slope),
    ("Gemm", 7, gemm),
];

/// The second input's dimensions line up with the first's from `axis` on: trailing ones make that numpy's rule.
fn aligned(up: &mut Upgrade, mut node: Node) -> Result<Node> {
    let broadcast = take(&mut node, "broadcast");
    let axis = take(&mut node, "axis");
    let (Some(Attr::Int(1)), Some(Attr::Int(axis))) = (broadcast, axis) else { return Ok(node) };
    trailing(up, node, axis)
}

/// A slope per channel lay along axis 1.
fn slope(up: &mut Upgrade, node: Node) -> Result<Node> {
    trailing(up, node, 1)
}

fn trailing(up: &mut Upgrade, mut node: Node, axis: i64) -> Result<Node> {
    let Some(second) = node.input(1) else { return Err(node.error("input 1 is missing")) };
    let (Some(rank), Some(own)) = (up.rank(first_input(&node)?), up.rank(second)) else {
        return Err(too_old(&node, "broadcasting between shapes of unknown rank"));
    };
    let (rank, own) = (rank as i64, own as i64);
    let axis = if axis < 0 { axis.saturating_add(rank) } else { axis };
    if axis < 0 || axis.saturating_add(own) >= rank {
        return Ok(node);
    }
    let axes: Vec<i64> = (own..rank - axis).collect();
    let axes = up.list(format!("{}.broadcast_axes", node.name), &axes)?;
    let aligned = up.emit("Unsqueeze", format!("{}.broadcast", node.name), &[second, axes], &[])?;
    node.inputs[1] = Some(aligned);
    Ok(node)
}

fn gemm(_: &mut Upgrade, mut node: Node) -> Result<Node> {
    take(&mut node, "broadcast");
    Ok(node)
}
