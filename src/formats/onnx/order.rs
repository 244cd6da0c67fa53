//! Puts the nodes of a file in an order in which each follows those whose outputs it reads.

use std::collections::{BTreeSet, HashMap};

use super::proto::NodeProto;
use crate::{Error, Result};

/// Stable: a file in order, as the standard asks, stays as it is. A cycle is an error.
pub fn topological(file: &str, nodes: Vec<NodeProto>) -> Result<Vec<NodeProto>> {
    let mut producer: HashMap<&str, usize> = HashMap::new();
    for (i, node) in nodes.iter().enumerate() {
        producer.extend(node.output.iter().filter(|o| !o.is_empty()).map(|o| (o.as_str(), i)));
    }
    let mut waits = vec![0usize; nodes.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    let mut ordered = true;
    for (i, node) in nodes.iter().enumerate() {
        for &from in node.input.iter().filter_map(|name| producer.get(name.as_str())) {
            ordered &= from < i;
            waits[i] += 1;
            readers[from].push(i);
        }
    }
    if ordered {
        return Ok(nodes);
    }
    let mut ready: BTreeSet<usize> = BTreeSet::new();
    ready.extend((0..nodes.len()).filter(|&i| waits[i] == 0));
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(i) = ready.pop_first() {
        order.push(i);
        for &reader in &readers[i] {
            waits[reader] -= 1;
            if waits[reader] == 0 {
                ready.insert(reader);
            }
        }
    }
    if order.len() < nodes.len() {
        let stuck = nodes.iter().zip(&waits).find(|(_, w)| **w > 0).map(|(n, _)| n.op_type.clone().unwrap_or_default());
        let what = format!("the graph has a cycle through a {} node", stuck.unwrap_or_default());
        return Err(Error::format(file, what));
    }
    let mut slots: Vec<Option<NodeProto>> = nodes.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|i| slots[i].take()).collect())
}
