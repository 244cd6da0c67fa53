//! Attributes that became inputs, and renamed operators.

use super::{Table, Upgrade, first_input, set_input, take, take_ints, too_old};
use crate::Result;
use crate::graph::{Attr, Node};
use crate::tensor::{DType, Tensor};

pub const RULES: Table = &[
    ("ReduceSum", 13, axes),
    ("Squeeze", 13, axes),
    ("Unsqueeze", 13, axes),
    ("ReduceL1", 18, axes),
    ("ReduceL2", 18, axes),
    ("ReduceLogSum", 18, axes),
    ("ReduceLogSumExp", 18, axes),
    ("ReduceMax", 18, axes),
    ("ReduceMean", 18, axes),
    ("ReduceMin", 18, axes),
    ("ReduceProd", 18, axes),
    ("ReduceSumSquare", 18, axes),
    ("Split", 13, split_sizes),
    ("Split", 18, split_outputs),
    ("Slice", 10, slice),
    ("Clip", 11, clip),
    ("Pad", 11, pad),
    ("TopK", 10, top_k),
    ("Reshape", 5, reshape),
    ("Dropout", 12, dropout),
    ("Concat", 4, concat),
    ("Cast", 6, cast),
    ("Tile", 6, tile),
    ("DFT", 20, dft),
    ("Scatter", i64::MAX, scatter),
    ("GridSample", 20, grid_sample),
    ("RoiAlign", 16, roi_align),
];

/// A list attribute becomes input `i`.
fn ints_to_input(up: &mut Upgrade, node: &mut Node, attr: &str, i: usize) -> Result<()> {
    if let Some(values) = take_ints(node, attr) {
        let list = up.list(format!("{}.{attr}", node.name), &values)?;
        set_input(node, i, list);
    }
    Ok(())
}

fn axes(up: &mut Upgrade, mut node: Node) -> Result<Node> {
    ints_to_input(up, &mut node, "axes", 1)?;
    Ok(node)
}

fn split_sizes(up: &mut Upgrade, mut node: Node) -> Result<Node> {
    ints_to_input(up, &mut node, "split", 1)?;
    Ok(node)
}

/// Equal parts used to follow from the number of outputs alone.
fn split_outputs(_: &mut Upgrade, mut node: Node) -> Result<Node> {
    if node.input(1).is_none() {
        node.attrs.set("num_outputs", Attr::Int(node.outputs.len() as i64));
    }
    Ok(node)
}

fn slice(up: &mut Upgrade, mut node: Node) -> Result<Node> {
    ints_to_input(up, &mut node, "starts", 1)?;
    ints_to_input(up, &mut node, "ends", 2)?;
    ints_to_input(up, &mut node, "axes", 3)?;
    Ok(node)
}

/// A number of the type of the node's first input, as far as that is declared; else f32.
fn number(up: &mut Upgrade, node: &Node, name: &str, value: f32) -> Result<crate::graph::ValueId> {
    let data = first_input(node)?;
    let tensor = match up.graph.value(data).dtype {
        Some(DType::F64) => Tensor::scalar(f64::from(value)),
        Some(DType::F16) => Tensor::scalar(half::f16::from_f32(value)),
        _ => Tensor::scalar(value),
    };
    Ok(up.weight(format!("{}.{name}", node.name), tensor))
}

fn clip(up: &mut Upgrade, mut node: Node) -> Result<Node> {
    for (i, name) in [(1, "min"), (2, "max")] {
        if let Some(Attr::Float(value)) = take(&mut node, name) {
            let value = number(up, &node, name, value)?;
            set_input(&mut node, i, value);
        }
    }
    Ok(node)
}

/// Opset 1 called the amounts `paddings`.
fn pad(up: &mut Upgrade, mut node: Node) -> Result<Node> {
    ints_to_input(up, &mut node, "paddings", 1)?;
    ints_to_input(up, &mut node, "pads", 1)?;
    if let Some(Attr::Float(value)) = take(&mut node, "value") {
        let value = number(up, &node, "value", value)?;
        set_input(&mut node, 2, value);
    }
    Ok(node)
}

fn top_k(up: &mut Upgrade, mut node: Node) -> Result<Node> {
    if let Some(Attr::Int(k)) = take(&mut node, "k") {
        let k = up.list(format!("{}.k", node.name), &[k])?;
        set_input(&mut node, 1, k);
    }
    Ok(node)
}

fn reshape(up: &mut Upgrade, mut node: Node) -> Result<Node> {
    ints_to_input(up, &mut node, "shape", 1)?;
    Ok(node)
}

/// Inference drops nothing, whatever the ratio.
fn dropout(_: &mut Upgrade, mut node: Node) -> Result<Node> {
    node.attrs.0.clear();
    node.inputs.truncate(1);
    Ok(node)
}

fn concat(_: &mut Upgrade, mut node: Node) -> Result<Node> {
    if node.attrs.int("axis").is_none() {
        node.attrs.set("axis", Attr::Int(1));
    }
    Ok(node)
}

/// Opset 1 named the type in words.
fn cast(_: &mut Upgrade, mut node: Node) -> Result<Node> {
    let Some(Attr::String(name)) = node.attrs.get("to") else { return Ok(node) };
    let names = [
        "FLOAT", "UINT8", "INT8", "UINT16", "INT16", "INT32", "INT64", "STRING", "BOOL", "FLOAT16", "DOUBLE", "UINT32",
        "UINT64",
    ];
    let Some(code) = names.iter().position(|n| n == name) else {
        return Err(node.error(format!("casts to `{name}`, which is no type")));
    };
    node.attrs.set("to", Attr::Int(code as i64 + 1));
    Ok(node)
}

fn tile(_: &mut Upgrade, node: Node) -> Result<Node> {
    Err(too_old(&node, "the opset 1 form"))
}

/// The axis counted the batch dimension, without the last one (real and imaginary part).
fn dft(up: &mut Upgrade, mut node: Node) -> Result<Node> {
    let axis = match take(&mut node, "axis") {
        Some(Attr::Int(axis)) => axis,
        _ => 1,
    };
    let axis = up.weight(format!("{}.axis", node.name), Tensor::scalar(axis));
    set_input(&mut node, 2, axis);
    Ok(node)
}

fn scatter(_: &mut Upgrade, mut node: Node) -> Result<Node> {
    node.op = "ScatterElements".into();
    Ok(node)
}

fn grid_sample(_: &mut Upgrade, mut node: Node) -> Result<Node> {
    let mode = match node.attrs.string("mode") {
        None | Some("bilinear") => "linear",
        Some("bicubic") => "cubic",
        Some(_) => return Ok(node),
    };
    node.attrs.set("mode", Attr::String(mode.into()));
    Ok(node)
}

fn roi_align(_: &mut Upgrade, mut node: Node) -> Result<Node> {
    if node.attrs.get("coordinate_transformation_mode").is_none() {
        node.attrs.set("coordinate_transformation_mode", Attr::String("output_half_pixel".into()));
    }
    Ok(node)
}
