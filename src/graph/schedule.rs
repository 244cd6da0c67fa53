//! A graph ready to execute: every shape known, views resolved, every value given a place.

use super::{Graph, ValueId};
use crate::tensor::TensorType;

/// Where a value lives while the graph runs. A view (reshape, squeeze, …) has the place of what it looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Never computed or never used.
    None,
    /// The caller's tensor number `n` of `graph.inputs`.
    Input(usize),
    /// The graph's weight of this id.
    Weight(ValueId),
    /// Slot number `n` of the arena.
    Slot(usize),
}

/// What both backends execute: `graph.nodes` in order, without view operators.
#[derive(Clone, Debug)]
pub struct Schedule {
    pub graph: Graph,
    /// Type by value; `None` for values that are never computed.
    pub types: Vec<Option<TensorType>>,
    /// Place by value.
    pub places: Vec<Place>,
    /// Bytes of each arena slot.
    pub slots: Vec<usize>,
}

impl Schedule {
    pub fn ty(&self, id: ValueId) -> Option<&TensorType> {
        self.types[id.0 as usize].as_ref()
    }

    pub fn place(&self, id: ValueId) -> Place {
        self.places[id.0 as usize]
    }
}
