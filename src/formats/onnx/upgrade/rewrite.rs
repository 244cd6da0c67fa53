//! What rules are, and what they work with.

use crate::formats::onnx::rank::Ranks;
use crate::graph::{Attr, Attrs, Graph, Node, ValueId, Weight};
use crate::tensor::{Element, Tensor};
use crate::{Error, Result};

/// Pushes nodes that must come before, and returns the node in its newer form.
pub type Rule = fn(&mut Upgrade, Node) -> Result<Node>;

/// `(operator, opset that changed it, rule)`.
pub type Table = &'static [(&'static str, i64, Rule)];

/// The graph being built, and what rules need to know of it.
pub struct Upgrade {
    pub graph: Graph,
    pub opset: i64,
    ranks: Ranks,
}

impl Upgrade {
    pub fn new(graph: Graph, opset: i64) -> Self {
        Upgrade { graph, opset, ranks: Ranks::default() }
    }

    pub fn finish(self) -> Graph {
        self.graph
    }

    pub fn push_as_is(&mut self, node: Node) -> Result<()> {
        self.ranks.note(&self.graph, &node);
        self.graph.nodes.push(node);
        Ok(())
    }

    /// A new node with one new output, before the one being rewritten.
    pub fn emit(&mut self, op: &str, name: String, inputs: &[ValueId], attrs: &[(&str, Attr)]) -> Result<ValueId> {
        let output = self.graph.add_value(name.clone());
        let mut map = Attrs::default();
        for (key, value) in attrs {
            map.set(key, value.clone());
        }
        let inputs = inputs.iter().map(|&i| Some(i)).collect();
        self.push_as_is(Node { name, op: op.into(), inputs, outputs: vec![Some(output)], attrs: map })?;
        Ok(output)
    }

    pub fn weight(&mut self, name: String, tensor: Tensor) -> ValueId {
        self.graph.add_weight(name, Weight::Dense(tensor))
    }

    /// A one-dimensional constant.
    pub fn list<T: Element>(&mut self, name: String, values: &[T]) -> Result<ValueId> {
        let tensor = Tensor::new([values.len()], values)?;
        Ok(self.weight(name, tensor))
    }

    pub fn rank(&self, id: ValueId) -> Option<usize> {
        self.ranks.of(&self.graph, id)
    }
}

/// Takes an attribute out of a node.
pub fn take(node: &mut Node, name: &str) -> Option<Attr> {
    node.attrs.0.remove(name)
}

pub fn take_ints(node: &mut Node, name: &str) -> Option<Vec<i64>> {
    match take(node, name) {
        Some(Attr::Ints(values)) => Some(values),
        _ => None,
    }
}

/// Sets input `i`, which the older form did not have.
pub fn set_input(node: &mut Node, i: usize, value: ValueId) {
    if node.inputs.len() <= i {
        node.inputs.resize(i + 1, None);
    }
    node.inputs[i] = Some(value);
}

pub fn first_input(node: &Node) -> Result<ValueId> {
    node.input(0).ok_or_else(|| node.error("input 0 is missing"))
}

pub fn too_old(node: &Node, what: &str) -> Error {
    Error::Unsupported(format!(
        "{what} of operator {} `{}`: re-export the model with a newer opset",
        node.op, node.name
    ))
}
