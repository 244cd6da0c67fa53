//! Operators that move elements about without computing on them.

use super::params::{self, Ints, known};
use super::{Infer, InferFn, slice};
use crate::graph::Node;
use crate::tensor::{DType, Shape, TensorType};
use crate::{Error, Result};

pub const OPS: &[(&str, InferFn)] = &[
    ("Transpose", |i| {
        let shape = i.shape(0)?;
        let perm = permutation(i.node, shape.len())?;
        i.one(i.dtype(0)?, perm.iter().map(|&p| shape[p]).collect::<Shape>())
    }),
    ("Concat", concat),
    ("Split", split),
    ("Slice", |i| {
        let ranges = slice::ranges(i.node, i.shape(0)?, &known(i))?;
        i.one(i.dtype(0)?, ranges.iter().map(|r| r.count).collect::<Shape>())
    }),
    ("Pad", |i| {
        let shape = i.shape(0)?;
        let pads = pads(i.node, shape.len(), &known(i))?;
        i.one(i.dtype(0)?, padded(i.node, shape, &pads)?)
    }),
    ("Tile", |i| {
        let repeats = i.value(1)?.to_i64()?;
        let shape = i.shape(0)?;
        if repeats.len() != shape.len() {
            return Err(i.node.error(format!("{} repeats for the shape {shape:?}", repeats.len())));
        }
        let out = shape.iter().zip(&repeats).map(|(&d, &r)| params::dim(i.node, d as i128 * i128::from(r)));
        let out = out.collect::<Result<Shape>>()?;
        params::product(i.node, &out)?;
        i.one(i.dtype(0)?, out)
    }),
    ("Expand", |i| {
        let wanted = i.value(1)?.to_i64()?;
        let wanted = wanted.iter().map(|&d| params::dim(i.node, d.into())).collect::<Result<Shape>>()?;
        let shape = i.shape(0)?;
        let out = crate::tensor::broadcast(&[shape, &wanted])
            .ok_or_else(|| i.node.error(format!("{shape:?} does not expand to {wanted:?}")))?;
        params::product(i.node, &out)?;
        i.one(i.dtype(0)?, out)
    }),
    ("Trilu", |i| {
        let ty = i.ty(0)?.clone();
        if ty.shape.len() < 2 {
            return Err(i.node.error(format!("needs matrices, got the shape {:?}", ty.shape)));
        }
        Ok(vec![ty])
    }),
    ("DepthToSpace", |i| {
        let [n, c, h, w] = image(i)?;
        let b = block(i.node)?;
        if c % (b * b) != 0 {
            return Err(i.node.error(format!("{c} channels do not divide into blocks of {b} × {b}")));
        }
        i.one(i.dtype(0)?, [n, c / (b * b), params::product(i.node, &[h, b])?, params::product(i.node, &[w, b])?])
    }),
    ("SpaceToDepth", |i| {
        let [n, c, h, w] = image(i)?;
        let b = block(i.node)?;
        if h % b != 0 || w % b != 0 {
            return Err(i.node.error(format!("{h} × {w} does not divide into blocks of {b} × {b}")));
        }
        i.one(i.dtype(0)?, [n, params::product(i.node, &[c, b, b])?, h / b, w / b])
    }),
    ("ReverseSequence", |i| {
        let ty = i.ty(0)?.clone();
        let (time, batch) = reverse_axes(i.node)?;
        if ty.shape.len() < 2 || params::rank(i, 1, 1)?[0] != ty.shape[batch] || time == batch {
            return Err(i.node.error(format!("one length for each of the {:?} sequences is needed", ty.shape)));
        }
        Ok(vec![ty])
    }),
    ("CenterCropPad", |i| {
        let (shape, target) = crop_target(i.node, i.shape(0)?, &known(i))?;
        i.one(i.dtype(0)?, merge(&shape, &target))
    }),
    ("Compress", |i| {
        let keep = i.value(1)?;
        if keep.dtype() != DType::Bool {
            return Err(i.node.error("the condition must be bool"));
        }
        let keep = keep.to_i64()?;
        let shape = i.shape(0)?;
        let count = |n: usize| keep.iter().take(n).filter(|&&k| k != 0).count();
        let out = match i.node.attrs.int("axis") {
            Some(axis) => {
                let axis = i.axis(axis, shape.len())?;
                let mut out = shape.to_vec();
                out[axis] = count(shape[axis]);
                out
            }
            None => vec![count(i.ty(0)?.len())],
        };
        i.one(i.dtype(0)?, out)
    }),
];

/// Attribute `perm` of Transpose, by default the reversal.
pub fn permutation(node: &Node, rank: usize) -> Result<Vec<usize>> {
    let Some(perm) = node.attrs.ints("perm") else { return Ok((0..rank).rev().collect()) };
    if perm.len() != rank {
        return Err(node.error(format!("perm {perm:?} does not fit a tensor of rank {rank}")));
    }
    params::axes(node, perm, rank)
}

fn concat(infer: &Infer) -> Result<Vec<TensorType>> {
    let node = infer.node;
    let first = infer.ty(0)?;
    let axis = node.attrs.int("axis").ok_or_else(|| node.error("attribute `axis` is missing"))?;
    let axis = infer.axis(axis, first.shape.len())?;
    let mut shape = first.shape.clone();
    for i in 1..node.inputs.len() {
        let ty = infer.ty(i)?;
        let fits = ty.shape.len() == shape.len()
            && ty.dtype == first.dtype
            && (0..shape.len()).all(|k| k == axis || shape[k] == ty.shape[k]);
        if !fits {
            return Err(node.error(format!("input {i} of shape {:?} does not fit {:?}", ty.shape, first.shape)));
        }
        shape[axis] = params::dim(node, shape[axis] as i128 + ty.shape[axis] as i128)?;
    }
    infer.one(first.dtype, shape)
}

/// Axis of Split or Concat within a tensor of rank `rank`.
pub fn axis_or(node: &Node, default: i64, rank: usize) -> Result<usize> {
    let axis = node.attrs.int_or("axis", default);
    crate::tensor::normalize_axis(axis, rank)
        .ok_or_else(|| node.error(format!("axis {axis} is outside a tensor of rank {rank}")))
}

fn split(infer: &Infer) -> Result<Vec<TensorType>> {
    let node = infer.node;
    let ty = infer.ty(0)?;
    let axis = axis_or(node, 0, ty.shape.len())?;
    let (whole, parts) = (ty.shape[axis], node.outputs.len());
    let sizes = match infer.ints(1, "split")? {
        Some(sizes) => sizes.iter().map(|&s| params::dim(node, s.into())).collect::<Result<Vec<_>>>()?,
        None => {
            let wanted = node.attrs.int_or("num_outputs", parts as i64);
            if parts == 0 || wanted != parts as i64 {
                return Err(node.error(format!("num_outputs is {wanted}, but the node has {parts} outputs")));
            }
            // All parts of one size; the last is smaller when the axis does not divide.
            let size = whole.div_ceil(parts);
            (0..parts).map(|k| size.min(whole.saturating_sub(k * size))).collect()
        }
    };
    let sum = sizes.iter().try_fold(0usize, |a, &s| a.checked_add(s));
    if sizes.len() != parts || sum != Some(whole) {
        return Err(node.error(format!("an axis of {whole} does not split into {sizes:?}")));
    }
    let part = |size: usize| {
        let mut shape = ty.shape.clone();
        shape[axis] = size;
        TensorType::new(ty.dtype, shape)
    };
    Ok(sizes.into_iter().map(part).collect())
}

/// `(before, after)` of each axis of Pad; negative ones crop.
pub fn pads(node: &Node, rank: usize, ints: Ints) -> Result<Vec<(i64, i64)>> {
    let list = params::required(node, ints, 1)?;
    let axes = match ints(3)? {
        Some(axes) => params::axes(node, &axes, rank)?,
        None => (0..rank).collect(),
    };
    if list.iter().any(|p| p.unsigned_abs() > 1 << 48) {
        return Err(node.error(format!("pads {list:?} are too large")));
    }
    if list.len() != 2 * axes.len() {
        return Err(node.error(format!("{} pads for {} axes", list.len(), axes.len())));
    }
    let mut pads = vec![(0, 0); rank];
    for (k, &axis) in axes.iter().enumerate() {
        pads[axis] = (list[k], list[k + axes.len()]);
    }
    Ok(pads)
}

/// Output shape of Pad.
pub fn padded(node: &Node, shape: &[usize], pads: &[(i64, i64)]) -> Result<Shape> {
    let repeats = node.attrs.string_or("mode", "constant") != "constant";
    let out = shape.iter().zip(pads).map(|(&d, &(before, after))| {
        let size = params::dim(node, d as i128 + i128::from(before) + i128::from(after))?;
        if repeats && d == 0 && size > 0 {
            return Err(node.error(format!("nothing to repeat along an empty axis of {shape:?}")));
        }
        Ok(size)
    });
    let out = out.collect::<Result<Shape>>()?;
    params::product(node, &out)?;
    Ok(out)
}

fn image(infer: &Infer) -> Result<[usize; 4]> {
    match *params::rank(infer, 0, 4)? {
        [n, c, h, w] => Ok([n, c, h, w]),
        _ => Err(infer.node.error("needs an image")),
    }
}

/// Attribute `blocksize`.
pub fn block(node: &Node) -> Result<usize> {
    match node.attrs.int_or("blocksize", 0) {
        b @ 1..=32_768 => Ok(b as usize),
        b => Err(node.error(format!("blocksize {b} is not a small positive number"))),
    }
}

/// `(time_axis, batch_axis)`: one is 0, the other 1.
pub fn reverse_axes(node: &Node) -> Result<(usize, usize)> {
    match (node.attrs.int_or("time_axis", 0), node.attrs.int_or("batch_axis", 1)) {
        (0, 1) => Ok((0, 1)),
        (1, 0) => Ok((1, 0)),
        other => Err(node.error(format!("time and batch axes {other:?} are not 0 and 1"))),
    }
}

/// Input shape and wanted size of each axis (`None`: as it is) of CenterCropPad.
pub fn crop_target(node: &Node, shape: &[usize], ints: Ints) -> Result<(Shape, Vec<Option<usize>>)> {
    let axes = match node.attrs.ints("axes") {
        Some(axes) => params::axes(node, axes, shape.len())?,
        None => (0..shape.len()).collect(),
    };
    let sizes = params::required(node, ints, 1)?;
    if sizes.len() != axes.len() {
        return Err(node.error(format!("{} sizes for {} axes", sizes.len(), axes.len())));
    }
    let mut target = vec![None; shape.len()];
    for (&axis, &size) in axes.iter().zip(&sizes) {
        target[axis] = Some(params::dim(node, size.into())?);
    }
    params::product(node, &merge(shape, &target))?;
    Ok((shape.to_vec(), target))
}

fn merge(shape: &[usize], target: &[Option<usize>]) -> Shape {
    shape.iter().zip(target).map(|(&d, t)| t.unwrap_or(d)).collect()
}

/// Attribute `mode`: whether the depth comes first (`CRD`) or last (`DCR`) within a channel's number.
pub fn column_row_depth(node: &Node) -> Result<bool> {
    match node.attrs.string_or("mode", "DCR") {
        "DCR" => Ok(false),
        "CRD" => Ok(true),
        other => Err(Error::Unsupported(format!("{} with mode {other}", node.op))),
    }
}
