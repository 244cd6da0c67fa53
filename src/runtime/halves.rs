//! Graphs in half precision, computed in f32: fusion and most kernels know f32 alone, and no device here multiplies halves
//! faster. Matrices stay in half precision; so do the graph's inputs and outputs.

use std::collections::BTreeMap;
use std::sync::Arc;

use half::f16;

use crate::graph::{Attr, Attrs, Graph, Node, TypedGraph, ValueId, Weight};
use crate::tensor::{DType, Tensor};
use crate::weights::HalfFloat;
use crate::{Error, Result};

/// ONNX's numbers of the two types.
const FLOAT: i64 = 1;
const FLOAT16: i64 = 10;

/// Operators to whose result the bits of a half matter.
const BITWISE: [&str; 1] = ["BitCast"];

/// The graph with f32 wherever `typed`, its form for some shapes, has f16; `None` without any, or if a value is both
/// given and returned.
pub fn widened(graph: &Graph, typed: &TypedGraph) -> Result<Option<Graph>> {
    let is_half = |id: ValueId| typed.ty(id).is_some_and(|ty| ty.dtype == DType::F16);
    let given = |id: &ValueId| graph.inputs.contains(id) || graph.weights.contains_key(id);
    let touched = |node: &Node| node.inputs.iter().chain(&node.outputs).flatten().any(|&id| is_half(id));
    let bits_matter = |node: &Node| BITWISE.contains(&node.op.as_str()) && touched(node);
    if !graph.nodes.iter().any(touched)
        || graph.nodes.iter().any(bits_matter)
        || graph.outputs.iter().any(|id| is_half(*id) && given(id))
    {
        return Ok(None);
    }
    let mut wide = graph.clone();
    let inputs: Vec<ValueId> = graph.inputs.iter().copied().filter(|&id| is_half(id)).collect();
    let outputs: Vec<ValueId> = graph.outputs.iter().copied().filter(|&id| is_half(id)).collect();
    let inner: BTreeMap<ValueId, ValueId> = inputs
        .iter()
        .chain(&outputs)
        .map(|&id| (id, wide.add_value(format!("{}:f32", graph.value(id).name))))
        .collect();
    for node in &mut wide.nodes {
        for id in node.inputs.iter_mut().chain(&mut node.outputs).flatten() {
            *id = *inner.get(id).unwrap_or(id);
        }
        if node.op == "Cast" && node.attrs.int_or("to", 0) == FLOAT16 {
            node.attrs.set("to", Attr::Int(FLOAT));
        }
    }
    let cast = |from: ValueId, to: ValueId, kind: i64| Node {
        name: format!("{}:cast", wide.value(to).name),
        op: "Cast".into(),
        inputs: vec![Some(from)],
        outputs: vec![Some(to)],
        attrs: Attrs::from([("to", Attr::Int(kind))]),
    };
    let first: Vec<Node> = inputs.iter().map(|&id| cast(id, inner[&id], FLOAT)).collect();
    let last: Vec<Node> = outputs.iter().map(|&id| cast(inner[&id], id, FLOAT16)).collect();
    wide.nodes.splice(0..0, first);
    wide.nodes.extend(last);
    widen_weights(&mut wide, typed)?;
    Ok(Some(wide))
}

/// Weights of one use as a matrix keep their halves; others become f32.
fn widen_weights(graph: &mut Graph, typed: &TypedGraph) -> Result<()> {
    let mut uses: BTreeMap<ValueId, Vec<(usize, usize)>> = BTreeMap::new();
    for (n, node) in graph.nodes.iter().enumerate() {
        for (i, id) in node.inputs.iter().enumerate() {
            if let Some(id) = id {
                uses.entry(*id).or_default().push((n, i));
            }
        }
    }
    let halves = |(id, weight): (&ValueId, &Weight)| match weight {
        Weight::Dense(tensor) if tensor.dtype() == DType::F16 => Some((*id, tensor.clone())),
        _ => None,
    };
    for (id, tensor) in graph.weights.iter().filter_map(halves).collect::<Vec<_>>() {
        let kept = match uses.get(&id).map(Vec::as_slice) {
            Some(&[(n, i)]) => in_halves(&mut graph.nodes[n], i, typed, &tensor)?,
            _ => None,
        };
        let weight = match kept {
            Some(weight) => Weight::Encoded(Arc::new(weight.into())),
            None => Weight::Dense(Tensor::new(tensor.shape(), &tensor.to_f32()?)?),
        };
        graph.weights.insert(id, weight);
    }
    Ok(())
}

/// The weight as input `i` of the node has it, if the operator has kernels for halves. Products want rows for columns.
fn in_halves(node: &mut Node, i: usize, typed: &TypedGraph, tensor: &Tensor) -> Result<Option<HalfFloat>> {
    let matrix = tensor.shape().len() == 2;
    match (node.op.as_str(), i) {
        ("MatMul", 1) if matrix && node.input(0).and_then(|x| typed.shape(x)).is_none_or(|x| !x.is_empty()) => {
            node.op = "fewbit.Linear".into();
            node.attrs.set("transposed", Attr::Int(1));
            turned(tensor).and_then(|t| HalfFloat::of(&t)).map(Some)
        }
        ("Gemm", 1) if node.attrs.flag("transB") => HalfFloat::of(tensor).map(Some),
        ("Gemm", 1) => {
            node.attrs.set("transB", Attr::Int(1));
            turned(tensor).and_then(|t| HalfFloat::of(&t)).map(Some)
        }
        ("Conv" | "ConvTranspose", 1) => HalfFloat::of(tensor).map(Some),
        ("Gather", 0) if matrix && node.attrs.int_or("axis", 0) == 0 => HalfFloat::of(tensor).map(Some),
        _ => Ok(None),
    }
}

/// A matrix with rows and columns changed.
fn turned(matrix: &Tensor) -> Result<Tensor> {
    let &[rows, cols] = matrix.shape() else { return Err(Error::Usage(format!("{:?} is no matrix", matrix.ty()))) };
    let values = matrix.slice::<f16>()?;
    let flipped: Vec<f16> = (0..cols).flat_map(|c| (0..rows).map(move |r| values[r * cols + c])).collect();
    Tensor::new([cols, rows], &flipped)
}
