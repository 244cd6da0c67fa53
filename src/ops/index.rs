//! Operators that read or write elements at computed positions.

use super::params;
use super::{Infer, InferFn, nms};
use crate::graph::Node;
use crate::tensor::{DType, Shape, TensorType};
use crate::{Error, Result};

pub const OPS: &[(&str, InferFn)] = &[
    ("Gather", |i| {
        let shape = i.shape(0)?;
        let axis = axis(i.node, shape.len())?;
        let indices = indices(i, 1)?;
        let out: Shape = [&shape[..axis], indices, &shape[axis + 1..]].concat();
        params::product(i.node, &out)?;
        i.one(i.dtype(0)?, out)
    }),
    ("GatherElements", |i| {
        let shape = i.shape(0)?;
        axis(i.node, shape.len())?;
        let indices = indices(i, 1)?;
        within(i, shape, indices)?;
        i.one(i.dtype(0)?, indices)
    }),
    ("GatherND", gather_nd),
    ("ScatterElements", scatter_elements),
    ("Scatter", scatter_elements),
    ("ScatterND", scatter_nd),
    ("TensorScatter", tensor_scatter),
    ("OneHot", |i| {
        let shape = i.shape(0)?;
        let depth = i.value(1)?;
        let depth = depth.to_f32()?.first().copied().filter(|d| *d >= 0.0 && *d < 1e9);
        let depth = depth.ok_or_else(|| i.node.error("the depth must be one non-negative number"))? as usize;
        let axis = i.axis(i.node.attrs.int_or("axis", -1), shape.len() + 1)?;
        let mut out = shape.to_vec();
        out.insert(axis, depth);
        params::product(i.node, &out)?;
        i.one(i.dtype(2)?, out)
    }),
    ("TopK", |i| {
        let mut shape = i.shape(0)?.to_vec();
        let axis = i.axis(i.node.attrs.int_or("axis", -1), shape.len())?;
        let k = params::single(i.node, 1, &i.value(1)?.to_i64()?)?;
        if k < 0 || k > shape[axis] as i64 {
            return Err(i.node.error(format!("k is {k}, but the axis has {} elements", shape[axis])));
        }
        shape[axis] = k as usize;
        params::outputs(i, vec![TensorType::new(i.dtype(0)?, shape.clone()), TensorType::new(DType::I64, shape)])
    }),
    ("NonZero", |i| {
        let x = i.value(0)?;
        // Any byte that is set makes an element non-zero, except the sign of a float's −0.
        let count = crate::for_dtype!(x.dtype(), T => x.slice::<T>()?.iter().filter(|v| **v != T::default()).count());
        i.one(DType::I64, [x.shape().len(), count])
    }),
    ("NonMaxSuppression", |i| {
        let arg = |k: usize| -> Result<_> { Ok(i.opt_value(k)?.map(|t| t.view())) };
        let chosen = nms::select(i.node, i.value(0)?.view(), i.value(1)?.view(), &[arg(2)?, arg(3)?, arg(4)?])?;
        i.one(DType::I64, [chosen.len(), 3])
    }),
];

/// Attribute `axis`, by default 0, within a tensor of rank `rank`.
pub fn axis(node: &Node, rank: usize) -> Result<usize> {
    super::movement::axis_or(node, 0, rank)
}

/// Shape of an index input, refused unless it holds i32 or i64.
fn indices<'a>(infer: &'a Infer, input: usize) -> Result<&'a [usize]> {
    match infer.dtype(input)? {
        DType::I64 | DType::I32 => infer.shape(input),
        other => Err(infer.node.error(format!("indices must be int64 or int32, not {}", other.name()))),
    }
}

/// The indices of GatherElements and ScatterElements have the data's rank, and no larger size off the axis.
fn within(infer: &Infer, data: &[usize], indices: &[usize]) -> Result<()> {
    let axis = axis(infer.node, data.len())?;
    let fits = data.len() == indices.len() && (0..data.len()).all(|k| k == axis || indices[k] <= data[k]);
    if fits {
        Ok(())
    } else {
        Err(infer.node.error(format!("indices of shape {indices:?} for data of shape {data:?}")))
    }
}

fn gather_nd(infer: &Infer) -> Result<Vec<TensorType>> {
    let node = infer.node;
    let (data, indices) = (infer.shape(0)?, indices(infer, 1)?);
    let (batch, depth) = nd_layout(node, data, indices)?;
    if data[..batch] != indices[..batch] {
        return Err(node.error(format!("batch dimensions of {data:?} and {indices:?} differ")));
    }
    let out: Shape = [&indices[..indices.len() - 1], &data[batch + depth..]].concat();
    params::product(node, &out)?;
    infer.one(infer.dtype(0)?, out)
}

/// `(batch_dims, length of an index tuple)` of GatherND and ScatterND.
pub fn nd_layout(node: &Node, data: &[usize], indices: &[usize]) -> Result<(usize, usize)> {
    let misfit = || node.error(format!("indices of shape {indices:?} for data of shape {data:?}"));
    let batch = usize::try_from(node.attrs.int_or("batch_dims", 0)).map_err(|_| misfit())?;
    let depth = *indices.last().ok_or_else(misfit)?;
    if batch >= indices.len() || batch > data.len() || depth > data.len() - batch {
        return Err(misfit());
    }
    Ok((batch, depth))
}

/// How a scatter combines an update with what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    None,
    Add,
    Mul,
    Max,
    Min,
}

pub fn reduction(node: &Node) -> Result<Reduction> {
    match node.attrs.string_or("reduction", "none") {
        "none" => Ok(Reduction::None),
        "add" => Ok(Reduction::Add),
        "mul" => Ok(Reduction::Mul),
        "max" => Ok(Reduction::Max),
        "min" => Ok(Reduction::Min),
        other => Err(Error::Unsupported(format!("{} with reduction {other}", node.op))),
    }
}

fn scatter_elements(infer: &Infer) -> Result<Vec<TensorType>> {
    let data = infer.ty(0)?.clone();
    let indices = indices(infer, 1)?;
    within(infer, &data.shape, indices)?;
    updates(infer, &data, indices)?;
    Ok(vec![data])
}

fn updates(infer: &Infer, data: &TensorType, shape: &[usize]) -> Result<()> {
    reduction(infer.node)?;
    let updates = infer.ty(2)?;
    if updates.dtype == data.dtype && updates.shape == shape {
        return Ok(());
    }
    Err(infer.node.error(format!("updates are {updates:?}, but {} {shape:?} is needed", data.dtype.name())))
}

fn scatter_nd(infer: &Infer) -> Result<Vec<TensorType>> {
    let data = infer.ty(0)?.clone();
    let indices = indices(infer, 1)?;
    let (_, depth) = nd_layout(infer.node, &data.shape, indices)?;
    let wanted: Shape = [&indices[..indices.len() - 1], &data.shape[depth..]].concat();
    updates(infer, &data, &wanted)?;
    Ok(vec![data])
}

/// A cache `[batch, …, length, …]` takes `update` (same shape but for the length) at position `write_indices[batch]`.
fn tensor_scatter(infer: &Infer) -> Result<Vec<TensorType>> {
    let node = infer.node;
    let (cache, update) = (infer.ty(0)?, infer.ty(1)?);
    let axis = infer.axis(node.attrs.int_or("axis", -2), cache.shape.len())?;
    let fits = axis > 0
        && cache.dtype == update.dtype
        && cache.shape.len() == update.shape.len()
        && (0..cache.shape.len())
            .all(|k| cache.shape[k] == update.shape[k] || k == axis && update.shape[k] <= cache.shape[k]);
    let indexed = !infer.has(2) || indices(infer, 2)? == [cache.shape[0]];
    if !fits || !indexed {
        return Err(node.error(format!("an update of shape {:?} for a cache of {:?}", update.shape, cache.shape)));
    }
    Ok(vec![cache.clone()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Attr;
    use crate::ops::testing::infer_one;

    #[test]
    fn shapes_of_gathers() {
        let f = |shape: &[usize]| (TensorType::new(DType::F32, shape), None);
        let i = |shape: &[usize]| (TensorType::new(DType::I64, shape), None);
        let axis = [("axis", Attr::Int(-2))];
        assert_eq!(infer_one("Gather", &axis, &[f(&[2, 3, 4]), i(&[5, 6])]).unwrap()[0].shape, [2, 5, 6, 4]);
        assert_eq!(infer_one("Gather", &[], &[f(&[2, 3]), i(&[])]).unwrap()[0].shape, [3]);
        assert!(infer_one("Gather", &[], &[f(&[]), i(&[1])]).is_err());
        assert_eq!(infer_one("GatherND", &[], &[f(&[2, 3, 4]), i(&[5, 2])]).unwrap()[0].shape, [5, 4]);
        assert!(infer_one("GatherND", &[], &[f(&[2]), i(&[5, 2])]).is_err());
        assert!(infer_one("GatherElements", &[], &[f(&[2, 2]), i(&[9, 3])]).is_err());
    }
}
