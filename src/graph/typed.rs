//! A graph whose every value has a known type: what fusion passes and the scheduler work on.

use std::collections::HashSet;

use super::{Graph, Node, ValueId, Weight};
use crate::tensor::{Tensor, TensorType};

#[derive(Clone, Debug)]
pub struct TypedGraph {
    pub graph: Graph,
    /// Type by value; `None` for values that are never computed.
    pub types: Vec<Option<TensorType>>,
}

impl TypedGraph {
    pub fn ty(&self, id: ValueId) -> Option<&TensorType> {
        self.types.get(id.0 as usize).and_then(Option::as_ref)
    }

    pub fn shape(&self, id: ValueId) -> Option<&[usize]> {
        self.ty(id).map(|t| t.shape.as_slice())
    }

    pub fn constant(&self, id: ValueId) -> Option<&Tensor> {
        self.graph.weights.get(&id).and_then(Weight::dense)
    }

    /// The only element of a constant, as f32.
    pub fn scalar(&self, id: ValueId) -> Option<f32> {
        let tensor = self.constant(id)?;
        if tensor.len() == 1 { tensor.to_f32().ok()?.first().copied() } else { None }
    }

    pub fn add_constant(&mut self, name: impl Into<String>, tensor: Tensor) -> ValueId {
        self.types.push(Some(tensor.ty().clone()));
        self.graph.add_weight(name, Weight::Dense(tensor))
    }

    /// By value: index of the node that computes it.
    pub fn producers(&self) -> Vec<Option<usize>> {
        let mut producers = vec![None; self.graph.values.len()];
        for (i, node) in self.graph.nodes.iter().enumerate() {
            node.outputs.iter().flatten().for_each(|id| producers[id.0 as usize] = Some(i));
        }
        producers
    }

    /// By value: how often it is used, graph outputs included.
    pub fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.graph.values.len()];
        let inputs = self.graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten());
        inputs.chain(&self.graph.outputs).for_each(|id| uses[id.0 as usize] += 1);
        uses
    }

    /// Removes nodes and weights that no output depends on.
    pub fn prune(&mut self) {
        let mut needed = vec![false; self.graph.values.len()];
        self.graph.outputs.iter().for_each(|id| needed[id.0 as usize] = true);
        let mut keep = vec![false; self.graph.nodes.len()];
        for (i, node) in self.graph.nodes.iter().enumerate().rev() {
            keep[i] = node.outputs.iter().flatten().any(|id| needed[id.0 as usize]);
            if keep[i] {
                node.inputs.iter().flatten().for_each(|id| needed[id.0 as usize] = true);
            }
        }
        let mut keep = keep.iter();
        self.graph.nodes.retain(|_| *keep.next().unwrap_or(&false));
        self.graph.weights.retain(|id, _| needed[id.0 as usize]);
    }

    /// Replaces the nodes at `indices` by `node`, put where the last of them stood, and prunes nothing: values that the
    /// removed nodes computed must have no other use.
    pub fn replace(&mut self, indices: &[usize], node: Node) {
        let Some(&last) = indices.iter().max() else { return };
        self.graph.nodes[last] = node;
        let removed: HashSet<usize> = indices.iter().copied().filter(|&i| i != last).collect();
        let mut index = 0;
        self.graph.nodes.retain(|_| {
            index += 1;
            !removed.contains(&(index - 1))
        });
    }
}
