//! Small integer inputs that act as parameters (axes, pads, starts, …): the planner, the CPU and the GPU each read them
//! in their own way, and everything derived from them is computed by the same function.

use super::Infer;
use crate::graph::Node;
use crate::tensor::{TensorType, normalize_axis};
use crate::{Error, Result};

/// Reads integer input `i` of a node; `None` when it is left out.
pub type Ints<'a> = &'a dyn Fn(usize) -> Result<Option<Vec<i64>>>;

/// The planner's reader: asks for the value of the input (`Error::NeedsValue`).
pub fn known<'a>(infer: &'a Infer) -> impl Fn(usize) -> Result<Option<Vec<i64>>> + 'a {
    |i| infer.opt_value(i)?.map(|t| t.to_i64()).transpose()
}

/// `list[i]` of a required input, with an error that names it.
pub fn required(node: &Node, ints: Ints, i: usize) -> Result<Vec<i64>> {
    ints(i)?.ok_or_else(|| node.error(format!("input {i} is missing")))
}

/// Axes (negative ones count from the end) of a tensor of rank `rank`; each may occur once.
pub fn axes(node: &Node, axes: &[i64], rank: usize) -> Result<Vec<usize>> {
    let mut seen = vec![false; rank];
    axes.iter()
        .map(|&axis| {
            let i = normalize_axis(axis, rank)
                .ok_or_else(|| node.error(format!("axis {axis} is outside a tensor of rank {rank}")))?;
            if std::mem::replace(&mut seen[i], true) {
                return Err(node.error(format!("axis {axis} is given twice")));
            }
            Ok(i)
        })
        .collect()
}

/// A dimension from an integer that came with the model.
pub fn dim(node: &Node, value: i128) -> Result<usize> {
    usize::try_from(value)
        .ok()
        .filter(|&v| v <= isize::MAX as usize)
        .ok_or_else(|| node.error(format!("{value} is no size of a dimension")))
}

/// Product of dimensions, refused when it overflows.
pub fn product(node: &Node, dims: &[usize]) -> Result<usize> {
    crate::tensor::element_count(dims)
        .map_err(|_| node.error(format!("a tensor of shape {dims:?} cannot be addressed")))
}

/// Outputs beyond those the node names are dropped.
pub fn outputs(infer: &Infer, mut types: Vec<TensorType>) -> Result<Vec<TensorType>> {
    let wanted = infer.node.outputs.len();
    if wanted > types.len() {
        return Err(infer.node.error(format!("has {wanted} outputs, but the operator gives {}", types.len())));
    }
    types.truncate(wanted);
    Ok(types)
}

/// Refuses a tensor whose rank is not `rank`.
pub fn rank<'a>(infer: &'a Infer, input: usize, rank: usize) -> Result<&'a [usize]> {
    let shape = infer.shape(input)?;
    if shape.len() == rank {
        return Ok(shape);
    }
    Err(infer.node.error(format!("input {input} must have rank {rank}, but its shape is {shape:?}")))
}

/// The one element of a scalar or one-element list.
pub fn single(node: &Node, input: usize, values: &[i64]) -> Result<i64> {
    match values {
        [value] => Ok(*value),
        _ => Err(node.error(format!("input {input} must hold one element, not {}", values.len()))),
    }
}

/// An index that may count from the end, into `0 .. len`.
pub fn index(node: &Node, value: i64, len: usize) -> Result<usize> {
    locate(value, len).ok_or_else(|| out_of_range(node, value, len))
}

/// `index` without the message: for inner loops.
#[inline]
pub fn locate(value: i64, len: usize) -> Option<usize> {
    let i = if value < 0 { value.checked_add(len as i64)? } else { value };
    usize::try_from(i).ok().filter(|&i| i < len)
}

pub fn out_of_range(node: &Node, value: i64, len: usize) -> Error {
    node.error(format!("index {value} is outside 0 … {len}"))
}
