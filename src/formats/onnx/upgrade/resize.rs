//! `Upsample` and the first `Resize` become today's `Resize`.

use super::{Table, Upgrade, set_input, take, too_old};
use crate::Result;
use crate::graph::{Attr, Node};

pub const RULES: Table = &[
    ("Upsample", 7, upsample_sides),
    ("Upsample", 9, upsample_scales),
    ("Upsample", i64::MAX, upsample),
    ("Resize", 11, resize_10),
    ("Resize", 13, resize_11),
];

/// Opset 1: scales of the two sides in two attributes.
fn upsample_sides(_: &mut Upgrade, mut node: Node) -> Result<Node> {
    let (Some(Attr::Float(height)), Some(Attr::Float(width))) =
        (take(&mut node, "height_scale"), take(&mut node, "width_scale"))
    else {
        return Err(too_old(&node, "missing scales"));
    };
    node.attrs.set("scales", Attr::Floats(vec![1.0, 1.0, height, width]));
    Ok(node)
}

/// Opset 7: scales of all axes in an attribute.
fn upsample_scales(up: &mut Upgrade, mut node: Node) -> Result<Node> {
    if let Some(Attr::Floats(scales)) = take(&mut node, "scales") {
        let scales = up.list(format!("{}.scales", node.name), &scales)?;
        set_input(&mut node, 1, scales);
    }
    Ok(node)
}

fn upsample(up: &mut Upgrade, mut node: Node) -> Result<Node> {
    node.op = "Resize".into();
    resize_10(up, node)
}

/// Opset 10 sampled at `output / scale`, rounded down for the nearest mode; regions of interest did not exist.
fn resize_10(_: &mut Upgrade, mut node: Node) -> Result<Node> {
    if node.attrs.string("mode") == Some("bilinear") {
        node.attrs.set("mode", Attr::String("linear".into()));
    }
    node.attrs.set("coordinate_transformation_mode", Attr::String("asymmetric".into()));
    node.attrs.set("nearest_mode", Attr::String("floor".into()));
    let scales = node.input(1);
    node.inputs.truncate(1);
    node.inputs.extend([None, scales]);
    Ok(node)
}

/// Opset 11 could not leave inputs out: an empty list stood for "not given".
fn resize_11(up: &mut Upgrade, mut node: Node) -> Result<Node> {
    for input in node.inputs.iter_mut().skip(1) {
        let weight = input.and_then(|id| up.graph.weights.get(&id));
        if weight.is_some_and(|w| w.ty().is_empty()) {
            *input = None;
        }
    }
    Ok(node)
}
