//! Multiplications that a graph of known shapes takes.

use super::{Node, TypedGraph};

impl TypedGraph {
    /// Multiply–accumulate operations of products, convolutions and attention in one run; what else there is (norms,
    /// activations, softmax) is not counted, as papers do.
    pub fn macs(&self) -> u64 {
        self.graph.nodes.iter().filter_map(|node| self.node_macs(node)).sum()
    }

    fn node_macs(&self, node: &Node) -> Option<u64> {
        let shape = |i: usize| node.input(i).and_then(|id| self.shape(id));
        let count = |shape: &[usize]| shape.iter().map(|&n| n as u64).product::<u64>();
        let out = self.shape((*node.outputs.first()?)?)?;
        Some(match node.op.as_str() {
            "fewbit.Linear" | "MatMul" => count(out) * *shape(0)?.last()? as u64,
            "Gemm" => count(out) * shape(0)?[usize::from(!node.attrs.flag("transA"))] as u64,
            "Conv" => count(out) * count(shape(1)?.get(1..)?),
            "ConvTranspose" => count(shape(0)?) * count(shape(1)?.get(1..)?),
            // Scores and what they weigh: the output has a row of values for every query.
            "Attention" => {
                let k = shape(1)?;
                (count(shape(0)?) + count(out)) * k[k.len() - 2] as u64
            }
            _ => return None,
        })
    }
}
