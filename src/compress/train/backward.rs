//! From the gradient of an output back to those of the weights, node by node.

use std::collections::{BTreeMap, BTreeSet};

use super::super::walk::Values;
use super::step::{Gradient, Step};
use super::trained::Trained;
use super::{attention, elementwise, linear, movement, norm};
use crate::cpu::Threads;
use crate::graph::{Graph, Node, ValueId};
use crate::{Error, Result};

/// Operators with a gradient.
const OPERATORS: &[&[(&str, Gradient)]] =
    &[attention::GRADIENTS, elementwise::GRADIENTS, linear::GRADIENTS, movement::GRADIENTS, norm::GRADIENTS];

fn gradient_of(node: &Node) -> Result<Gradient> {
    let known = OPERATORS.iter().flat_map(|ops| ops.iter()).find(|(op, _)| *op == node.op);
    known.map(|(_, gradient)| *gradient).ok_or_else(|| {
        let what = format!("training (`--train`) does not know how `{}` goes backwards", node.op);
        Error::Unsupported(format!("{what}; it knows the operators of language models"))
    })
}

/// Trained weights, and values that depend on one.
fn needed(graph: &Graph, trained: &Trained) -> BTreeSet<ValueId> {
    let mut needed: BTreeSet<ValueId> = graph.weights.keys().copied().filter(|&id| trained.contains(id)).collect();
    for node in &graph.nodes {
        if node.inputs.iter().flatten().any(|id| needed.contains(id)) {
            needed.extend(node.outputs.iter().flatten());
        }
    }
    needed
}

/// Whether the gradient of `output` finds its way.
pub fn check(graph: &Graph, output: ValueId, trained: &Trained) -> Result<()> {
    let needed = needed(graph, trained);
    let mut reached = BTreeSet::from([output]);
    for node in graph.nodes.iter().rev() {
        if node.outputs.iter().flatten().any(|id| reached.contains(id) && needed.contains(id)) {
            gradient_of(node)?;
            reached.extend(node.inputs.iter().flatten());
        }
    }
    Ok(())
}

/// Adds to the gradients of `trained` what `output`'s gradient makes them, given all values of the graph.
pub fn backward(
    graph: &Graph,
    values: &Values,
    output: (ValueId, Vec<f32>),
    trained: &mut Trained,
    threads: &Threads,
) -> Result<()> {
    let needed = needed(graph, trained);
    let mut gradients = BTreeMap::from([output]);
    for node in graph.nodes.iter().rev() {
        let Some(id) = node.outputs.first().copied().flatten().filter(|id| needed.contains(id)) else { continue };
        let Some(gradient) = gradients.remove(&id) else { continue };
        let operator = gradient_of(node)?;
        let mut step = Step { node, graph, values, needed: &needed, gradient: &gradient, threads, given: Vec::new() };
        operator(&mut step)?;
        for (id, gradient) in step.given {
            if trained.contains(id) {
                trained.add(graph, id, &gradient, threads);
                continue;
            }
            match gradients.get_mut(&id) {
                Some(sum) => sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g),
                None => drop(gradients.insert(id, gradient)),
            }
        }
    }
    Ok(())
}
