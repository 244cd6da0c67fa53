//! How much channels matter (CFSP, Wang et al. 2024, its fine step).

use super::group::Group;
use super::slice::sizes;
use crate::Result;
use crate::compress::targets::in_f32;
use crate::graph::{Graph, Weight};

/// A number for each channel: `(Σ over weights of |w| / Σ over channels |w|) · ‖x‖`, where the inner sum is over the weights
/// that differ in the channel alone, and the outer is a mean for each of the group's matrices. `norms`: ‖x‖ of what the
/// readers see of each channel; without, all alike.
pub fn scores(graph: &Graph, group: &Group, norms: Option<&[f64]>) -> Result<Vec<f64>> {
    let mut scores = vec![0f64; group.count];
    for part in group.writers.iter().chain(&group.readers) {
        let node = &graph.nodes[part.node];
        let Some(weight) = node.input(part.input).and_then(|id| graph.weights.get(&id)) else { continue };
        add(&mut scores, weight, |shape| sizes(shape, part, group.count))?;
    }
    if let Some(norms) = norms.filter(|norms| norms.len() == scores.len()) {
        scores.iter_mut().zip(norms).for_each(|(score, norm)| *score *= norm);
    }
    Ok(scores)
}

/// Adds each channel's mean share of the lines of a weight. A head has `inner` rows of every line.
fn add(scores: &mut [f64], weight: &Weight, sizes: impl Fn(&[usize]) -> Result<[usize; 3]>) -> Result<()> {
    let dense = in_f32(weight)?;
    let [before, inner, after] = sizes(dense.shape())?;
    let data = dense.slice::<f32>()?;
    let mut totals = vec![0f64; before * after];
    let each = |visit: &mut dyn FnMut(usize, usize, f64)| {
        let mut rows = data.chunks_exact(after.max(1));
        for block in 0..before {
            for channel in 0..scores.len() {
                for row in rows.by_ref().take(inner) {
                    row.iter().enumerate().for_each(|(i, w)| visit(block * after + i, channel, f64::from(w.abs())));
                }
            }
        }
    };
    each(&mut |line, _, w| totals[line] += w);
    let mut shares = vec![0f64; scores.len()];
    each(&mut |line, channel, w| {
        if totals[line] > 0.0 {
            shares[channel] += w / totals[line];
        }
    });
    scores.iter_mut().zip(shares).for_each(|(score, share)| *score += share / totals.len().max(1) as f64);
    Ok(())
}

/// The `most` channels of the highest scores, in rising order; of equals the first.
pub fn best(scores: &[f64], most: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order.truncate(most);
    order.sort_unstable();
    order
}
