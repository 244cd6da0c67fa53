//! Low-rank updates beside a weight instead of in it: a weight of few bits keeps them, and the update is computed of two thin
//! products, `y = W x + up · (down · x)`.

use std::collections::BTreeMap;

use super::LowRank;
use crate::Result;
use crate::graph::{Attr, Attrs, Graph, Node, ValueId, Weight};

/// Whether all that uses the weight are linear layers that take it as it is, without an activation behind.
pub fn fits(graph: &Graph, weight: ValueId) -> bool {
    let uses = |node: &&Node| node.inputs.contains(&Some(weight));
    let linear = |node: &Node| {
        node.op == "fewbit.Linear"
            && node.attrs.flag("transposed")
            && node.attrs.0.keys().all(|key| matches!(key.as_str(), "transposed" | "activations"))
            && node.inputs.iter().enumerate().all(|(i, &id)| (id == Some(weight)) == (i == 1))
            && node.input(0).is_some()
    };
    !graph.outputs.contains(&weight) && graph.nodes.iter().filter(uses).all(linear)
}

/// Adds the branches of weights that `fits`.
pub fn add(graph: &mut Graph, branches: &BTreeMap<ValueId, Vec<&LowRank>>) -> Result<()> {
    let mut factors: BTreeMap<ValueId, Vec<[ValueId; 2]>> = BTreeMap::new();
    for (&id, changes) in branches {
        for change in changes {
            let name = graph.value(id).name.clone();
            let down = graph.add_weight(format!("{name}.lora_down"), Weight::Dense(change.down().clone()));
            let up = graph.add_weight(format!("{name}.lora_up"), Weight::Dense(change.scaled_up()?));
            factors.entry(id).or_default().push([down, up]);
        }
    }
    for mut node in std::mem::take(&mut graph.nodes) {
        let found = node.input(1).and_then(|weight| factors.get(&weight));
        let (Some(factors), Some(x), Some(Some(output))) = (found, node.input(0), node.outputs.first().copied()) else {
            graph.nodes.push(node);
            continue;
        };
        let name = node.name.clone();
        let mut sum = graph.add_value(format!("{name}.base"));
        node.outputs[0] = Some(sum);
        graph.nodes.push(node);
        for (i, &[down, up]) in factors.iter().enumerate() {
            let attrs = || Attrs::from([("transposed", Attr::Int(1))]);
            let thin = graph.add_node("fewbit.Linear", &format!("{name}.down"), &[x, down], attrs());
            let update = graph.add_node("fewbit.Linear", &format!("{name}.up"), &[thin, up], attrs());
            // The last sum is what the layer's own output was.
            if i + 1 < factors.len() {
                sum = graph.add_node("Add", &format!("{name}.sum"), &[sum, update], Attrs::default());
                continue;
            }
            let inputs = vec![Some(sum), Some(update)];
            let (name, op) = (format!("{name}.sum"), "Add".into());
            graph.nodes.push(Node { name, op, inputs, outputs: vec![Some(output)], attrs: Attrs::default() });
        }
    }
    Ok(())
}
