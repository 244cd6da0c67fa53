//! From a typed graph to a schedule: views resolved, lifetimes measured, slots assigned.

use super::memory::{self, Lifetime};
use super::{Place, Schedule, TypedGraph, ValueId};
use crate::tensor::TensorType;

/// Operators whose output is their first input under another shape.
const VIEWS: &[&str] = &["Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"];

/// `bytes_of` says how much the backend needs to store a value of a type.
pub fn schedule(typed: TypedGraph, bytes_of: fn(&TensorType) -> usize) -> Schedule {
    let TypedGraph { mut graph, types } = typed;
    let mut places = vec![Place::None; graph.values.len()];
    for (i, &id) in graph.inputs.iter().enumerate() {
        places[id.0 as usize] = Place::Input(i);
    }
    for &id in graph.weights.keys() {
        places[id.0 as usize] = Place::Weight(id);
    }

    // A view shares the storage of what it looks at; `root` is the value that owns that storage.
    let mut root: Vec<ValueId> = (0..graph.values.len() as u32).map(ValueId).collect();
    graph.nodes.retain(|node| {
        let lone = node.outputs.iter().skip(1).flatten().next().is_none();
        if !(VIEWS.contains(&node.op.as_str()) && lone) {
            return true;
        }
        if let (Some(source), Some(Some(out))) = (node.input(0), node.outputs.first()) {
            root[out.0 as usize] = root[source.0 as usize];
        }
        false
    });

    let end = graph.nodes.len();
    let mut lives: Vec<Option<Lifetime>> = vec![None; graph.values.len()];
    for (step, node) in graph.nodes.iter().enumerate() {
        for &id in node.outputs.iter().flatten() {
            let bytes = types[id.0 as usize].as_ref().map_or(0, bytes_of);
            lives[id.0 as usize] = Some(Lifetime { bytes, first: step, last: step });
        }
        for &id in node.inputs.iter().flatten() {
            if let Some(life) = &mut lives[root[id.0 as usize].0 as usize] {
                life.last = step;
            }
        }
    }
    for &id in &graph.outputs {
        if let Some(life) = &mut lives[root[id.0 as usize].0 as usize] {
            life.last = end;
        }
    }

    let owners: Vec<usize> = (0..lives.len()).filter(|&i| lives[i].is_some()).collect();
    let alive: Vec<Lifetime> = lives.iter().flatten().copied().collect();
    let plan = memory::plan(&alive);
    for (&owner, &slot) in owners.iter().zip(&plan.assignment) {
        places[owner] = Place::Slot(slot);
    }
    for i in 0..places.len() {
        places[i] = places[root[i].0 as usize];
    }
    Schedule { graph, types, places, slots: plan.slots }
}
