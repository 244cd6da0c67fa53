//! A node on the way back: what its operator reads and gives.

use std::borrow::Cow;
#[cfg(test)]
use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::super::walk::Values;
use crate::Result;
use crate::cpu::Threads;
use crate::graph::{Graph, Node, ValueId, Weight};
use crate::tensor::{DType, Shape, Tensor, TensorType};
use crate::weights::Encoded;

/// From the gradient of a node's first output to those of its inputs.
pub type Gradient = fn(&mut Step) -> Result<()>;

/// A node whose turn it is.
pub struct Step<'a> {
    pub node: &'a Node,
    pub graph: &'a Graph,
    pub values: &'a Values,
    /// What a gradient to leads anywhere.
    pub needed: &'a BTreeSet<ValueId>,
    /// Of the loss to the first output.
    pub gradient: &'a [f32],
    pub threads: &'a Threads,
    /// To inputs.
    pub given: Vec<(ValueId, Vec<f32>)>,
}

impl<'a> Step<'a> {
    /// Input `i`, if the node has it; a weight decoded.
    pub fn opt_input(&self, i: usize) -> Result<Option<Cow<'a, Tensor>>> {
        let Some(id) = self.node.input(i) else { return Ok(None) };
        match (self.values.get(&id), self.graph.weights.get(&id)) {
            (Some(value), _) => Ok(Some(Cow::Borrowed(value))),
            (None, Some(Weight::Dense(dense))) => Ok(Some(Cow::Borrowed(dense))),
            (None, Some(Weight::Encoded(encoded))) => decoded(encoded, self.threads).map(|t| Some(Cow::Owned(t))),
            _ => Err(self.node.error(format!("input {i} was not kept"))),
        }
    }

    pub fn input(&self, i: usize) -> Result<Cow<'a, Tensor>> {
        self.opt_input(i)?.ok_or_else(|| self.node.error(format!("input {i} is missing")))
    }

    /// The shape of input `i`, for which no weight is decoded.
    pub fn shape(&self, i: usize) -> Result<Shape> {
        let id = self.node.input(i).unwrap_or(ValueId(u32::MAX));
        let value = self.values.get(&id).map(|value| value.shape().into());
        let weight = || self.graph.weights.get(&id).map(|weight| weight.ty().shape);
        value.or_else(weight).ok_or_else(|| self.node.error(format!("input {i} is missing")))
    }

    /// Whether the gradient to input `i` leads anywhere.
    pub fn wants(&self, i: usize) -> bool {
        self.node.input(i).is_some_and(|id| self.needed.contains(&id))
    }

    /// The gradient to input `i`, of its shape.
    pub fn give(&mut self, i: usize, gradient: Vec<f32>) {
        self.given.extend(self.node.input(i).map(|id| (id, gradient)));
    }
}

/// A weight in f32, its rows decoded by all threads.
fn decoded(weight: &Encoded, threads: &Threads) -> Result<Tensor> {
    let mut dense = Tensor::zeros(TensorType::new(DType::F32, weight.shape()))?;
    let encoding = weight.as_encoding();
    threads.for_chunks(dense.slice_mut()?, weight.cols(), |row, out| encoding.decode(row, 0, out));
    Ok(dense)
}

/// The gradients to all inputs.
#[cfg(test)]
fn of_node(operator: Gradient, node: &Node, inputs: &[Tensor], gradient: &[f32]) -> Vec<Vec<f32>> {
    let ids = node.inputs.iter().copied().flatten();
    let values: Values = ids.clone().zip(inputs.iter().cloned()).collect();
    let (needed, graph) = (ids.collect(), Graph::default());
    let threads = Threads::new(2).unwrap();
    let mut step =
        Step { node, graph: &graph, values: &values, needed: &needed, gradient, threads: &threads, given: Vec::new() };
    operator(&mut step).unwrap();
    let mut given: BTreeMap<ValueId, Vec<f32>> = BTreeMap::new();
    for (id, gradient) in step.given {
        match given.get_mut(&id) {
            Some(sum) => sum.iter_mut().zip(gradient).for_each(|(s, g)| *s += g),
            None => drop(given.insert(id, gradient)),
        }
    }
    node.inputs.iter().map(|id| id.and_then(|id| given.remove(&id)).unwrap_or_default()).collect()
}

/// Checks an operator against the slopes of `outputs`, which computes the first output from its inputs in f64.
#[cfg(test)]
pub fn check_slopes(operator: Gradient, node: &Node, inputs: &[Tensor], outputs: impl Fn(&[Vec<f64>]) -> Vec<f64>) {
    let floats: Vec<Vec<f64>> = inputs
        .iter()
        .map(|t| t.slice::<f32>().map_or_else(|_| Vec::new(), |v| v.iter().map(|&v| f64::from(v)).collect()))
        .collect();
    let gradient: Vec<f32> = (0..outputs(&floats).len()).map(|i| ((i * 7 % 11) as f32 - 4.7) / 5.0).collect();
    let loss = |inputs: &[Vec<f64>]| outputs(inputs).iter().zip(&gradient).map(|(y, g)| y * f64::from(*g)).sum::<f64>();
    for (i, found) in of_node(operator, node, inputs, &gradient).into_iter().enumerate() {
        assert!(found.is_empty() || found.len() == floats[i].len(), "input {i}");
        let top = found.iter().fold(1f32, |top, v| top.max(v.abs()));
        for (at, found) in found.into_iter().enumerate() {
            let moved = |by: f64| {
                let mut inputs = floats.clone();
                inputs[i][at] += by;
                loss(&inputs)
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            let error = (slope - f64::from(found)).abs();
            assert!(error < 2e-5 * f64::from(top), "{} input {i} element {at}: {slope} against {found}", node.op);
        }
    }
}

#[cfg(test)]
pub fn node(op: &str, inputs: usize, attrs: crate::graph::Attrs) -> Node {
    let ids = |from: usize, to: usize| (from..to).map(|i| Some(ValueId(i as u32))).collect();
    Node { name: op.into(), op: op.into(), inputs: ids(0, inputs), outputs: ids(inputs, inputs + 1), attrs }
}

#[cfg(test)]
pub fn noise(shape: &[usize], seed: u64) -> Tensor {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
    Tensor::new(shape, &values).unwrap()
}
