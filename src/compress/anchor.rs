//! Where a layer's output counts: behind its own factors, and the sum with the stream that passes it by. What earlier
//! layers left wrong there, the layer can take back.

use super::targets::{Layout, Target};
use crate::graph::{Graph, Node, ValueId, Weight};

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
        && matches!(target.inputs, Some((_, Layout::ChannelsLast)))
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

/// The constant `[rows]` that a product multiplies each channel of the last axis by.
fn factor(graph: &Graph, node: &Node, value: ValueId, rows: usize) -> Option<Vec<f32>> {
    let other = node.inputs.iter().flatten().find(|id| **id != value)?;
    let constant = graph.weights.get(other).and_then(Weight::dense)?;
    let factors = constant.slice::<f32>().ok()?;
    // A factor of 0 leaves nothing to take back through.
    let usable = constant.shape() == [rows] && factors.iter().all(|f| f.abs() > f32::MIN_POSITIVE);
    usable.then(|| factors.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Attrs;
    use crate::tensor::{DType, Tensor};

    fn dense(graph: &mut Graph, shape: &[usize], value: f32) -> ValueId {
        let data = vec![value; shape.iter().product()];
        graph.add_weight("w", Weight::Dense(Tensor::new(shape, &data).unwrap()))
    }

    #[test]
    fn factors_and_the_sum_behind_a_layer_are_found() {
        for (factor, sum) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut graph = Graph::default();
            let x = graph.add_input("x", DType::F32, vec![]);
            let weight = dense(&mut graph, &[2, 2], 1.0);
            let own = graph.add_node("fewbit.Linear", "own", &[x, weight], Attrs::default());
            let mut last = own;
            if factor {
                let gain = dense(&mut graph, &[2], 0.5);
                last = graph.add_node("Mul", "scaled", &[gain, last], Attrs::default());
            }
            if sum {
                last = graph.add_node("Add", "sum", &[x, last], Attrs::default());
            }
            graph.outputs.push(last);
            let target =
                Target { name: "w".into(), weight, inputs: Some((x, Layout::ChannelsLast)), output: Some(own) };
            let anchor = find(&graph, &target, 2).unwrap();
            assert_eq!((anchor.value, anchor.gain), (last, vec![if factor { 0.5 } else { 1.0 }; 2]));
            assert!(find(&graph, &Target { output: None, ..target }, 2).is_none());
        }
    }
}
