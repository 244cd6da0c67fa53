//! What a shape function sees of its node, and the checks they share.

use crate::graph::{Node, TypedGraph};
use crate::tensor::{DType, Shape, Tensor, TensorType, broadcast, normalize_axis};
use crate::{Error, Result};

/// Output types of a node, one per entry of `node.outputs` (also for outputs left out).
pub type InferFn = fn(&Infer) -> Result<Vec<TensorType>>;

/// A node, its input types, and the input values known at plan time.
pub struct Infer<'a> {
    pub node: &'a Node,
    pub types: Vec<Option<TensorType>>,
    pub values: Vec<Option<&'a Tensor>>,
}

impl<'a> Infer<'a> {
    /// A node of a graph as far as its types are known.
    pub fn of(typed: &'a TypedGraph, node: &'a Node) -> Self {
        Infer {
            node,
            types: node.inputs.iter().map(|id| id.and_then(|id| typed.ty(id).cloned())).collect(),
            values: node.inputs.iter().map(|id| id.and_then(|id| typed.constant(id))).collect(),
        }
    }

    /// Type of input `i`; an error names the missing input.
    pub fn ty(&self, i: usize) -> Result<&TensorType> {
        self.opt_ty(i).ok_or_else(|| self.node.error(format!("input {i} is missing")))
    }

    pub fn opt_ty(&self, i: usize) -> Option<&TensorType> {
        self.types.get(i).and_then(Option::as_ref)
    }

    pub fn shape(&self, i: usize) -> Result<&[usize]> {
        Ok(&self.ty(i)?.shape)
    }

    pub fn dtype(&self, i: usize) -> Result<DType> {
        Ok(self.ty(i)?.dtype)
    }

    pub fn has(&self, i: usize) -> bool {
        self.opt_ty(i).is_some()
    }

    /// Value of input `i`; asks the planner to bind it (`Error::NeedsValue`) when it is computed at run time.
    pub fn value(&self, i: usize) -> Result<&'a Tensor> {
        self.ty(i)?;
        self.values
            .get(i)
            .copied()
            .flatten()
            .ok_or_else(|| Error::NeedsValue { operator: self.node.op.clone(), input: i })
    }

    /// Like `value`, for an optional input.
    pub fn opt_value(&self, i: usize) -> Result<Option<&'a Tensor>> {
        if self.has(i) { self.value(i).map(Some) } else { Ok(None) }
    }

    /// Integer list in optional input `i`, else attribute `attr`.
    pub fn ints(&self, i: usize, attr: &str) -> Result<Option<Vec<i64>>> {
        match self.opt_value(i)? {
            Some(t) => t.to_i64().map(Some),
            None => Ok(self.node.attrs.ints(attr).map(<[i64]>::to_vec)),
        }
    }

    /// Checks an axis against a rank.
    pub fn axis(&self, axis: i64, rank: usize) -> Result<usize> {
        normalize_axis(axis, rank)
            .ok_or_else(|| self.node.error(format!("axis {axis} is outside a tensor of rank {rank}")))
    }

    /// Broadcast shape of the given inputs.
    pub fn broadcast(&self, inputs: &[usize]) -> Result<Shape> {
        let shapes = inputs.iter().map(|&i| self.shape(i)).collect::<Result<Vec<_>>>()?;
        broadcast(&shapes).ok_or_else(|| self.node.error(format!("shapes {shapes:?} do not broadcast")))
    }

    /// The shorthand of most operators: one output.
    pub fn one(&self, dtype: DType, shape: impl Into<Shape>) -> Result<Vec<TensorType>> {
        Ok(vec![TensorType::new(dtype, shape)])
    }
}
