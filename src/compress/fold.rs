//! Batch normalisation into the convolution before it: what is encoded should be what is multiplied.

use std::collections::HashMap;

use crate::Result;
use crate::graph::{Graph, Node, ValueId, Weight};
use crate::tensor::Tensor;

/// Folds every BatchNormalization whose input is a Conv used by nothing else: `W' = W · g`, `b' = (b − mean) · g + β`
/// with `g = γ / √(var + ε)` per output channel.
pub fn fold_batch_norms(graph: &mut Graph) -> Result<()> {
    let mut uses: HashMap<ValueId, usize> = HashMap::new();
    for &id in graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten()).chain(&graph.outputs) {
        *uses.entry(id).or_default() += 1;
    }
    let mut index = 0;
    while index < graph.nodes.len() {
        match fold(graph, &uses, index)? {
            Some(conv) => {
                // The convolution takes the place of the normalisation, whose output it now computes.
                graph.nodes[index] = conv.1;
                graph.nodes.remove(conv.0);
            }
            None => index += 1,
        }
    }
    let used: std::collections::HashSet<ValueId> =
        graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten()).chain(&graph.outputs).copied().collect();
    graph.weights.retain(|id, _| used.contains(id));
    Ok(())
}

/// The index of the convolution to remove, and the one to put at `index`.
fn fold(graph: &mut Graph, uses: &HashMap<ValueId, usize>, index: usize) -> Result<Option<(usize, Node)>> {
    let norm = &graph.nodes[index];
    if norm.op != "BatchNormalization" || norm.attrs.flag("training_mode") {
        return Ok(None);
    }
    let Some(input) = norm.input(0) else { return Ok(None) };
    let before = &graph.nodes[..index];
    let Some(at) = before.iter().position(|n| n.outputs.first() == Some(&Some(input))) else { return Ok(None) };
    let conv = &graph.nodes[at];
    let once = |id: ValueId| uses.get(&id) == Some(&1);
    let (Some(weight_id), true) = (conv.input(1), conv.op == "Conv" && once(input)) else { return Ok(None) };
    let constant = |id: Option<ValueId>| -> Option<Vec<f32>> {
        graph.weights.get(&id?).and_then(Weight::dense).and_then(|t| t.slice::<f32>().ok()).map(<[f32]>::to_vec)
    };
    let shape = graph.weights.get(&weight_id).map(|w| w.ty().shape).unwrap_or_default();
    let (Some(mut weight), Some(&rows), true) = (constant(Some(weight_id)), shape.first(), once(weight_id)) else {
        return Ok(None);
    };
    let parameters: Option<Vec<Vec<f32>>> = (1..5).map(|i| constant(norm.input(i))).collect();
    let bias = if conv.input(2).is_some() { constant(conv.input(2)) } else { Some(vec![0.0; rows]) };
    let (Some(parameters), Some(bias)) = (parameters, bias) else { return Ok(None) };
    let [gamma, beta, mean, variance] = parameters.as_slice() else { return Ok(None) };
    if rows == 0 || [gamma, beta, mean, variance, &bias].iter().any(|p| p.len() != rows) {
        return Ok(None);
    }

    let epsilon = norm.attrs.float_or("epsilon", 1e-5);
    let gain: Vec<f32> = gamma.iter().zip(variance).map(|(g, v)| g / (v + epsilon).sqrt()).collect();
    let cols = weight.len() / rows;
    for (row, g) in weight.chunks_mut(cols.max(1)).zip(&gain) {
        row.iter_mut().for_each(|w| *w *= g);
    }
    let bias: Vec<f32> = (0..rows).map(|r| (bias[r] - mean[r]) * gain[r] + beta[r]).collect();

    let (outputs, mut conv) = (norm.outputs.clone(), conv.clone());
    let bias_name = format!("{}.bias", conv.name);
    graph.weights.insert(weight_id, Weight::Dense(Tensor::new(shape, &weight)?));
    let bias_id = graph.add_weight(bias_name, Weight::Dense(Tensor::new([rows], &bias)?));
    conv.inputs.truncate(2);
    conv.inputs.push(Some(bias_id));
    conv.outputs = outputs;
    Ok(Some((at, conv)))
}
