//! Shapes and the index arithmetic every kernel shares. Row-major throughout.

use crate::{Error, Result};

pub type Shape = Vec<usize>;

/// Number of elements, or an error if it overflows: also when a 0 among the dimensions would hide that, because
/// strides multiply the others.
pub fn element_count(shape: &[usize]) -> Result<usize> {
    let nonzero = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1)));
    nonzero
        .map(|n| if shape.contains(&0) { 0 } else { n })
        .ok_or_else(|| Error::OutOfMemory(format!("a tensor of shape {shape:?} cannot be addressed")))
}

/// Row-major strides in elements.
pub fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i];
    }
    strides
}

/// Numpy broadcasting of several shapes; `None` when they do not fit.
pub fn broadcast(shapes: &[&[usize]]) -> Option<Shape> {
    let rank = shapes.iter().map(|s| s.len()).max().unwrap_or(0);
    let mut out = vec![1; rank];
    for shape in shapes {
        let offset = rank - shape.len();
        for (i, &d) in shape.iter().enumerate() {
            let o = &mut out[offset + i];
            if *o == 1 {
                *o = d;
            } else if d != 1 && d != *o {
                return None;
            }
        }
    }
    Some(out)
}

/// Strides of `shape` seen as `out` (which it broadcasts to): 0 along repeated axes.
pub fn broadcast_strides(shape: &[usize], out: &[usize]) -> Vec<usize> {
    let own = strides(shape);
    let offset = out.len() - shape.len();
    (0..out.len()).map(|i| if i < offset || shape[i - offset] == 1 { 0 } else { own[i - offset] }).collect()
}

/// ONNX axis (negative counts from the end) → index; `None` when outside.
pub fn normalize_axis(axis: i64, rank: usize) -> Option<usize> {
    let rank = rank as i64;
    let axis = if axis < 0 { axis + rank } else { axis };
    (0..rank).contains(&axis).then_some(axis as usize)
}
