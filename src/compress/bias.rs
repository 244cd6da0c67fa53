//! Biases that take back the mean error of each output (Nagel et al. 2019, §4.2).

use super::feedback::Statistics;
use super::targets::Target;
use crate::Result;
use crate::graph::{Graph, Weight};

/// `b −= (Ŵ − W) · mean(x)`, before `weight` replaces the dense one in the graph. Only where a bias is there and serves
/// this node alone.
pub fn correct(graph: &mut Graph, target: &Target, weight: &Weight, statistics: &Statistics) -> Result<()> {
    let node = target.output.and_then(|output| graph.nodes.iter().find(|n| n.outputs.first() == Some(&Some(output))));
    let (Some(node), Weight::Encoded(new)) = (node, weight) else { return Ok(()) };
    let Some(bias_id) = node.input(2) else { return Ok(()) };
    let users = graph.nodes.iter().filter(|n| n.inputs.contains(&Some(bias_id))).count();
    let (Some(Weight::Dense(bias)), Some(Weight::Dense(old))) =
        (graph.weights.get(&bias_id), graph.weights.get(&target.weight))
    else {
        return Ok(());
    };
    let rows = old.shape().first().copied().unwrap_or(0);
    let scaled = node.attrs.float_or("beta", 1.0) != 1.0 || node.attrs.float_or("alpha", 1.0) != 1.0;
    if users != 1 || bias.shape() != [rows] || bias.slice::<f32>().is_err() || scaled || statistics.shared {
        return Ok(());
    }
    let (old, mean) = (old.slice::<f32>()?, statistics.mean());
    if rows == 0 || old.len() != rows * mean.len() {
        return Ok(());
    }
    let mut bias = bias.clone();
    let mut decoded = vec![0f32; mean.len()];
    for (row, b) in bias.slice_mut::<f32>()?.iter_mut().enumerate() {
        new.as_encoding().decode(row, 0, &mut decoded);
        let old = &old[row * mean.len()..];
        *b -= mean.iter().enumerate().map(|(i, m)| (decoded[i] - old[i]) * m).sum::<f32>();
    }
    graph.weights.insert(bias_id, Weight::Dense(bias));
    Ok(())
}
