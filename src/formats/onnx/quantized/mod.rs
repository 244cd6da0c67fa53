//! Operators over few-bit weights → the same products over encoded weights: ONNX Runtime's `MatMulNBits`, `MatMulBnb4` and
//! `GatherBlockQuantized`, and ONNX's blocked `DequantizeLinear` where a matrix comes out of it.

mod bnb4;
mod dequantize;
mod fold;
mod gather;
mod nbits;

use std::collections::BTreeMap;

use fold::Fold;

use crate::Result;
use crate::graph::{Graph, Node, ValueId};

/// Pushes what takes the place of a node; gives the node back if its weights are not constant or of another layout.
type Rule = fn(&mut Fold, Node) -> Result<Option<Node>>;

const RULES: &[(&str, Rule)] = &[
    ("com.microsoft.MatMulNBits", nbits::rewrite),
    ("com.microsoft.MatMulBnb4", bnb4::rewrite),
    ("com.microsoft.GatherBlockQuantized", gather::rewrite),
    ("DequantizeLinear", dequantize::rewrite),
    ("MatMul", dequantize::matmul),
    ("Gemm", dequantize::gemm),
];

/// Rewrites a graph. `small` gives the bits of weights that were stored in less than a byte and are unpacked by now; only
/// the operators above, and `DequantizeLinear` where it stays, may use them.
pub fn fold(file: &str, graph: &mut Graph, small: BTreeMap<ValueId, u32>) -> Result<()> {
    let nodes = std::mem::take(&mut graph.nodes);
    let mut fold = Fold::new(file, graph, small);
    for node in nodes {
        let rule = RULES.iter().find(|(op, _)| *op == node.op);
        let left = match rule {
            Some((_, rule)) => rule(&mut fold, node)?,
            None => Some(node),
        };
        fold.keep(left);
    }
    fold.finish()
}
