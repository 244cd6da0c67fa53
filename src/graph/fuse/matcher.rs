//! What patterns ask of a graph.

use super::Index;
use crate::graph::{Attrs, Node, TypedGraph, ValueId};
use crate::tensor::DType;

pub struct Matcher<'a> {
    pub typed: &'a TypedGraph,
    pub index: &'a Index,
}

impl<'a> Matcher<'a> {
    pub fn node(&self, index: usize) -> &'a Node {
        &self.typed.graph.nodes[index]
    }

    /// The node that computes `id`, if it is of operator `op`.
    pub fn made_by(&self, id: ValueId, op: &str) -> Option<&'a Node> {
        self.producer(id).filter(|n| n.op == op)
    }

    pub fn producer(&self, id: ValueId) -> Option<&'a Node> {
        self.index.producer(id).map(|i| self.node(i))
    }

    /// Like `made_by`, when nothing else uses the value: only then may a pattern swallow it.
    pub fn only_from(&self, id: ValueId, op: &str) -> Option<&'a Node> {
        self.made_by(id, op).filter(|_| self.used_once(id))
    }

    pub fn used_once(&self, id: ValueId) -> bool {
        self.index.uses(id) == 1
    }

    pub fn shape(&self, id: ValueId) -> Option<&'a [usize]> {
        self.typed.shape(id)
    }

    pub fn is_f32(&self, id: ValueId) -> bool {
        self.typed.ty(id).is_some_and(|t| t.dtype == DType::F32)
    }

    pub fn scalar(&self, id: ValueId) -> Option<f32> {
        self.typed.scalar(id)
    }

    pub fn is_scalar(&self, id: ValueId, value: f32) -> bool {
        self.scalar(id).is_some_and(|v| (v - value).abs() <= 1e-6 * value.abs().max(1.0))
    }

    /// Values of a dense f32 constant.
    pub fn floats(&self, id: ValueId) -> Option<&'a [f32]> {
        self.typed.constant(id)?.slice::<f32>().ok()
    }

    /// Of a two-input node: (the input that satisfies `is`, the other), in either order.
    pub fn split(&self, node: &Node, is: impl Fn(ValueId) -> bool) -> Option<(ValueId, ValueId)> {
        let (a, b) = (node.input(0)?, node.input(1)?);
        if is(b) {
            Some((b, a))
        } else if is(a) {
            Some((a, b))
        } else {
            None
        }
    }

    /// A node of another operator that computes what `root` computed.
    pub fn replacement(&self, root: &Node, op: &str, inputs: Vec<Option<ValueId>>, attrs: Attrs) -> Node {
        Node { name: root.name.clone(), op: op.into(), inputs, outputs: vec![root.outputs[0]], attrs }
    }
}
