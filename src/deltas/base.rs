//! A model that deltas are put on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::{Change, Delta, LowRank, Names, branch, identity};
use crate::cpu::Threads;
use crate::graph::{Graph, ValueId, Weight};
use crate::tensor::{DType, Tensor, TensorType};
use crate::weights::{Encoded, HalfFloat};
use crate::{Error, Result};

/// The graph as it was loaded. Nothing here writes to its tensors.
pub struct Base {
    graph: Graph,
    identity: OnceLock<String>,
}

impl Base {
    /// Shares the graph's weights.
    pub fn new(graph: &Graph) -> Self {
        Base { graph: graph.clone(), identity: OnceLock::new() }
    }

    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// See `identity`; computed once, when a delta first asks for it.
    pub fn identity(&self) -> &str {
        self.identity.get_or_init(|| identity(&self.graph))
    }

    /// The graph with all of the deltas: a tensor that one of them replaces (of several the last) and what the others add, in
    /// their order, in f32, rounded to the tensor's type. Tensors that none changes are shared with the base, so a graph
    /// costs the memory of what it changes.
    ///
    /// A weight of few bits that low-rank updates alone change, and linear layers alone use, keeps its bits, and the updates
    /// stand beside it; any other change makes it a dense f32 tensor. One in half precision stays so, if it then has room for
    /// the sums.
    ///
    /// `Error::Usage` for a delta of another base, or one whose tensors are not the base's.
    pub fn apply(&self, deltas: &[&Delta], threads: &Threads) -> Result<Graph> {
        let names = Names::of(&self.graph);
        let mut changes: BTreeMap<ValueId, Vec<&Change>> = BTreeMap::new();
        for delta in deltas {
            if let Some(base) = delta.base.as_ref().filter(|base| *base != self.identity()) {
                let own = self.identity();
                return Err(Error::Usage(format!(
                    "the delta was made for another model: its base has the SHA-256 {base:.12}…, this one {own:.12}…"
                )));
            }
            for (name, change) in &delta.changes {
                let id = names.one(name)?;
                self.check(name, id, change)?;
                changes.entry(id).or_default().push(change);
            }
        }

        let mut branches: BTreeMap<ValueId, Vec<&LowRank>> = BTreeMap::new();
        changes.retain(|&id, changes| match self.beside(id, changes) {
            Some(factors) => {
                branches.insert(id, factors);
                false
            }
            None => true,
        });
        let done: Mutex<Vec<(ValueId, Result<Weight>)>> = Mutex::default();
        threads.for_each(changes.into_iter().collect(), |(id, changes)| {
            let changed = self.changed(id, &changes);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((id, changed));
        });
        let mut graph = self.graph.clone();
        for (id, weight) in done.into_inner().unwrap_or_else(PoisonError::into_inner) {
            graph.weights.insert(id, weight?);
        }
        branch::add(&mut graph, &branches)?;
        Ok(graph)
    }

    /// Refuses a change that is not of the weight's type.
    fn check(&self, name: &str, id: ValueId, change: &Change) -> Result<()> {
        let Some(ty) = self.graph.weights.get(&id).map(Weight::ty) else { return Ok(()) };
        let fits = match change {
            Change::Whole(tensor) => *tensor.ty() == ty,
            added => added.shape() == ty.shape && is_changed_in_f32(ty.dtype),
        };
        if fits {
            return Ok(());
        }
        Err(Error::Usage(format!(
            "the delta changes `{name}` as a tensor of shape {:?}, but the model has one of {} {:?}",
            change.shape(),
            ty.dtype.name(),
            ty.shape
        )))
    }

    /// The changes as branches, if they are to stand beside the weight.
    fn beside<'a>(&self, id: ValueId, changes: &[&'a Change]) -> Option<Vec<&'a LowRank>> {
        let factors = |change: &&'a Change| match change {
            Change::LowRank(factors) => Some(factors),
            _ => None,
        };
        let few_bits = matches!(self.graph.weights.get(&id), Some(Weight::Encoded(_)));
        let factors = changes.iter().map(factors).collect::<Option<Vec<_>>>()?;
        (few_bits && branch::fits(&self.graph, id)).then_some(factors)
    }

    /// The weight with its changes.
    fn changed(&self, id: ValueId, changes: &[&Change]) -> Result<Weight> {
        let whole = changes.iter().rev().find_map(|change| match change {
            Change::Whole(tensor) => Some(tensor.clone()),
            _ => None,
        });
        let mut in_halves = false;
        let from = match (whole, self.graph.weights.get(&id)) {
            (Some(whole), _) => whole,
            (None, Some(Weight::Dense(tensor))) => tensor.clone(),
            (None, Some(Weight::Encoded(encoded))) => {
                in_halves = matches!(**encoded, Encoded::HalfFloat(_));
                encoded.to_dense()?
            }
            (None, None) => return Err(Error::Usage(format!("value {} is no weight", id.0))),
        };
        if changes.iter().all(|change| matches!(change, Change::Whole(_))) {
            return Ok(Weight::Dense(from));
        }
        let dtype = from.dtype();
        let mut sum = match dtype {
            DType::F32 => from,
            _ => Tensor::new(from.shape(), &from.to_f32()?)?,
        };
        let values = sum.slice_mut::<f32>()?;
        changes.iter().for_each(|change| change.add(values));
        if in_halves {
            let halves = round(sum.clone(), DType::F16)?;
            if are_finite(halves.slice()?) {
                return Ok(Weight::Encoded(Arc::new(HalfFloat::of(&halves)?.into())));
            }
        }
        round(sum, dtype).map(Weight::Dense)
    }
}

/// Types of weights that changes are added to.
pub fn is_changed_in_f32(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F16 | DType::BF16)
}

/// By the largest exponent: a comparison of integers, eight at once.
fn are_finite(halves: &[f16]) -> bool {
    let size = |half: &f16| (half.to_bits() & 0x7fff).cast_signed();
    halves.iter().map(size).fold(0, i16::max) < f16::INFINITY.to_bits().cast_signed()
}

/// An f32 tensor in the type that its weight had.
pub fn round(tensor: Tensor, dtype: DType) -> Result<Tensor> {
    let values = tensor.slice::<f32>()?;
    match dtype {
        DType::F16 => {
            let mut halves = Tensor::zeros(TensorType::new(DType::F16, tensor.shape()))?;
            halves.slice_mut::<f16>()?.convert_from_f32_slice(values);
            Ok(halves)
        }
        DType::BF16 => Tensor::new(tensor.shape(), &values.iter().map(|&v| bf16::from_f32(v)).collect::<Vec<_>>()),
        DType::F32 => Ok(tensor),
        other => Err(Error::Unsupported(format!("a change of a tensor of {}", other.name()))),
    }
}
