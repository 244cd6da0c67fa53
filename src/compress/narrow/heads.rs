//! Finds the heads of attentions: the layers that compute queries, keys and values, and the one that reads what they see.

use super::group::{Group, Kind, Links, Part, Product, writer};
use super::spelled;
use crate::graph::Graph;

/// Heads that can be left out, each of keys and values with the queries it serves, in the order of the graph.
pub fn find(graph: &Graph) -> Vec<Group> {
    let links = Links::of(graph);
    (0..graph.nodes.len())
        .filter_map(|at| heads(graph, &links, at).or_else(|| spelled::find(graph, &links, at)))
        .collect()
}

fn heads(graph: &Graph, links: &Links, at: usize) -> Option<Group> {
    let node = &graph.nodes[at];
    let free = match node.op.as_str() {
        // A mask may differ from head to head, unless axes of size 1 were put into it.
        "Attention" => node.inputs.iter().skip(3).enumerate().all(|(i, id)| match id {
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
