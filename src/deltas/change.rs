//! A delta: what becomes of tensors of a base, by their names.

use std::collections::BTreeMap;

use super::{LowRank, Rows, Sparse, Ternary};
use crate::Result;
use crate::tensor::{Shape, Tensor};
use crate::weights::Stored;

#[derive(Clone, Debug, Default)]
pub struct Delta {
    /// `identity` of the base that it was made for; adapters of other programs do not say it.
    pub base: Option<String>,
    /// By the names of the base's tensors.
    pub changes: BTreeMap<String, Change>,
}

/// What becomes of one tensor. All but `Whole` are added, so that several come together.
#[derive(Clone, Debug)]
pub enum Change {
    Ternary(Ternary),
    Sparse(Sparse),
    Rows(Rows),
    LowRank(LowRank),
    /// Another tensor of the same type in its place.
    Whole(Tensor),
}

impl Change {
    /// The word that names it in files.
    pub fn kind(&self) -> &'static str {
        match self {
            Change::Ternary(_) => "ternary",
            Change::Sparse(_) => "sparse",
            Change::Rows(_) => "rows",
            Change::LowRank(_) => "lowrank",
            Change::Whole(_) => "whole",
        }
    }

    /// Builds it from its stored form, all of which is checked; `None` for a `kind` that does not exist.
    pub fn restore(kind: &str, shape: Shape, stored: &Stored) -> Option<Result<Self>> {
        Some(match kind {
            "ternary" => Ternary::restore(shape, stored).map(Change::Ternary),
            "sparse" => Sparse::restore(shape, stored).map(Change::Sparse),
            "rows" => Rows::restore(shape, stored).map(Change::Rows),
            "lowrank" => LowRank::restore(shape, stored).map(Change::LowRank),
            "whole" => stored.part("tensor").and_then(|tensor| tensor.reshaped(shape)).map(Change::Whole),
            _ => return None,
        })
    }

    /// Shape of the tensor that it changes.
    pub fn shape(&self) -> &[usize] {
        match self {
            Change::Ternary(change) => change.shape(),
            Change::Sparse(change) => change.shape(),
            Change::Rows(change) => change.shape(),
            Change::LowRank(change) => change.shape(),
            Change::Whole(tensor) => tensor.shape(),
        }
    }

    /// Values that it changes.
    pub fn count(&self) -> usize {
        match self {
            Change::Ternary(change) => change.count(),
            Change::Sparse(change) => change.count(),
            Change::Rows(change) => change.count(),
            Change::LowRank(change) => change.count(),
            Change::Whole(tensor) => tensor.len(),
        }
    }

    /// Adds it to the flattened tensor; `Whole`, which is not added, leaves it as it is.
    pub fn add(&self, values: &mut [f32]) {
        match self {
            Change::Ternary(change) => change.add(values),
            Change::Sparse(change) => change.add(values),
            Change::Rows(change) => change.add(values),
            Change::LowRank(change) => change.add(values),
            Change::Whole(_) => {}
        }
    }

    /// The numbers beside the shape that the stored form needs.
    pub fn fields(&self) -> Vec<(&'static str, usize)> {
        match self {
            Change::Ternary(change) => change.fields(),
            Change::Sparse(change) => change.fields(),
            Change::Rows(_) | Change::LowRank(_) | Change::Whole(_) => Vec::new(),
        }
    }

    /// The tensors of the stored form.
    pub fn parts(&self) -> Vec<(&'static str, &Tensor)> {
        match self {
            Change::Ternary(change) => change.parts(),
            Change::Sparse(change) => change.parts(),
            Change::Rows(change) => change.parts(),
            Change::LowRank(change) => change.parts(),
            Change::Whole(tensor) => vec![("tensor", tensor)],
        }
    }

    /// Bytes of the stored form.
    pub fn bytes(&self) -> usize {
        self.parts().iter().map(|(_, part)| part.bytes().len()).sum()
    }
}
