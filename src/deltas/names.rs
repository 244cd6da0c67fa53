//! The weights of a graph by name.

use std::collections::BTreeMap;

use crate::graph::{Graph, ValueId, Weight};
use crate::{Error, Result};

/// Names need not be unique in a graph; those that are not have several weights.
pub struct Names<'a>(BTreeMap<&'a str, Vec<ValueId>>);

impl<'a> Names<'a> {
    pub fn of(graph: &'a Graph) -> Self {
        let mut names: BTreeMap<&str, Vec<ValueId>> = BTreeMap::new();
        for &id in graph.weights.keys() {
            names.entry(&graph.value(id).name).or_default().push(id);
        }
        Names(names)
    }

    /// Sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &[ValueId])> {
        self.0.iter().map(|(name, ids)| (*name, ids.as_slice()))
    }

    /// The weights of a name, in the order of their numbers.
    pub fn all(&self, name: &str) -> &[ValueId] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// The one weight of a name.
    pub fn one(&self, name: &str) -> Result<ValueId> {
        match self.all(name) {
            &[id] => Ok(id),
            [] => Err(Error::Usage(format!("the model has no tensor `{name}`: the delta is of another model"))),
            several => Err(Error::Usage(format!("{} tensors of the model are called `{name}`", several.len()))),
        }
    }
}

/// The weights of two graphs that belong together, sorted by name. `Error::Usage` unless both have the same names, and weights
/// of the same types and shapes under each.
pub fn pairs<'a>(one: &'a Graph, other: &'a Graph) -> Result<Vec<(&'a str, ValueId, ValueId)>> {
    let (names, others) = (Names::of(one), Names::of(other));
    let mut pairs = Vec::with_capacity(one.weights.len());
    for (name, ids) in names.iter() {
        let found = others.all(name);
        if ids.len() != found.len() {
            return Err(Error::Usage(format!("only one of the models has a tensor `{name}`, or one has more of them")));
        }
        for (&id, &found) in ids.iter().zip(found) {
            let types = [(one, id), (other, found)].map(|(graph, id)| graph.weights.get(&id).map(Weight::ty));
            if let [Some(one), Some(other)] = types
                && one != other
            {
                return Err(Error::Usage(format!(
                    "`{name}` is {} {:?} in one model and {} {:?} in the other",
                    one.dtype.name(),
                    one.shape,
                    other.dtype.name(),
                    other.shape
                )));
            }
            pairs.push((name, id, found));
        }
    }
    match others.iter().find(|(name, _)| names.all(name).is_empty()) {
        Some((name, _)) => Err(Error::Usage(format!("only one of the models has a tensor `{name}`"))),
        None => Ok(pairs),
    }
}
