//! Leaves channels out of a graph.

use super::closure::even_split;
use super::group::{Group, Part};
use crate::compress::targets::in_f32;
use crate::graph::{Attr, Graph, Weight};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Keeps the channels `kept`, in rising order, of a group. Weights in few bits become f32; one that other nodes read too
/// stays for them, and this group gets a copy.
pub fn keep(graph: &mut Graph, group: &Group, kept: &[usize]) -> Result<()> {
    for part in group.writers.iter().chain(&group.readers).chain(&group.others) {
        narrow(graph, part, group.count, kept)?;
    }
    for &at in &group.depthwise {
        graph.nodes[at].attrs.set("group", Attr::Int(kept.len() as i64));
    }
    group.splits.iter().for_each(|&at| even_split(&mut graph.nodes[at]));
    for &at in &group.attentions {
        for name in ["q_num_heads", "kv_num_heads"] {
            let heads = graph.nodes[at].attrs.int_or(name, 0) / group.count as i64;
            graph.nodes[at].attrs.set(name, Attr::Int(heads * kept.len() as i64));
        }
    }
    for (at, sizes) in &group.reshapes {
        let name = free(graph, format!("{}.sizes", graph.nodes[*at].name));
        let sizes = graph.add_weight(name, Weight::Dense(Tensor::new([sizes.len()], sizes)?));
        graph.nodes[*at].inputs[1] = Some(sizes);
        graph.nodes[*at].attrs.set("allowzero", Attr::Int(0));
    }
    for &id in &group.values {
        graph.values[id.0 as usize].dims = None;
    }
    Ok(())
}

fn narrow(graph: &mut Graph, part: &Part, count: usize, kept: &[usize]) -> Result<()> {
    let node = &graph.nodes[part.node];
    let found = node.input(part.input).and_then(|id| Some((id, graph.weights.get(&id)?)));
    let (id, weight) = found.ok_or_else(|| node.error(format!("input {} is no constant", part.input)))?;
    let dense = in_f32(weight)?;
    let data = dense.slice::<f32>()?;
    let [before, inner, after] = sizes(dense.shape(), part, count)?;
    let run = inner * after;
    let mut values = Vec::with_capacity(before * kept.len() * run);
    for block in 0..before {
        for &channel in kept {
            values.extend_from_slice(&data[(block * count + channel) * run..][..run]);
        }
    }
    let mut shape = dense.shape().to_vec();
    shape[part.axis] = part.outer * kept.len() * inner;
    let weight = Weight::Dense(Tensor::new(shape, &values)?);
    let uses = graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten()).chain(&graph.outputs);
    if uses.filter(|&&used| used == id).count() == 1 {
        graph.weights.insert(id, weight);
        return Ok(());
    }
    let name = free(graph, format!("{}.of.{}", graph.value(id).name, graph.nodes[part.node].name));
    graph.nodes[part.node].inputs[part.input] = Some(graph.add_weight(name, weight));
    Ok(())
}

/// The name, or one like it that no value has.
fn free(graph: &Graph, mut name: String) -> String {
    while graph.find(&name).is_some() {
        name.push('\'');
    }
    name
}

/// A constant's elements as `[before, channels, inner, after]`, without the number of channels: `inner` elements of the part's axis
/// belong to each.
pub fn sizes(shape: &[usize], part: &Part, count: usize) -> Result<[usize; 3]> {
    let size = shape.get(part.axis).copied().unwrap_or(0);
    let channels = part.outer * count;
    if channels == 0 || size == 0 || !size.is_multiple_of(channels) {
        return Err(Error::Usage(format!(
            "a weight of shape {shape:?} has no {channels} channels along axis {}",
            part.axis
        )));
    }
    let product = |sizes: &[usize]| sizes.iter().product::<usize>();
    Ok([product(&shape[..part.axis]) * part.outer, size / channels, product(&shape[part.axis + 1..])])
}
