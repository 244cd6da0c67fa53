//! Linear layers as two thinner ones: `W ≈ left · right`, with bias and activation on the second, where that makes them
//! smaller.

use std::collections::HashMap;

use super::calibrate::Inputs;
use super::feedback::Statistics;
use super::spec::Rank;
use super::svd::{self, Factors};
use super::targets::{Layout, Target, dense};
use crate::Result;
use crate::graph::{Attr, Attrs, Graph, Node, Weight};
use crate::tensor::Tensor;

/// Splits the layers of a target into two, if that makes them smaller; `None` leaves all as it was. Statistics of the inputs decide what matters, and those of the second factor's inputs are added to them.
pub fn split(
    graph: &mut Graph,
    target: &Target,
    rank: Rank,
    statistics: &mut HashMap<Inputs, Statistics>,
) -> Result<Option<[Target; 2]>> {
    let dense = dense(graph, target)?.into_owned();
    let Some((_, Layout::ChannelsLast)) = target.inputs else { return Ok(None) };
    // Factors are no table of embeddings.
    let product = |n: &Node| n.input(1) == Some(target.weight);
    if graph.nodes.iter().any(|n| n.inputs.contains(&Some(target.weight)) && !product(n)) {
        return Ok(None);
    }
    let &[rows, cols] = dense.shape() else { return Ok(None) };
    let pays = |rank: usize| rank * (rows + cols) < rows * cols;
    let (most, least) = match rank {
        Rank::Share(share) => (((rows.min(cols) as f64 * share).round() as usize).max(1), 0.0),
        // One more than pays tells that there are too many.
        Rank::Threshold(least) => ((rows * cols).div_ceil((rows + cols).max(1)).min(rows.min(cols)), least),
    };
    if least == 0.0 && !pays(most) {
        return Ok(None);
    }
    let seen = target.inputs.and_then(|inputs| statistics.get(&inputs)).filter(|s| s.samples > 0);
    let factors = weighted(dense.slice::<f32>()?, [rows, cols], most, least, seen);
    let rank = factors.rank;
    if rank == 0 || !pays(rank) {
        return Ok(None);
    }
    let passed = seen.map(|s| s.through(&factors.right));

    let right_name = format!("{}.right", target.name);
    let right = graph.add_weight(right_name.clone(), Weight::Dense(Tensor::new([rank, cols], &factors.right)?));
    graph.weights.insert(target.weight, Weight::Dense(Tensor::new([rows, rank], &factors.left)?));
    let mut second = target.clone();
    let mut first = Target { name: right_name, weight: right, output: None, ..target.clone() };
    let mut index = 0;
    while index < graph.nodes.len() {
        if graph.nodes[index].input(1) == Some(target.weight) {
            let name = format!("{}.right", graph.nodes[index].name);
            let middle = graph.add_value(name.clone());
            let input = graph.nodes[index].inputs[0].replace(middle);
            let mut attrs = Attrs::default();
            attrs.set("transposed", Attr::Int(1));
            let (inputs, outputs) = (vec![input, Some(right)], vec![Some(middle)]);
            graph.nodes.insert(index, Node { name, op: "fewbit.Linear".into(), inputs, outputs, attrs });
            (first.output, second.inputs) = (None, Some((middle, Layout::ChannelsLast)));
            index += 1;
        }
        index += 1;
    }
    if let (Some(passed), Some(inputs)) = (passed, second.inputs) {
        statistics.insert(inputs, passed);
    }
    Ok(Some([first, second]))
}

/// Factors of least error, each column weighted by the root of its input's mean square.
fn weighted(data: &[f32], [rows, cols]: [usize; 2], most: usize, least: f64, seen: Option<&Statistics>) -> Factors {
    let Some(seen) = seen.filter(|s| s.inputs == cols) else { return svd::factors(data, rows, cols, most, least) };
    let weights: Vec<f32> = seen.importance().iter().map(|i| i.sqrt()).collect();
    let scaled: Vec<f32> =
        data.chunks_exact(cols).flat_map(|row| row.iter().zip(&weights).map(|(v, w)| v * w)).collect();
    let mut factors = svd::factors(&scaled, rows, cols, most, least);
    for row in factors.right.chunks_exact_mut(cols) {
        row.iter_mut().zip(&weights).for_each(|(v, w)| *v /= w);
    }
    factors
}
