//! The weights worth compressing, brought into rows along which the product runs.

use std::collections::{BTreeMap, HashMap};

use crate::Result;
use crate::graph::{Attr, Graph, ValueId, Weight};
use crate::tensor::Tensor;

/// A weight and the activations it multiplies.
#[derive(Clone, Debug)]
pub struct Target {
    /// The weight's name in the source, which rules match.
    pub name: String,
    pub weight: ValueId,
    /// The value whose statistics calibrate the weight, and its layout; `None` where a row is not one product.
    pub calibration: Option<(ValueId, Layout)>,
    /// Index of the node, for its bias; `None` when several nodes share the weight.
    pub node: Option<usize>,
}

/// Where the channels of an activation are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Layout {
    /// `[batch, channels, …]`: input of a 1×1 convolution.
    ChannelsSecond,
    /// `[…, channels]`: input of a linear layer.
    ChannelsLast,
}

/// All of them in node order. Products with a constant `[inputs, outputs]` become `fewbit.Linear` or Gemm with the
/// transposed weight, if `wanted` says so for its name.
pub fn find(graph: &mut Graph, wanted: impl Fn(&str) -> bool) -> Result<Vec<Target>> {
    let mut found: BTreeMap<usize, Target> = BTreeMap::new();
    let mut by_weight: HashMap<ValueId, usize> = HashMap::new();
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let (Some(input), Some(weight)) = (node.input(0), node.input(1)) else { continue };
        let Some(dense) = graph.weights.get(&weight).and_then(Weight::dense) else { continue };
        let shape = dense.shape().to_vec();
        let name = graph.value(weight).name.clone();
        if dense.slice::<f32>().is_err() || shape.len() < 2 || dense.is_empty() || !wanted(&name) {
            continue;
        }
        let (weight, calibration) = match node.op.as_str() {
            "Conv" => {
                let pointwise = shape[2..].iter().all(|&k| k == 1) && node.attrs.int_or("group", 1) == 1;
                (weight, pointwise.then_some((input, Layout::ChannelsSecond)))
            }
            "ConvTranspose" => (weight, None),
            "Gemm" if node.attrs.flag("transA") || shape.len() != 2 => continue,
            "Gemm" => {
                let rows = if node.attrs.flag("transB") { weight } else { transpose(graph, index)? };
                graph.nodes[index].attrs.set("transB", Attr::Int(1));
                (rows, Some((input, Layout::ChannelsLast)))
            }
            "MatMul" if shape.len() == 2 => {
                let rows = transpose(graph, index)?;
                let node = &mut graph.nodes[index];
                node.op = "fewbit.Linear".into();
                node.attrs.set("transposed", Attr::Int(1));
                (rows, Some((input, Layout::ChannelsLast)))
            }
            "fewbit.Linear" if node.attrs.flag("transposed") => (weight, Some((input, Layout::ChannelsLast))),
            _ => continue,
        };
        match by_weight.get(&weight).and_then(|at| found.get_mut(at)) {
            Some(shared) => shared.node = None,
            None => {
                by_weight.insert(weight, index);
                found.insert(index, Target { name, weight, calibration, node: Some(index) });
            }
        }
    }
    let used: std::collections::HashSet<ValueId> =
        graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten()).chain(&graph.outputs).copied().collect();
    graph.weights.retain(|id, _| used.contains(id));
    Ok(found.into_values().collect())
}

/// Gives the node at `index` its weight `[inputs, outputs]` as `[outputs, inputs]`: in place, or beside the old one if
/// other nodes use that too.
fn transpose(graph: &mut Graph, index: usize) -> Result<ValueId> {
    let Some(old) = graph.nodes[index].input(1) else { return Err(graph.nodes[index].error("input 1 is missing")) };
    let users = graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten()).chain(&graph.outputs);
    let shared = users.filter(|&&id| id == old).count() > 1;
    let name = format!("{}.transposed", graph.value(old).name);
    if let (true, Some(id)) = (shared, graph.find(&name)) {
        graph.nodes[index].inputs[1] = Some(id);
        return Ok(id);
    }
    let dense = graph.weights.get(&old).and_then(Weight::dense);
    let dense = dense.ok_or_else(|| graph.nodes[index].error("input 1 is not a dense constant"))?;
    let &[rows, cols] = dense.shape() else { return Err(graph.nodes[index].error("input 1 is no matrix")) };
    let from = dense.slice::<f32>()?;
    let data: Vec<f32> = (0..cols).flat_map(|c| (0..rows).map(move |r| from[r * cols + c])).collect();
    let weight = Weight::Dense(Tensor::new([cols, rows], &data)?);
    if !shared {
        graph.weights.insert(old, weight);
        return Ok(old);
    }
    let id = graph.add_weight(name, weight);
    graph.nodes[index].inputs[1] = Some(id);
    Ok(id)
}
