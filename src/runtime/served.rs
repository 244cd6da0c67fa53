//! What a session has of the graph that it runs.

use std::collections::BTreeSet;

use super::goal::Goal;
use super::plan::Plan;
use crate::Result;
use crate::graph::{Graph, ValueId};
use crate::tensor::TensorType;

pub struct Served {
    pub graph: Graph,
    /// Inputs whose values decide shapes: part of the plan's key.
    pub by_value: BTreeSet<ValueId>,
    pub plans: Vec<(Key, Plan)>,
    #[cfg(any(feature = "cli", feature = "full"))]
    pub masters: super::elastic::Masters,
    #[cfg(feature = "full")]
    pub kept: super::kept::Kept,
    /// The graph was looked at for values in half precision.
    #[cfg(feature = "full")]
    pub widened: bool,
}

#[derive(PartialEq)]
pub struct Key {
    pub types: Vec<TensorType>,
    pub values: Vec<Vec<u8>>,
    pub goal: Goal,
}

impl Served {
    /// Checks the graph.
    pub fn new(graph: &Graph) -> Result<Self> {
        graph.validate()?;
        #[allow(unused_mut, reason = "builds without elastic weights")]
        let mut graph = graph.clone();
        Ok(Served {
            #[cfg(any(feature = "cli", feature = "full"))]
            masters: super::elastic::Masters::take(&mut graph)?,
            #[cfg(feature = "full")]
            kept: super::kept::Kept::of(&graph),
            #[cfg(feature = "full")]
            widened: false,
            graph,
            by_value: BTreeSet::new(),
            plans: Vec::new(),
        })
    }
}
