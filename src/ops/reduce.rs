//! Types of the operators along axes: reductions, running sums, index of the extreme, softmax.

use super::{Infer, InferFn};
use crate::Result;
use crate::tensor::{DType, Shape, TensorType, normalize_axis};

pub const OPS: &[(&str, InferFn)] = &[
    ("ReduceL1", reduce),
    ("ReduceL2", reduce),
    ("ReduceLogSum", reduce),
    ("ReduceLogSumExp", reduce),
    ("ReduceMax", reduce),
    ("ReduceMean", reduce),
    ("ReduceMin", reduce),
    ("ReduceProd", reduce),
    ("ReduceSum", reduce),
    ("ReduceSumSquare", reduce),
    ("ArgMax", arg_extreme),
    ("ArgMin", arg_extreme),
    ("CumProd", cumulate),
    ("CumSum", cumulate),
    ("Hardmax", softmax),
    ("LogSoftmax", softmax),
    ("Softmax", softmax),
];

/// Which axes are reduced: those listed; if none are, all of them, or none where the node says so. `None`: outside `rank`.
pub fn reduced_axes(rank: usize, axes: Option<&[i64]>, noop_with_empty_axes: bool) -> Option<Vec<bool>> {
    let Some(axes) = axes.filter(|axes| !axes.is_empty()) else {
        return Some(vec![!noop_with_empty_axes; rank]);
    };
    let mut reduced = vec![false; rank];
    for &axis in axes {
        reduced[normalize_axis(axis, rank)?] = true;
    }
    Some(reduced)
}

/// `(size, reduced)` of the axes, those of size 1 left out and neighbours of one kind merged; never empty.
pub fn merged_axes(shape: &[usize], reduced: &[bool]) -> Vec<(usize, bool)> {
    let mut dims: Vec<(usize, bool)> = Vec::new();
    for (&d, &r) in shape.iter().zip(reduced).filter(|&(&d, _)| d != 1) {
        match dims.last_mut() {
            Some((size, last)) if *last == r => *size *= d,
            _ => dims.push((d, r)),
        }
    }
    if dims.is_empty() {
        dims.push((1, true));
    }
    dims
}

fn keep(shape: &[usize], reduced: &[bool], keepdims: bool) -> Shape {
    let kept = shape.iter().zip(reduced).filter(|&(_, &r)| keepdims || !r);
    kept.map(|(&d, &r)| if r { 1 } else { d }).collect()
}

fn reduce(infer: &Infer) -> Result<Vec<TensorType>> {
    let (shape, attrs) = (infer.shape(0)?, &infer.node.attrs);
    let axes = infer.ints(1, "axes")?;
    let reduced = reduced_axes(shape.len(), axes.as_deref(), attrs.flag("noop_with_empty_axes"))
        .ok_or_else(|| infer.node.error(format!("axes {axes:?} are outside a tensor of rank {}", shape.len())))?;
    infer.one(infer.dtype(0)?, keep(shape, &reduced, attrs.int_or("keepdims", 1) != 0))
}

fn arg_extreme(infer: &Infer) -> Result<Vec<TensorType>> {
    let (shape, attrs) = (infer.shape(0)?, &infer.node.attrs);
    let axis = infer.axis(attrs.int_or("axis", 0), shape.len())?;
    if shape[axis] == 0 {
        return Err(infer.node.error(format!("axis {axis} of shape {shape:?} has no element to choose")));
    }
    let reduced: Vec<bool> = (0..shape.len()).map(|i| i == axis).collect();
    infer.one(DType::I64, keep(shape, &reduced, attrs.int_or("keepdims", 1) != 0))
}

fn cumulate(infer: &Infer) -> Result<Vec<TensorType>> {
    infer.ty(1)?;
    Ok(vec![infer.ty(0)?.clone()])
}

fn softmax(infer: &Infer) -> Result<Vec<TensorType>> {
    infer.axis(infer.node.attrs.int_or("axis", -1), infer.shape(0)?.len().max(1))?;
    Ok(vec![infer.ty(0)?.clone()])
}
