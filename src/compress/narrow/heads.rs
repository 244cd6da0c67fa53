//! Finds the heads of attentions: the layers that compute queries, keys and values, and the one that reads what they see.

use super::group::{Group, Kind, Links, Part, Product, shape};
use crate::graph::{Graph, ValueId};

/// Heads that can be left out, each of keys and values with the queries it serves, in the order of the graph.
pub fn find(graph: &Graph) -> Vec<Group> {
    let links = Links::of(graph);
    (0..graph.nodes.len()).filter_map(|at| heads(graph, &links, at)).collect()
}

fn heads(graph: &Graph, links: &Links, at: usize) -> Option<Group> {
    let node = &graph.nodes[at];
    let free = match node.op.as_str() {
        // A mask may differ from head to head, unless axes of size 1 were put into it.
        "Attention" => node.inputs[3..].iter().enumerate().all(|(i, id)| match id {
            None => true,
            Some(id) => i == 0 && links.producers.get(id).is_some_and(|&at| graph.nodes[at].op == "Unsqueeze"),
        }),
        "fewbit.CachedAttention" => true,
        _ => return None,
    };
    let count = |name: &str| usize::try_from(node.attrs.int_or(name, 0)).ok().filter(|&n| n > 0);
    let (queries, count) = (count("q_num_heads")?, count("kv_num_heads")?);
    let single = node.outputs.iter().flatten().count() == 1;
    if !free || !single || count < 2 || !queries.is_multiple_of(count) {
        return None;
    }
    let mut group = Group::new(Kind::Heads, count);
    group.attentions.push(at);
    for i in 0..3 {
        writer(graph, links, node.input(i)?, at, &mut group)?;
    }
    let seen = (*node.outputs.first()?)?;
    let &[reader] = links.users(seen) else { return None };
    let product = Product::of(graph, &graph.nodes[reader]).filter(|p| p.linear && p.inputs.is_multiple_of(count))?;
    if graph.outputs.contains(&seen) || graph.nodes[reader].input(0) != Some(seen) {
        return None;
    }
    group.readers.push(Part { node: reader, input: 1, axis: product.input_axis, outer: 1 });
    group.values.push(seen);
    Some(group)
}

/// Adds the layer that computes `value` for the node `user` alone, and the bias behind it.
fn writer(graph: &Graph, links: &Links, value: ValueId, user: usize, group: &mut Group) -> Option<()> {
    if links.users(value) != [user] || graph.outputs.contains(&value) {
        return None;
    }
    group.values.push(value);
    let at = *links.producers.get(&value)?;
    let node = &graph.nodes[at];
    let bias = |input: usize| -> Option<Part> {
        let shape = shape(graph, node.input(input)?)?;
        let axis = shape.len().checked_sub(1)?;
        shape[axis].is_multiple_of(group.count).then_some(Part { node: at, input, axis, outer: 1 })
    };
    if let Some(product) = Product::of(graph, node) {
        let bias = if node.input(2).is_some() { Some(bias(2)?) } else { None };
        if !product.linear || !product.outputs.is_multiple_of(group.count) {
            return None;
        }
        group.others.extend(bias);
        group.writers.push(Part { node: at, input: 1, axis: product.output_axis, outer: 1 });
        return Some(());
    }
    let constant = (0..node.inputs.len()).find(|&i| node.input(i).is_some_and(|id| graph.weights.contains_key(&id)))?;
    let other = node.input(1 - constant.min(1)).filter(|_| node.op == "Add")?;
    let bias = bias(constant)?;
    group.others.push(bias);
    writer(graph, links, other, at, group)
}
