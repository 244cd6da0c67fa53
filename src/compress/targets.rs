//! The weights worth compressing, brought into rows along which the product runs.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use crate::graph::{Attr, Graph, Node, ValueId, Weight};
use crate::tensor::{DType, Tensor, TensorType};
use crate::{Error, Result};

/// A weight and the activations it multiplies.
#[derive(Clone, Debug)]
pub struct Target {
    /// The weight's name in the source, which rules match.
    pub name: String,
    pub weight: ValueId,
    /// The value whose statistics calibrate the weight, and its layout; `None` where a row is not one product.
    pub inputs: Option<(ValueId, Layout)>,
    /// The node's output, for its bias; `None` when several nodes share the weight.
    pub output: Option<ValueId>,
}

impl Target {
    /// The first node that reads the weight.
    pub fn first(&self, graph: &Graph) -> usize {
        graph.nodes.iter().position(|n| n.inputs.contains(&Some(self.weight))).unwrap_or(0)
    }
}

/// How the rows of a weight meet an activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layout {
    /// `[batch, channels, …]`: input of a 1×1 convolution.
    ChannelsSecond,
    /// `[…, channels]`: input of a linear layer.
    ChannelsLast,
    /// `[batch, channels, height, width]`: input of a larger convolution.
    Patches(Window),
    /// The same where each channel has filters of its own.
    Depthwise(Window),
}

/// What a convolution sees at a time, per axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Window {
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    pub dilations: [usize; 2],
    /// Top, left, bottom, right.
    pub pads: [usize; 4],
}

/// The layout of a convolution's input; `None` where no statistics are gathered.
fn convolution(node: &Node, shape: &[usize]) -> Option<Layout> {
    let group = node.attrs.int_or("group", 1);
    if group == 1 && shape[2..].iter().all(|&k| k == 1) {
        return Some(Layout::ChannelsSecond);
    }
    if !matches!(node.attrs.string_or("auto_pad", "NOTSET"), "NOTSET" | "VALID") {
        return None;
    }
    let sizes = |name: &str, count: usize, default: usize| -> Option<Vec<usize>> {
        let given: Option<Vec<usize>> = node.attrs.ints(name).map(|v| v.iter().map(|&n| n.max(0) as usize).collect());
        given.or(Some(vec![default; count])).filter(|v| v.len() == count)
    };
    let &[rows, inputs, high, wide] = shape else { return None };
    let window = Window {
        kernel: [high, wide],
        strides: sizes("strides", 2, 1)?.try_into().ok().filter(|s: &[usize; 2]| !s.contains(&0))?,
        dilations: sizes("dilations", 2, 1)?.try_into().ok()?,
        pads: sizes("pads", 4, 0)?.try_into().ok()?,
    };
    if high == 0 || wide == 0 {
        return None;
    }
    match group {
        1 => Some(Layout::Patches(window)),
        _ if inputs == 1 && rows as i64 == group => Some(Layout::Depthwise(window)),
        _ => None,
    }
}

/// All of them in node order. Products with a constant `[inputs, outputs]` become `fewbit.Linear` or Gemm with the
/// transposed weight, if `wanted` says so for its name.
pub fn find(graph: &mut Graph, wanted: impl Fn(&str) -> bool) -> Result<Vec<Target>> {
    let mut found: BTreeMap<usize, Target> = BTreeMap::new();
    let mut by_weight: HashMap<ValueId, usize> = HashMap::new();
    let mut next = 0;
    while next < graph.nodes.len() {
        let index = next;
        next += 1;
        let node = &graph.nodes[index];
        let (Some(input), Some(weight)) = (node.input(0), node.input(1)) else { continue };
        let Some(TensorType { dtype: DType::F32, shape }) = graph.weights.get(&weight).map(Weight::ty) else {
            continue;
        };
        let name = graph.value(weight).name.clone();
        if shape.len() < 2 || shape.contains(&0) || !wanted(&name) {
            continue;
        }
        let (weight, inputs) = match node.op.as_str() {
            "Conv" => (weight, convolution(node, &shape).map(|layout| (input, layout))),
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
                absorb_bias(graph, index, shape[1]);
                (rows, Some((input, Layout::ChannelsLast)))
            }
            "fewbit.Linear" if node.attrs.flag("transposed") => (weight, Some((input, Layout::ChannelsLast))),
            _ => continue,
        };
        match by_weight.get(&weight).and_then(|at| found.get_mut(at)) {
            Some(shared) => shared.output = None,
            None => {
                by_weight.insert(weight, index);
                let output = graph.nodes[index].outputs.first().copied().flatten();
                found.insert(index, Target { name, weight, inputs, output });
            }
        }
    }
    // A weight that a table of embeddings shares is no layer's alone either.
    for target in found.values_mut() {
        if graph.nodes.iter().filter(|n| n.inputs.contains(&Some(target.weight))).count() > 1 {
            target.output = None;
        }
    }
    let used: std::collections::HashSet<ValueId> =
        graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten()).chain(&graph.outputs).copied().collect();
    graph.weights.retain(|id, _| used.contains(id));
    Ok(found.into_values().collect())
}

/// A target's weight in f32, decoded if it comes in few bits.
pub fn dense<'a>(graph: &'a Graph, target: &Target) -> Result<Cow<'a, Tensor>> {
    let weight = graph.weights.get(&target.weight);
    in_f32(weight.ok_or_else(|| Error::Usage(format!("`{}` is no weight of the model", target.name)))?)
}

/// A weight in f32, decoded if it comes in few bits.
pub fn in_f32(weight: &Weight) -> Result<Cow<'_, Tensor>> {
    match weight {
        Weight::Dense(dense) => Ok(Cow::Borrowed(dense)),
        Weight::Encoded(encoded) => encoded.to_dense().map(Cow::Owned),
    }
}

/// Takes the constant `[outputs]` that is added to a linear layer and to nothing else into the layer: a bias can make up
/// for the errors of the weight.
fn absorb_bias(graph: &mut Graph, index: usize, outputs: usize) {
    let Some(product) = graph.nodes[index].outputs.first().copied().flatten() else { return };
    let uses = |n: &Node| n.inputs.iter().filter(|id| **id == Some(product)).count();
    let only = graph.nodes.iter().map(uses).sum::<usize>() == 1 && !graph.outputs.contains(&product);
    let Some(at) = graph.nodes.iter().position(|n| uses(n) == 1).filter(|_| only) else { return };
    let add = &graph.nodes[at];
    let other = add.inputs.iter().copied().flatten().find(|&id| id != product);
    let fits = |id| graph.weights.get(&id).is_some_and(|w| w.ty().shape == [outputs] && w.ty().dtype == DType::F32);
    let (Some(bias), true) = (other.filter(|&id| fits(id)), add.op == "Add" && at > index) else { return };
    let outputs = add.outputs.clone();
    let node = &mut graph.nodes[index];
    node.inputs.resize(3, None);
    node.inputs[2] = Some(bias);
    node.outputs = outputs;
    graph.nodes.remove(at);
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
    let weight = graph.weights.get(&old).ok_or_else(|| graph.nodes[index].error("input 1 is not a constant"))?;
    let dense = in_f32(weight)?;
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
