//! Early exits: places in a graph where it may stop, told by the names of its outputs.
//!
//! An exit behind LAYER layers is an output `exit.LAYER.uncertainty`, f32, a number for each of a batch, and for every other
//! output NAME of the model one `exit.LAYER.NAME` that stands for it. How many layers there are says the manifest's
//! `layers`; without, the last exit is one layer before the end.

use super::Graph;
#[cfg(feature = "full")]
use super::{Model, ValueId};
#[cfg(feature = "full")]
use crate::{Error, Result};

/// A place to stop.
#[cfg(feature = "full")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Layers that run before it.
    pub layers: usize,
    pub uncertainty: ValueId,
    /// What stands for the model's outputs, in their order.
    pub outputs: Vec<ValueId>,
}

fn of_exit(name: &str) -> Option<(usize, &str)> {
    let (layers, name) = name.strip_prefix("exit.")?.split_once('.')?;
    Some((layers.parse().ok()?, name))
}

impl Graph {
    /// The same without outputs of exits.
    pub fn without_exits(&self) -> Graph {
        let mut graph = self.clone();
        graph.outputs.retain(|&id| of_exit(&self.value(id).name).is_none());
        graph
    }

    /// Exits by layers. `Error::Format` if one lacks an output.
    #[cfg(feature = "full")]
    pub fn exits(&self) -> Result<Vec<Exit>> {
        let name = |id: ValueId| self.value(id).name.as_str();
        let mut depths: Vec<usize> = self.outputs.iter().filter_map(|&id| Some(of_exit(name(id))?.0)).collect();
        depths.sort_unstable();
        depths.dedup();
        let whole = self.without_exits().outputs;
        let exit = |layers: usize| {
            let find = |part: &str| {
                let wanted = format!("exit.{layers}.{part}");
                let found = self.outputs.iter().copied().find(|&id| name(id) == wanted);
                found.ok_or_else(|| Error::format(&self.name, format!("an early exit without the output `{wanted}`")))
            };
            let outputs = whole.iter().map(|&id| find(name(id))).collect::<Result<_>>()?;
            Ok(Exit { layers, uncertainty: find("uncertainty")?, outputs })
        };
        depths.into_iter().map(exit).collect()
    }
}

#[cfg(feature = "full")]
impl Model {
    /// Layers of a model with exits.
    pub fn layers(&self, exits: &[Exit]) -> usize {
        let told = self.manifest.extra.get("layers").and_then(|value| usize::try_from(value.as_u64()?).ok());
        let deepest = exits.last().map_or(0, |exit| exit.layers);
        told.filter(|&layers| layers >= deepest).unwrap_or(deepest.saturating_add(1))
    }
}
