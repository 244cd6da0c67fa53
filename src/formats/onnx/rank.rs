//! How many dimensions a value has, as far as a file tells: old operator forms mean different things by rank.

use std::collections::HashMap;

use crate::graph::{Graph, Node, ValueId};

/// Ranks of computed values, found node by node.
#[derive(Default)]
pub struct Ranks(HashMap<ValueId, usize>);

impl Ranks {
    pub fn of(&self, graph: &Graph, id: ValueId) -> Option<usize> {
        if let Some(weight) = graph.weights.get(&id) {
            return Some(weight.ty().shape.len());
        }
        graph.value(id).dims.as_ref().map(Vec::len).or_else(|| self.0.get(&id).copied())
    }

    /// Notes the ranks of a node's outputs, if they follow from its inputs.
    pub fn note(&mut self, graph: &Graph, node: &Node) {
        if let Some(rank) = self.infer(graph, node) {
            for &output in node.outputs.iter().flatten() {
                self.0.insert(output, rank);
            }
        }
    }

    fn infer(&self, graph: &Graph, node: &Node) -> Option<usize> {
        let rank = |i: usize| self.of(graph, node.input(i)?);
        let weight = |i: usize| graph.weights.get(&node.input(i)?)?.dense();
        match node.op.as_str() {
            "Conv"
            | "ConvTranspose"
            | "BatchNormalization"
            | "InstanceNormalization"
            | "LayerNormalization"
            | "MaxPool"
            | "AveragePool"
            | "LpPool"
            | "GlobalAveragePool"
            | "GlobalMaxPool"
            | "Relu"
            | "LeakyRelu"
            | "PRelu"
            | "Sigmoid"
            | "HardSigmoid"
            | "HardSwish"
            | "Tanh"
            | "Erf"
            | "Exp"
            | "Log"
            | "Sqrt"
            | "Abs"
            | "Neg"
            | "Floor"
            | "Ceil"
            | "Clip"
            | "Elu"
            | "Selu"
            | "Softplus"
            | "Softsign"
            | "Reciprocal"
            | "Cast"
            | "Identity"
            | "Dropout"
            | "Softmax"
            | "LogSoftmax"
            | "Hardmax"
            | "Transpose"
            | "Concat"
            | "Slice"
            | "Split"
            | "Pad"
            | "Resize"
            | "Tile"
            | "Not"
            | "LRN"
            | "DepthToSpace"
            | "SpaceToDepth"
            | "TopK"
            | "CumSum"
            | "ScatterElements"
            | "ScatterND"
            | "LpNormalization" => rank(0),
            "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Equal" | "Less" | "Greater" | "And" | "Or" | "Xor" | "Min"
            | "Max" | "Sum" | "Mean" | "Where" => {
                (0..node.inputs.len()).map(rank).try_fold(0, |most, r| Some(most.max(r?)))
            }
            "MatMul" => match (rank(0)?, rank(1)?) {
                (1, b) => Some(b - usize::from(b > 0)),
                (a, 1) => Some(a - usize::from(a > 0)),
                (a, b) => Some(a.max(b)),
            },
            "Gemm" | "Flatten" => Some(2),
            "Reshape" => weight(1).map(|shape| shape.len()),
            "Shape" => Some(1),
            "Gather" => (rank(0)? + rank(1)?).checked_sub(1),
            "Unsqueeze" => Some(rank(0)? + weight(1)?.len()),
            "Squeeze" => rank(0)?.checked_sub(weight(1)?.len()),
            op if op.starts_with("Reduce") && node.attrs.int_or("keepdims", 1) != 0 => rank(0),
            _ => None,
        }
    }
}
