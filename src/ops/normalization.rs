//! Types of the normalisations.

use super::{Infer, InferFn};
use crate::Result;
use crate::tensor::{DType, TensorType};

pub const OPS: &[(&str, InferFn)] = &[
    ("BatchNormalization", batch_norm),
    ("GroupNormalization", group_norm),
    ("InstanceNormalization", instance_norm),
    ("LRN", same),
    ("LayerNormalization", layer_norm),
    ("LpNormalization", same),
    ("MeanVarianceNormalization", same),
    ("RMSNormalization", rms_norm),
];

fn same(infer: &Infer) -> Result<Vec<TensorType>> {
    Ok(vec![infer.ty(0)?.clone()])
}

/// Channels of `[batch, channels, …]`, to which the inputs `per_channel` must belong.
fn channels(infer: &Infer, per_channel: std::ops::Range<usize>) -> Result<usize> {
    let shape = infer.shape(0)?;
    // Rank 1 counts as one channel, as in the ONNX reference.
    let channels = shape.get(1).copied().unwrap_or(1);
    for i in per_channel {
        let len = infer.ty(i)?.len();
        if len != channels {
            return Err(infer.node.error(format!("input {i} has {len} elements for {channels} channels")));
        }
    }
    Ok(channels)
}

fn batch_norm(infer: &Infer) -> Result<Vec<TensorType>> {
    let channels = channels(infer, 1..5)?;
    let mut types = same(infer)?;
    if infer.node.attrs.flag("training_mode") {
        types.extend([3, 4].map(|i| infer.dtype(i).map(|d| TensorType::new(d, vec![channels]))).into_iter().flatten());
    }
    types.truncate(infer.node.outputs.len().max(1));
    Ok(types)
}

fn instance_norm(infer: &Infer) -> Result<Vec<TensorType>> {
    channels(infer, 1..3)?;
    same(infer)
}

fn group_norm(infer: &Infer) -> Result<Vec<TensorType>> {
    let channels = channels(infer, 0..0)?;
    let groups = infer.node.attrs.int_or("num_groups", 1);
    if groups < 1 || channels as i64 % groups != 0 {
        return Err(infer.node.error(format!("{channels} channels do not divide into {groups} groups")));
    }
    for i in 1..3 {
        // One value a channel, or one a group (before opset 21).
        let len = infer.ty(i)?.len();
        if len != channels && len as i64 != groups {
            return Err(infer.node.error(format!("input {i} has {len} elements for {channels} channels")));
        }
    }
    same(infer)
}

/// The axis where the normalised part of the shape begins.
fn first_axis(infer: &Infer) -> Result<usize> {
    let shape = infer.shape(0)?;
    let axis = infer.axis(infer.node.attrs.int_or("axis", -1), shape.len())?;
    for i in 1..3 {
        let fits = |s: &[usize]| crate::tensor::broadcast(&[s, &shape[axis..]]).as_deref() == Some(&shape[axis..]);
        if infer.opt_ty(i).is_some_and(|ty| !fits(&ty.shape)) {
            let own = infer.shape(i)?;
            return Err(infer.node.error(format!("input {i} of shape {own:?} does not fit {:?}", &shape[axis..])));
        }
    }
    Ok(axis)
}

fn layer_norm(infer: &Infer) -> Result<Vec<TensorType>> {
    let axis = first_axis(infer)?;
    let shape = infer.shape(0)?;
    let mut rows = shape.to_vec();
    rows[axis..].fill(1);
    let statistics = if infer.dtype(0)? == DType::F64 { DType::F64 } else { DType::F32 };
    let mut types = same(infer)?;
    types.resize(infer.node.outputs.len().clamp(1, 3), TensorType::new(statistics, rows));
    Ok(types)
}

fn rms_norm(infer: &Infer) -> Result<Vec<TensorType>> {
    first_axis(infer)?;
    same(infer)
}
