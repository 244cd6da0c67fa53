//! Where a layer's output counts: behind its own factors, and the sum with the stream that passes it by. What earlier
//! layers left wrong there, the layer can take back.

use crate::graph::{Graph, Node, ValueId, Weight};

use super::targets::Target;

/// `value = gain · output + …` of a layer's output; errors are measured at `value`.
pub struct Anchor {
    pub value: ValueId,
    /// Factor of each row, `[rows]`.
    pub gain: Vec<f32>,
}

/// The layer's own output, or the sum behind it; `None` when several nodes share the weight.
pub fn find(graph: &Graph, target: &Target, rows: usize) -> Option<Anchor> {
    let own = target.output?;
    let mut anchor = Anchor { value: own, gain: vec![1.0; rows] };
    let Some(mut next) = only_user(graph, own) else { return Some(anchor) };
    let mut value = own;
    if next.op == "Mul"
        && let Some(gain) = factor(graph, next, value, rows)
        && let Some(scaled) = next.outputs.first().copied().flatten()
    {
        anchor.gain = gain;
        anchor.value = scaled;
        value = scaled;
        match only_user(graph, value) {
            Some(user) => next = user,
            None => return Some(anchor),
        }
    }
    let other = next.inputs.iter().flatten().find(|id| **id != value);
    if next.op == "Add"
        && other.is_some_and(|id| !graph.weights.contains_key(id))
        && let Some(sum) = next.outputs.first().copied().flatten()
    {
        anchor.value = sum;
    }
    Some(anchor)
}

fn only_user(graph: &Graph, value: ValueId) -> Option<&Node> {
    let mut users = graph.nodes.iter().filter(|n| n.inputs.contains(&Some(value)));
    users.next().filter(|_| users.next().is_none() && !graph.outputs.contains(&value))
}

/// The constant that a product multiplies each of `rows` channels by, if it is along the last axis.
fn factor(graph: &Graph, node: &Node, value: ValueId, rows: usize) -> Option<Vec<f32>> {
    let other = node.inputs.iter().flatten().find(|id| **id != value)?;
    let constant = graph.weights.get(other).and_then(Weight::dense)?;
    let factors = constant.slice::<f32>().ok()?;
    // A factor of 0 leaves nothing to take back through.
    let usable = constant.shape() == [rows] && factors.iter().all(|f| f.abs() > f32::MIN_POSITIVE);
    usable.then(|| factors.to_vec())
}
