//! Operators that read, make or change shapes: no value of a large tensor changes here.

use super::params::{self, known};
use super::{Infer, InferFn};
use crate::graph::{Attr, Node};
use crate::tensor::{DType, Shape, Tensor, TensorType, element_count};
use crate::{Error, Result};

pub const OPS: &[(&str, InferFn)] = &[
    ("Shape", |i| {
        let range = shape_range(i.node, i.shape(0)?.len());
        i.one(DType::I64, [range.len()])
    }),
    ("Size", |i| {
        i.ty(0)?;
        i.one(DType::I64, [])
    }),
    ("Reshape", reshape),
    ("Flatten", flatten),
    ("Squeeze", squeeze),
    ("Unsqueeze", unsqueeze),
    ("Identity", |i| Ok(vec![i.ty(0)?.clone()])),
    ("Dropout", dropout),
    ("Constant", |i| Ok(vec![constant(i.node)?.ty().clone()])),
    ("ConstantOfShape", |i| {
        let shape = sizes(i.node, &i.value(0)?.to_i64()?)?;
        i.one(fill_value(i.node)?.dtype(), shape)
    }),
    ("Range", range),
    ("EyeLike", |i| {
        let shape = params::rank(i, 0, 2)?.to_vec();
        let dtype = match i.node.attrs.int("dtype") {
            Some(code) => DType::from_onnx(code)
                .ok_or_else(|| Error::Unsupported(format!("EyeLike with element type number {code}")))?,
            None => i.dtype(0)?,
        };
        i.one(dtype, shape)
    }),
];

/// Inference passes its input on; training draws random numbers, which is not for here.
fn dropout(infer: &Infer) -> Result<Vec<TensorType>> {
    let ratio =
        || Ok::<_, Error>(infer.opt_value(1)?.map(|t| t.to_f32()).transpose()?.and_then(|v| v.first().copied()));
    if let Some(training) = infer.opt_value(2)?
        && training.to_i64()?.first().is_some_and(|&t| t != 0)
        && ratio()? != Some(0.0)
    {
        return Err(Error::Unsupported("Dropout in training mode".into()));
    }
    let data = infer.ty(0)?.clone();
    let mask = TensorType::new(DType::Bool, data.shape.clone());
    params::outputs(infer, vec![data, mask])
}

/// The axes that Shape reports: attributes `start` and `end`, clamped.
pub fn shape_range(node: &Node, rank: usize) -> std::ops::Range<usize> {
    let clamp = |v: i64| {
        let v = if v < 0 { v.saturating_add(rank as i64) } else { v };
        v.clamp(0, rank as i64) as usize
    };
    let start = clamp(node.attrs.int_or("start", 0));
    let end = clamp(node.attrs.int_or("end", rank as i64));
    start..end.max(start)
}

fn sizes(node: &Node, values: &[i64]) -> Result<Shape> {
    let shape = values.iter().map(|&v| params::dim(node, v.into())).collect::<Result<Shape>>()?;
    element_count(&shape)?;
    Ok(shape)
}

fn reshape(infer: &Infer) -> Result<Vec<TensorType>> {
    let node = infer.node;
    let input = infer.ty(0)?;
    let wanted = infer.value(1)?.to_i64()?;
    let keep_zero = node.attrs.flag("allowzero");
    let misfit = || node.error(format!("{:?} does not reshape to {wanted:?}", input.shape));

    let mut shape = Vec::with_capacity(wanted.len());
    let mut open = None;
    for (i, &v) in wanted.iter().enumerate() {
        shape.push(match v {
            0 if !keep_zero => *input.shape.get(i).ok_or_else(misfit)?,
            -1 if open.is_none() => {
                open = Some(i);
                1
            }
            v => usize::try_from(v).map_err(|_| misfit())?,
        });
    }
    let count = params::product(node, &shape)?;
    if let Some(open) = open {
        let len = input.len();
        if count == 0 || len % count != 0 {
            return Err(misfit());
        }
        shape[open] = len / count;
    } else if count != input.len() {
        return Err(misfit());
    }
    infer.one(input.dtype, shape)
}

fn flatten(infer: &Infer) -> Result<Vec<TensorType>> {
    let input = infer.ty(0)?;
    let rank = input.shape.len() as i64;
    let axis = infer.node.attrs.int_or("axis", 1);
    let at = if axis < 0 { axis.saturating_add(rank) } else { axis };
    if !(0..=rank).contains(&at) {
        return Err(infer.node.error(format!("axis {axis} is outside a tensor of rank {rank}")));
    }
    let (outer, inner) = input.shape.split_at(at as usize);
    infer.one(input.dtype, [params::product(infer.node, outer)?, params::product(infer.node, inner)?])
}

fn squeeze(infer: &Infer) -> Result<Vec<TensorType>> {
    let node = infer.node;
    let input = infer.ty(0)?;
    let rank = input.shape.len();
    let gone = match infer.ints(1, "axes")? {
        Some(list) => params::axes(node, &list, rank)?,
        None => (0..rank).filter(|&i| input.shape[i] == 1).collect(),
    };
    if let Some(&axis) = gone.iter().find(|&&i| input.shape[i] != 1) {
        return Err(node.error(format!("axis {axis} of {:?} is not 1", input.shape)));
    }
    let shape: Shape = (0..rank).filter(|i| !gone.contains(i)).map(|i| input.shape[i]).collect();
    infer.one(input.dtype, shape)
}

fn unsqueeze(infer: &Infer) -> Result<Vec<TensorType>> {
    let input = infer.ty(0)?;
    let list = infer.ints(1, "axes")?.ok_or_else(|| infer.node.error("the axes are missing"))?;
    let rank = input.shape.len() + list.len();
    let new = params::axes(infer.node, &list, rank)?;
    let mut old = input.shape.iter();
    let shape: Shape = (0..rank).map(|i| if new.contains(&i) { 1 } else { old.next().copied().unwrap_or(1) }).collect();
    infer.one(input.dtype, shape)
}

/// The tensor of a Constant node, from whichever of its `value…` attributes is there.
pub fn constant(node: &Node) -> Result<Tensor> {
    let attrs = &node.attrs;
    let found = ["value", "value_float", "value_floats", "value_int", "value_ints"].iter().find_map(|n| attrs.get(n));
    match found {
        Some(Attr::Tensor(t)) => Ok(t.clone()),
        Some(Attr::Float(v)) => Ok(Tensor::scalar(*v)),
        Some(Attr::Floats(v)) => Tensor::new([v.len()], v),
        Some(Attr::Int(v)) => Ok(Tensor::scalar(*v)),
        Some(Attr::Ints(v)) => Tensor::new([v.len()], v),
        _ => Err(Error::Unsupported("Constant holding a string, a sparse tensor or nothing".into())),
    }
}

/// The one element that ConstantOfShape repeats: f32 zero unless attribute `value` says otherwise.
pub fn fill_value(node: &Node) -> Result<Tensor> {
    match node.attrs.tensor("value") {
        None => Ok(Tensor::scalar(0f32)),
        Some(t) if t.len() == 1 => Ok(t.clone()),
        Some(t) => Err(node.error(format!("attribute `value` must hold one element, not {}", t.len()))),
    }
}

/// Elements of Range: `max(⌈(limit − start) / delta⌉, 0)`.
fn range(infer: &Infer) -> Result<Vec<TensorType>> {
    let node = infer.node;
    let dtype = infer.dtype(0)?;
    if infer.dtype(1)? != dtype || infer.dtype(2)? != dtype {
        return Err(node.error("start, limit and delta must have one type"));
    }
    let too_long = || node.error("the range has too many elements or a delta of 0");
    let len = if dtype.is_float() {
        let at = |i: usize| -> Result<f64> {
            let t = infer.value(i)?;
            let v = if dtype == DType::F64 {
                t.slice::<f64>()?.first().copied()
            } else {
                t.to_f32()?.first().map(|&v| v.into())
            };
            v.ok_or_else(|| node.error(format!("input {i} is empty")))
        };
        let (start, limit, delta) = (at(0)?, at(1)?, at(2)?);
        let n = ((limit - start) / delta).ceil();
        if delta == 0.0 || n.is_nan() || n > 1e15 {
            return Err(too_long());
        }
        n.max(0.0) as usize
    } else {
        let ints = known(infer);
        let at = |i| -> Result<i128> { Ok(params::single(node, i, &params::required(node, &ints, i)?)?.into()) };
        let (start, limit, delta) = (at(0)?, at(1)?, at(2)?);
        if delta == 0 {
            return Err(too_long());
        }
        // Ceiling division for either sign of delta.
        let n = (limit - start + delta - delta.signum()) / delta;
        usize::try_from(n.max(0)).map_err(|_| too_long())?
    };
    infer.one(dtype, [len])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::find;
    use crate::ops::testing::infer_one;

    fn reshaped(from: &[usize], to: &[i64]) -> Result<Shape> {
        let shape = Tensor::new([to.len()], to)?;
        infer_one("Reshape", &[], &[(TensorType::new(DType::F32, from), None), (shape.ty().clone(), Some(&shape))])
            .map(|t| t[0].shape.clone())
    }

    #[test]
    fn reshape_resolves_zero_and_minus_one() {
        assert_eq!(reshaped(&[2, 3, 4], &[0, -1]).unwrap(), [2, 12]);
        assert_eq!(reshaped(&[0, 3], &[-1, 3]).unwrap(), [0, 3]);
        assert_eq!(reshaped(&[1], &[]).unwrap(), [0usize; 0]);
        for bad in [&[-1i64, -1][..], &[5, -1], &[7], &[-2, 3], &[i64::MAX, i64::MAX, 4], &[2, 3, 4, 0]] {
            assert!(reshaped(&[2, 3, 4], bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn integer_ranges_count_like_python() {
        for (start, limit, delta, n) in [(0i64, 5, 2, 3), (5, 0, -2, 3), (0, 5, -1, 0), (3, 3, 1, 0), (0, 4, 2, 2)] {
            let t = [start, limit, delta].map(Tensor::scalar);
            let args: Vec<_> = t.iter().map(|t| (t.ty().clone(), Some(t))).collect();
            assert_eq!(infer_one("Range", &[], &args).unwrap()[0].shape, [n]);
        }
        assert!(find("Range").is_some());
    }
}
