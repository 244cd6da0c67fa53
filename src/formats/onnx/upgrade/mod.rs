//! Rewrites operators of old opsets to the form of the newest one, so that nothing above knows opsets.
//!
//! A rule applies to an operator of a file whose opset is older than the one that changed it. Rules of one operator
//! apply from the oldest change to the newest.

mod attributes;
mod broadcast;
mod norm;
mod resize;
mod softmax;

use super::rank::Ranks;
use crate::graph::{Attr, Attrs, Graph, Node, ValueId, Weight};
use crate::tensor::{Element, Tensor};
use crate::{Error, Result};

/// Pushes nodes that must come before, and returns the node in its newer form.
type Rule = fn(&mut Upgrade, Node) -> Result<Node>;

/// `(operator, opset that changed it, rule)`.
type Table = &'static [(&'static str, i64, Rule)];

const TABLES: &[Table] = &[attributes::RULES, broadcast::RULES, norm::RULES, resize::RULES, softmax::RULES];

/// The graph being built, and what rules need to know of it.
pub struct Upgrade {
    pub graph: Graph,
    opset: i64,
    ranks: Ranks,
}

impl Upgrade {
    pub fn new(graph: Graph, opset: i64) -> Self {
        Upgrade { graph, opset, ranks: Ranks::default() }
    }

    pub fn finish(self) -> Graph {
        self.graph
    }

    /// Upgrades a node of the default domain and appends it.
    pub fn push(&mut self, mut node: Node) -> Result<()> {
        let rules = TABLES.iter().copied().flatten();
        let mut rules: Vec<_> = rules.filter(|(op, before, _)| *op == node.op && self.opset < *before).collect();
        rules.sort_by_key(|(_, before, _)| *before);
        for (_, _, rule) in rules {
            node = rule(self, node)?;
        }
        self.push_as_is(node)
    }

    pub fn push_as_is(&mut self, node: Node) -> Result<()> {
        self.ranks.note(&self.graph, &node);
        self.graph.nodes.push(node);
        Ok(())
    }

    /// A new node with one new output, before the one being rewritten.
    fn emit(&mut self, op: &str, name: String, inputs: &[ValueId], attrs: &[(&str, Attr)]) -> Result<ValueId> {
        let output = self.graph.add_value(name.clone());
        let mut map = Attrs::default();
        for (key, value) in attrs {
            map.set(key, value.clone());
        }
        let inputs = inputs.iter().map(|&i| Some(i)).collect();
        self.push_as_is(Node { name, op: op.into(), inputs, outputs: vec![Some(output)], attrs: map })?;
        Ok(output)
    }

    fn weight(&mut self, name: String, tensor: Tensor) -> ValueId {
        self.graph.add_weight(name, Weight::Dense(tensor))
    }

    /// A one-dimensional constant.
    fn list<T: Element>(&mut self, name: String, values: &[T]) -> Result<ValueId> {
        let tensor = Tensor::new([values.len()], values)?;
        Ok(self.weight(name, tensor))
    }

    fn rank(&self, id: ValueId) -> Option<usize> {
        self.ranks.of(&self.graph, id)
    }
}

/// Takes an attribute out of a node.
fn take(node: &mut Node, name: &str) -> Option<Attr> {
    node.attrs.0.remove(name)
}

fn take_ints(node: &mut Node, name: &str) -> Option<Vec<i64>> {
    match take(node, name) {
        Some(Attr::Ints(values)) => Some(values),
        _ => None,
    }
}

/// Sets input `i`, which the older form did not have.
fn set_input(node: &mut Node, i: usize, value: ValueId) {
    if node.inputs.len() <= i {
        node.inputs.resize(i + 1, None);
    }
    node.inputs[i] = Some(value);
}

fn first_input(node: &Node) -> Result<ValueId> {
    node.input(0).ok_or_else(|| node.error("input 0 is missing"))
}

fn too_old(node: &Node, what: &str) -> Error {
    Error::Unsupported(format!(
        "{what} of operator {} `{}`: re-export the model with a newer opset",
        node.op, node.name
    ))
}
