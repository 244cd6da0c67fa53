//! What a session keeps between runs: keys and values of `fewbit.CachedAttention`.

use std::collections::BTreeSet;

use crate::Result;
use crate::graph::{Graph, TypedGraph, ValueId};
use crate::ops::cached_attention::{KvKind, span};
use crate::tensor::Tensor;

/// How keys and values are kept, and which inputs say where those of a run go.
#[derive(Default)]
pub struct Kept {
    pub kind: KvKind,
    positions: BTreeSet<ValueId>,
}

impl Kept {
    pub fn of(graph: &Graph) -> Self {
        let attention = graph.nodes.iter().filter(|node| node.op == "fewbit.CachedAttention");
        let positions = attention.filter_map(|node| node.input(3)).filter(|id| graph.inputs.contains(id));
        Kept { kind: KvKind::default(), positions: positions.collect() }
    }

    /// Whether the graph keeps anything.
    pub fn any(&self) -> bool {
        !self.positions.is_empty()
    }

    /// Of how many sequences the graph keeps something, now that its shapes are known.
    pub fn sequences(typed: &TypedGraph) -> usize {
        let attention = typed.graph.nodes.iter().filter(|node| node.op == "fewbit.CachedAttention");
        attention.filter_map(|node| typed.ty(node.input(0)?)?.shape.first().copied()).max().unwrap_or(0)
    }

    /// How many tokens will be kept after a run on these inputs, in the order of the graph's.
    pub fn tokens(&self, graph: &Graph, inputs: &[&Tensor]) -> Result<usize> {
        let mut most = 0;
        for (id, tensor) in graph.inputs.iter().zip(inputs) {
            if self.positions.contains(id)
                && let Some((_, last)) = span(&tensor.to_i64()?)?
            {
                most = most.max(last.saturating_add(1));
            }
        }
        Ok(most)
    }
}
