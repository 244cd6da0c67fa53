//! Channels that belong together: what computes them, what reads them, and every constant that has a value for each.

use std::collections::HashMap;

use serde::Serialize;

use crate::graph::{Graph, Node, ValueId, Weight};
use crate::tensor::{DType, Shape};

/// What channels are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Between the two linear layers of a feed-forward block; a gate multiplies two layers' channels.
    Ffn,
    /// Heads of an attention, those of keys and values with the queries they serve.
    Heads,
    /// Between convolutions.
    Channels,
}

/// Where a constant has the channels: along `axis`, whose size is `outer · channels · inner`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub node: usize,
    pub input: usize,
    pub axis: usize,
    pub outer: usize,
}

/// Channels of which any can be left out of all parts at once.
#[derive(Clone, Debug)]
pub struct Group {
    pub kind: Kind,
    pub count: usize,
    /// Weights that compute channels.
    pub writers: Vec<Part>,
    /// Weights that read them.
    pub readers: Vec<Part>,
    /// Biases, factors and filters of a channel's own.
    pub others: Vec<Part>,
    /// Depthwise convolutions: their number of groups is that of the channels.
    pub depthwise: Vec<usize>,
    /// `Split`s into parts of the channels' number.
    pub splits: Vec<usize>,
    /// Attentions, with their numbers of heads.
    pub attentions: Vec<usize>,
    /// Reshapes, and to what: sizes that are right for any number of heads.
    pub reshapes: Vec<(usize, Vec<i64>)>,
    /// Values that have the channels.
    pub values: Vec<ValueId>,
}

impl Group {
    pub fn new(kind: Kind, count: usize) -> Self {
        Group {
            kind,
            count,
            writers: Vec::new(),
            readers: Vec::new(),
            others: Vec::new(),
            depthwise: Vec::new(),
            splits: Vec::new(),
            attentions: Vec::new(),
            reshapes: Vec::new(),
            values: Vec::new(),
        }
    }

    /// The name of the first weight that computes the channels.
    pub fn name(&self, graph: &Graph) -> String {
        let weight = self.writers.first().and_then(|part| graph.nodes[part.node].input(part.input));
        weight.map(|id| graph.value(id).name.clone()).unwrap_or_default()
    }

    /// Elements of the weights that shrink with the channels.
    pub fn cost(&self, graph: &Graph) -> usize {
        let parts = self.writers.iter().chain(&self.readers);
        parts
            .filter_map(|part| Some(shape(graph, graph.nodes[part.node].input(part.input)?)?.iter().product::<usize>()))
            .sum()
    }
}

/// The shape of an f32 constant.
pub fn shape(graph: &Graph, id: ValueId) -> Option<Shape> {
    graph.weights.get(&id).map(Weight::ty).filter(|ty| ty.dtype == DType::F32).map(|ty| ty.shape)
}

/// Which nodes compute and which read each value. `Shape` is no reader: what is made of sizes follows them.
pub struct Links {
    pub producers: HashMap<ValueId, usize>,
    pub users: HashMap<ValueId, Vec<usize>>,
}

impl Links {
    pub fn of(graph: &Graph) -> Self {
        let mut links = Links { producers: HashMap::new(), users: HashMap::new() };
        for (at, node) in graph.nodes.iter().enumerate() {
            links.producers.extend(node.outputs.iter().flatten().map(|&id| (id, at)));
            for &id in node.inputs.iter().flatten().filter(|_| node.op != "Shape") {
                let users = links.users.entry(id).or_default();
                if users.last() != Some(&at) {
                    users.push(at);
                }
            }
        }
        links
    }

    pub fn users(&self, id: ValueId) -> &[usize] {
        self.users.get(&id).map_or(&[], Vec::as_slice)
    }
}

/// A layer that multiplies its input 0 by the constant of its input 1.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    pub linear: bool,
    /// Axis of the weight along which its outputs lie, and its inputs.
    pub output_axis: usize,
    pub input_axis: usize,
    pub outputs: usize,
    pub inputs: usize,
    /// Of the weight; of a convolution that of its values too.
    pub rank: usize,
}

impl Product {
    /// `None` for other nodes, and for convolutions in groups.
    pub fn of(graph: &Graph, node: &Node) -> Option<Product> {
        let shape = shape(graph, node.input(1)?)?;
        let matrix = shape.len() == 2;
        let (linear, output_axis) = match node.op.as_str() {
            "MatMul" if matrix => (true, 1),
            "Gemm" if matrix && !node.attrs.flag("transA") => (true, usize::from(!node.attrs.flag("transB"))),
            "fewbit.Linear" if matrix => (true, usize::from(!node.attrs.flag("transposed"))),
            "Conv" if shape.len() > 2 => (false, 0),
            "ConvTranspose" if shape.len() > 2 => (false, 1),
            _ => return None,
        };
        if node.attrs.int_or("group", 1) != 1 || node.input(3).is_some() || shape.contains(&0) {
            return None;
        }
        let input_axis = 1 - output_axis;
        let [outputs, inputs] = [output_axis, input_axis].map(|axis| shape[axis]);
        Some(Product { linear, output_axis, input_axis, outputs, inputs, rank: shape.len() })
    }
}

/// Constants added behind a layer, at most.
const BIASES: usize = 4;

/// Adds the layer that computes `value` for the node `user` alone, and the biases behind it; its node.
pub fn writer(graph: &Graph, links: &Links, mut value: ValueId, mut user: usize, group: &mut Group) -> Option<usize> {
    for _ in 0..BIASES {
        if links.users(value) != [user] || graph.outputs.contains(&value) {
            return None;
        }
        group.values.push(value);
        let at = *links.producers.get(&value)?;
        let node = &graph.nodes[at];
        if let Some(product) = Product::of(graph, node) {
            if !product.linear || !product.outputs.is_multiple_of(group.count) {
                return None;
            }
            if node.input(2).is_some() {
                group.others.push(bias(graph, at, 2, group.count)?);
            }
            group.writers.push(Part { node: at, input: 1, axis: product.output_axis, outer: 1 });
            return Some(at);
        }
        let constant = (0..2).find(|&i| node.input(i).is_some_and(|id| graph.weights.contains_key(&id)))?;
        group.others.push(bias(graph, at, constant, group.count).filter(|_| node.op == "Add")?);
        (value, user) = (node.input(1 - constant)?, at);
    }
    None
}

fn bias(graph: &Graph, node: usize, input: usize, count: usize) -> Option<Part> {
    let shape = shape(graph, graph.nodes[node].input(input)?)?;
    let axis = shape.len().checked_sub(1)?;
    shape[axis].is_multiple_of(count).then_some(Part { node, input, axis, outer: 1 })
}
