//! The change a pass makes.

use super::Index;
use crate::graph::{Attrs, Node, TypedGraph, ValueId};
use crate::tensor::{Tensor, TensorType};

/// What a pass adds to the graph beside the node it returns.
pub struct Edit {
    /// Id that the next added value gets.
    next: usize,
    constants: Vec<(String, Tensor)>,
    nodes: Vec<(Node, TensorType)>,
}

impl Edit {
    pub fn new(typed: &TypedGraph) -> Self {
        Edit { next: typed.graph.values.len(), constants: Vec::new(), nodes: Vec::new() }
    }

    /// A constant. All constants of a rewrite come before its first node.
    pub fn constant(&mut self, name: String, tensor: Tensor) -> ValueId {
        self.constants.push((name, tensor));
        self.fresh()
    }

    /// A node before the rewritten one.
    pub fn node(&mut self, name: String, op: &str, input: ValueId, attrs: Attrs, ty: TensorType) -> ValueId {
        let id = self.fresh();
        self.nodes.push((Node { name, op: op.into(), inputs: vec![Some(input)], outputs: vec![Some(id)], attrs }, ty));
        id
    }

    fn fresh(&mut self) -> ValueId {
        self.next += 1;
        ValueId(self.next as u32 - 1)
    }

    /// Puts `node` in the place of the one at `at`, after what it needs; where it stands then.
    pub fn apply(self, typed: &mut TypedGraph, index: &mut Index, at: usize, node: Node) -> usize {
        for (name, tensor) in self.constants {
            typed.add_constant(name, tensor);
        }
        let added = self.nodes.len();
        for (i, (node, ty)) in self.nodes.into_iter().enumerate() {
            typed.types.push(Some(ty));
            typed.graph.add_value(node.name.clone());
            typed.graph.nodes.insert(at + i, node);
        }
        if added > 0 {
            *index = Index::of(typed);
        }
        index.replace(typed, at + added, node);
        at + added
    }
}
