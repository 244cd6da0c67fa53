//! Who computes and who uses each value, kept up to date while a pass rewrites.

use crate::graph::{Node, TypedGraph, ValueId};

pub struct Index {
    /// By value: the node that computes it.
    producers: Vec<Option<usize>>,
    /// By value: how often it is used, graph outputs included.
    uses: Vec<usize>,
}

impl Index {
    pub fn of(typed: &TypedGraph) -> Self {
        Index { producers: typed.producers(), uses: typed.uses() }
    }

    pub fn producer(&self, id: ValueId) -> Option<usize> {
        self.producers.get(id.0 as usize).copied().flatten()
    }

    pub fn uses(&self, id: ValueId) -> usize {
        self.uses.get(id.0 as usize).copied().unwrap_or(0)
    }

    /// Puts `node` in the place of the one at `at`; nodes that nobody needs any more are left without inputs, outputs and operator,
    /// for `TypedGraph::prune`. Values that were added to the graph are in it already.
    pub fn replace(&mut self, typed: &mut TypedGraph, at: usize, node: Node) {
        self.producers.resize(typed.graph.values.len(), None);
        self.uses.resize(typed.graph.values.len(), 0);
        node.inputs.iter().flatten().for_each(|id| self.uses[id.0 as usize] += 1);
        let outputs = node.outputs.clone();
        let before = std::mem::replace(&mut typed.graph.nodes[at], node);
        before.outputs.iter().flatten().for_each(|id| self.producers[id.0 as usize] = None);
        outputs.iter().flatten().for_each(|id| self.producers[id.0 as usize] = Some(at));
        self.release(typed, before);
    }

    /// Takes back what a node used, and what is then needed for nothing.
    fn release(&mut self, typed: &mut TypedGraph, node: Node) {
        let mut gone = vec![node];
        while let Some(node) = gone.pop() {
            for &id in node.inputs.iter().flatten() {
                let uses = &mut self.uses[id.0 as usize];
                *uses = uses.saturating_sub(1);
                if *uses > 0 {
                    continue;
                }
                let Some(producer) = self.producer(id) else { continue };
                let needed = |id: &ValueId| self.uses(*id) > 0;
                if !typed.graph.nodes[producer].outputs.iter().flatten().any(needed) {
                    let nothing = Node {
                        name: String::new(),
                        op: String::new(),
                        inputs: Vec::new(),
                        outputs: Vec::new(),
                        attrs: Default::default(),
                    };
                    let unused = std::mem::replace(&mut typed.graph.nodes[producer], nothing);
                    unused.outputs.iter().flatten().for_each(|id| self.producers[id.0 as usize] = None);
                    gone.push(unused);
                }
            }
        }
    }
}
