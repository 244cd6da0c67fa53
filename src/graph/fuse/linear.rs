//! Products with a constant matrix → `fewbit.Linear`, with bias and per-column scale inside.

use super::{Edit, Matcher};
use crate::graph::{Attr, Attrs, Node, ValueId};
use crate::tensor::Tensor;

/// `MatMul(x, W[K, N])`.
pub fn from_matmul(m: &Matcher, index: usize, _: &mut Edit) -> Option<Node> {
    let root = m.node(index);
    let (x, w) = (root.input(0)?, root.input(1)?);
    let is_weight = m.typed.graph.weights.contains_key(&w) && m.shape(w)?.len() == 2;
    if root.op != "MatMul" || !is_weight || !m.is_f32(x) || !m.is_f32(w) || m.shape(x)?.is_empty() {
        return None;
    }
    let mut attrs = Attrs::default();
    attrs.set("transposed", Attr::Int(0));
    Some(m.replacement(root, "fewbit.Linear", vec![Some(x), Some(w)], attrs))
}

/// `Gemm(x, W, bias)` with constant `W`, unit factors and a bias row.
pub fn from_gemm(m: &Matcher, index: usize, _: &mut Edit) -> Option<Node> {
    let root = m.node(index);
    if root.op != "Gemm" || root.attrs.flag("transA") || root.attrs.float_or("alpha", 1.0) != 1.0 {
        return None;
    }
    let (x, w) = (root.input(0)?, root.input(1)?);
    if !m.typed.graph.weights.contains_key(&w) || !m.is_f32(x) || !m.is_f32(w) {
        return None;
    }
    let transposed = root.attrs.flag("transB");
    let columns = m.shape(w)?[usize::from(!transposed)];
    if let Some(bias) = root.input(2) {
        m.floats(bias)?;
        let row = m.shape(bias)? == [columns] || m.shape(bias)? == [1, columns];
        if !row || root.attrs.float_or("beta", 1.0) != 1.0 {
            return None;
        }
    }
    let mut attrs = Attrs::default();
    attrs.set("transposed", Attr::Int(transposed.into()));
    Some(m.replacement(root, "fewbit.Linear", vec![Some(x), Some(w), root.input(2)], attrs))
}

/// `Linear(x) + bias[N]`.
pub fn bias(m: &Matcher, index: usize, edit: &mut Edit) -> Option<Node> {
    let root = m.node(index);
    if root.op != "Add" {
        return None;
    }
    let (constant, product) = m.split(root, |v| m.floats(v).is_some())?;
    let linear = bare_linear(m, product)?;
    let columns = *m.shape(product)?.last()?;
    let row = row_values(m, constant, columns, m.shape(product)?.len())?;
    let sum = match linear.input(2) {
        Some(old) => m.floats(old)?.iter().zip(&row).map(|(a, b)| a + b).collect(),
        None => row,
    };
    let id = edit.constant(format!("{}.bias", linear.name), Tensor::new(vec![columns], &sum).ok()?);
    Some(with_bias(linear, root, id))
}

/// `Linear(x) · scale[N]`: into the weight, when that is dense.
pub fn scale(m: &Matcher, index: usize, edit: &mut Edit) -> Option<Node> {
    let root = m.node(index);
    if root.op != "Mul" {
        return None;
    }
    let (constant, product) = m.split(root, |v| m.floats(v).is_some())?;
    let linear = bare_linear(m, product)?;
    let columns = *m.shape(product)?.last()?;
    let row = row_values(m, constant, columns, m.shape(product)?.len())?;
    let weight_id = linear.input(1)?;
    let mut weight = m.typed.constant(weight_id)?.clone();
    let scaled = weight.slice_mut::<f32>().ok()?;
    let depth = scaled.len().checked_div(columns)?.max(1);
    match linear.attrs.flag("transposed") {
        true => scaled.chunks_mut(depth).zip(&row).for_each(|(column, s)| column.iter_mut().for_each(|w| *w *= s)),
        false => scaled.chunks_mut(columns.max(1)).for_each(|all| all.iter_mut().zip(&row).for_each(|(w, s)| *w *= s)),
    }

    let mut node = linear.clone();
    node.outputs = root.outputs.clone();
    node.inputs[1] = Some(edit.constant(format!("{}.weight", linear.name), weight));
    if let Some(old) = linear.input(2) {
        let bias: Vec<f32> = m.floats(old)?.iter().zip(&row).map(|(a, b)| a * b).collect();
        node.inputs[2] = Some(edit.constant(format!("{}.bias", linear.name), Tensor::new(vec![columns], &bias).ok()?));
    }
    Some(node)
}

/// A linear layer whose result is used only here, without activation or residual.
fn bare_linear<'a>(m: &Matcher<'a>, id: ValueId) -> Option<&'a Node> {
    m.only_from(id, "fewbit.Linear").filter(|n| n.input(3).is_none() && n.attrs.get("fewbit.activation").is_none())
}

/// A constant that varies along the last axis at most and does not widen the product, as one value per column.
fn row_values(m: &Matcher, id: ValueId, columns: usize, rank: usize) -> Option<Vec<f32>> {
    let (values, shape) = (m.floats(id)?, m.shape(id)?);
    if shape.len() > rank {
        return None;
    }
    match values {
        [one] => Some(vec![*one; columns]),
        _ => (values.len() == columns && shape.last() == Some(&columns)).then(|| values.to_vec()),
    }
}

fn with_bias(linear: &Node, root: &Node, bias: ValueId) -> Node {
    let mut node = linear.clone();
    node.outputs = root.outputs.clone();
    node.inputs.resize(3, None);
    node.inputs[2] = Some(bias);
    node
}
