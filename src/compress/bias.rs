//! Biases that take back the mean error of each output (Nagel et al. 2019, §4.2).

use super::feedback::Statistics;
use super::targets::{Target, dense};
use crate::Result;
use crate::graph::{Graph, ValueId, Weight};
use crate::tensor::Tensor;

/// The bias `[rows]` of a target's node, where it can be changed: it serves this node alone.
pub fn of(graph: &Graph, target: &Target, rows: usize) -> Option<ValueId> {
    let output = target.output?;
    let node = graph.nodes.iter().find(|n| n.outputs.first() == Some(&Some(output)))?;
    let id = node.input(2)?;
    let users = graph.nodes.iter().filter(|n| n.inputs.contains(&Some(id))).count();
    let bias = graph.weights.get(&id).and_then(Weight::dense)?;
    let scaled = node.attrs.float_or("beta", 1.0) != 1.0 || node.attrs.float_or("alpha", 1.0) != 1.0;
    (users == 1 && bias.shape() == [rows] && bias.slice::<f32>().is_ok() && !scaled).then_some(id)
}

/// Adds to a bias.
pub fn shift(graph: &mut Graph, id: ValueId, by: &[f32]) -> Result<()> {
    let Some(Weight::Dense(bias)) = graph.weights.get_mut(&id) else { return Ok(()) };
    bias.slice_mut::<f32>()?.iter_mut().zip(by).for_each(|(b, by)| *b += by);
    Ok(())
}

/// `(W − Ŵ) · mean(x)`, `[rows]`.
pub fn lost(old: &Tensor, new: &Weight, mean: &[f32]) -> Result<Vec<f32>> {
    let Weight::Encoded(new) = new else { return Ok(Vec::new()) };
    let mut decoded = vec![0f32; mean.len()];
    let rows = old.slice::<f32>()?.chunks_exact(mean.len().max(1)).enumerate();
    let one = |(row, old): (usize, &[f32])| {
        new.as_encoding().decode(row, 0, &mut decoded);
        old.iter().zip(&decoded).zip(mean).map(|((old, new), m)| (old - new) * m).sum()
    };
    Ok(rows.map(one).collect())
}

/// `b += (W − Ŵ) · mean(x)`, before `weight` replaces the dense one in the graph.
pub fn correct(graph: &mut Graph, target: &Target, weight: &Weight, statistics: &Statistics) -> Result<()> {
    let old = dense(graph, target)?.into_owned();
    let (rows, mean) = (old.shape().first().copied().unwrap_or(0), statistics.mean());
    let Some(bias) = of(graph, target, rows).filter(|_| !statistics.shared && old.len() == rows * mean.len()) else {
        return Ok(());
    };
    let by = lost(&old, weight, &mean)?;
    shift(graph, bias, &by)
}
