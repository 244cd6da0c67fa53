//! What the rules work with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::graph::{Attr, Attrs, Graph, Node, ValueId, Weight};
use crate::tensor::{DType, Tensor};
use crate::weights::Encoded;
use crate::{Error, Result};

pub struct Fold<'a> {
    file: &'a str,
    graph: &'a mut Graph,
    nodes: Vec<Node>,
    small: BTreeMap<ValueId, u32>,
    /// A matrix that a node computes from constants → the same matrix, encoded the other way round.
    pub transposed: BTreeMap<ValueId, ValueId>,
    /// Constants that rules took in.
    used: BTreeSet<ValueId>,
}

impl<'a> Fold<'a> {
    pub fn new(file: &'a str, graph: &'a mut Graph, small: BTreeMap<ValueId, u32>) -> Self {
        Fold { file, graph, nodes: Vec::new(), small, transposed: BTreeMap::new(), used: BTreeSet::new() }
    }

    pub fn keep(&mut self, node: Option<Node>) {
        self.nodes.extend(node);
    }

    /// Input `i`, if it is a dense constant. Sharing it costs nothing.
    pub fn constant(&mut self, node: &Node, i: usize) -> Option<Tensor> {
        let id = node.input(i)?;
        let tensor = self.graph.weights.get(&id)?.dense()?.clone();
        self.used.insert(id);
        Some(tensor)
    }

    /// Bits of the elements of input `i`: fewer than its type has, if the file stored it so.
    pub fn bits(&self, node: &Node, i: usize) -> Option<u32> {
        self.small.get(&node.input(i)?).copied()
    }

    /// The name of input `i`.
    pub fn name(&self, node: &Node, i: usize) -> String {
        node.input(i).map_or_else(|| node.name.clone(), |id| self.graph.value(id).name.clone())
    }

    pub fn weight(&mut self, name: String, encoded: impl Into<Encoded>) -> ValueId {
        self.graph.add_weight(name, Weight::Encoded(Arc::new(encoded.into())))
    }

    /// Makes the value that a node would compute a constant.
    pub fn set(&mut self, output: ValueId, encoded: impl Into<Encoded>) {
        self.graph.weights.insert(output, Weight::Encoded(Arc::new(encoded.into())));
    }

    /// Puts `op(inputs)` in the place of `node`. An encoded weight is f32 for the graph: where the operator computes in
    /// f16, its float inputs and its output are converted.
    pub fn replace(&mut self, node: &Node, op: &str, inputs: Vec<Option<ValueId>>, attr: (&str, Attr), dtype: DType) {
        let mut attrs = Attrs::default();
        attrs.set(attr.0, attr.1);
        let mut new = Node { name: node.name.clone(), op: op.into(), inputs, outputs: node.outputs.clone(), attrs };
        let result = node.outputs.first().copied().flatten().filter(|_| dtype != DType::F32);
        let Some(result) = result else { return self.nodes.push(new) };
        // Indices of a lookup are no floats, and constants are converted by who reads them.
        for (i, input) in new.inputs.iter_mut().enumerate().filter(|_| op != "Gather") {
            let Some(id) = input.filter(|id| !self.graph.weights.contains_key(id)) else { continue };
            let wide = self.graph.add_value(format!("{}.{i}.f32", node.name));
            self.nodes.push(cast(node, id, wide, DType::F32));
            *input = Some(wide);
        }
        let wide = self.graph.add_value(format!("{}.f32", node.name));
        new.outputs = vec![Some(wide)];
        self.nodes.push(new);
        self.nodes.push(cast(node, wide, result, dtype));
    }

    /// Drops what nothing uses any more, and refuses other uses of small integers.
    pub fn finish(mut self) -> Result<()> {
        let mut live: BTreeSet<ValueId> = self.nodes.iter().flat_map(|n| n.inputs.iter().flatten().copied()).collect();
        live.extend(&self.graph.outputs);
        let transposed = std::mem::take(&mut self.transposed);
        let needed = |node: &Node| {
            let output = node.outputs.first().copied().flatten();
            output.is_none_or(|id| live.contains(&id) || !transposed.contains_key(&id))
        };
        self.nodes.retain(needed);
        live = self.nodes.iter().flat_map(|n| n.inputs.iter().flatten().copied()).collect();
        live.extend(&self.graph.outputs);
        for id in self.used.iter().chain(transposed.values()).filter(|id| !live.contains(id)) {
            self.graph.weights.remove(id);
        }
        let misused = |node: &&Node| {
            let small = |id: &ValueId| self.small.contains_key(id);
            node.op != "DequantizeLinear" && node.inputs.iter().flatten().any(small)
        };
        let what = self.nodes.iter().find(misused).map(|node| node.op.clone());
        let output = self.graph.outputs.iter().any(|id| self.small.contains_key(id));
        if let Some(what) = what.or(output.then(|| "an output".into())) {
            return Err(Error::Unsupported(format!("{}: tensors of less than a byte in {what}", self.file)));
        }
        self.graph.nodes = self.nodes;
        Ok(())
    }
}

fn cast(node: &Node, input: ValueId, output: ValueId, to: DType) -> Node {
    let mut attrs = Attrs::default();
    attrs.set("to", Attr::Int(to.onnx()));
    let name = format!("{}.{}", node.name, to.name());
    Node { name, op: "Cast".into(), inputs: vec![Some(input)], outputs: vec![Some(output)], attrs }
}

/// A size attribute; 0 if it is missing or negative.
pub fn size(node: &Node, name: &str) -> usize {
    usize::try_from(node.attrs.int_or(name, 0)).unwrap_or(0)
}

/// Scales as encodings take them, and the type of float that the operator computes in; `None` for others.
pub fn scales(tensor: &Tensor, shape: [usize; 2]) -> Option<(Tensor, DType)> {
    let dtype = tensor.dtype();
    let right = matches!(dtype, DType::F32 | DType::F16) && tensor.len() == shape[0].checked_mul(shape[1])?;
    if right { Some((tensor.reshaped(shape).ok()?, dtype)) } else { None }
}

/// Codes of `bits` bits in rows of their own, each from its first byte: u8 `[rows, groups]`.
pub fn unpacked(packed: &Tensor, [rows, groups]: [usize; 2], bits: u32) -> Option<Vec<u8>> {
    let stride = groups.checked_mul(bits as usize)?.div_ceil(8);
    if packed.dtype() != DType::U8 || packed.len() != rows.checked_mul(stride)? {
        return None;
    }
    let code = |i: usize| crate::tensor::bits::get(&packed.bytes()[i / groups * stride..][..stride], i % groups, bits);
    Some((0..rows * groups).map(code).collect())
}
