//! Fourier transforms, windows and the mel filter bank.

use super::params::{self, known};
use super::{Infer, InferFn};
use crate::graph::Node;
use crate::tensor::{DType, Shape, TensorType, normalize_axis};
use crate::{Error, Result};

pub const OPS: &[(&str, InferFn)] = &[
    ("DFT", |i| {
        let plan = Dft::new(i.node, i.shape(0)?, &known(i))?;
        let mut shape = i.shape(0)?.to_vec();
        shape[plan.axis] = plan.outputs();
        if let Some(last) = shape.last_mut() {
            *last = if plan.real_output() { 1 } else { 2 };
        }
        params::product(i.node, &shape)?;
        i.one(i.dtype(0)?, shape)
    }),
    ("STFT", |i| {
        let s = Stft::new(i.node, i.shape(0)?, i.opt_ty(2).map(|t| &t.shape[..]), &known(i))?;
        let out: Shape = vec![i.shape(0)?[0], s.frames, s.bins, 2];
        params::product(i.node, &out)?;
        i.one(i.dtype(0)?, out)
    }),
    ("HannWindow", window),
    ("HammingWindow", window),
    ("BlackmanWindow", window),
    ("MelWeightMatrix", |i| {
        let at = |k: usize| -> Result<i64> { params::single(i.node, k, &i.value(k)?.to_i64()?) };
        let (bins, dft) = (at(0)?, at(1)?);
        let out = [params::dim(i.node, i128::from(dft) / 2 + 1)?, params::dim(i.node, bins.into())?];
        params::product(i.node, &out)?;
        i.one(output_type(i.node)?, out)
    }),
];

/// Attribute `output_datatype`, by default f32.
fn output_type(node: &Node) -> Result<DType> {
    let code = node.attrs.int_or("output_datatype", 1);
    DType::from_onnx(code).ok_or_else(|| Error::Unsupported(format!("{} of element type {code}", node.op)))
}

fn window(infer: &Infer) -> Result<Vec<TensorType>> {
    let size = params::single(infer.node, 0, &infer.value(0)?.to_i64()?)?;
    infer.one(output_type(infer.node)?, [params::dim(infer.node, size.into())?])
}

/// A transform along one axis of `[…, n, …, 1 or 2]`.
#[derive(Clone, Copy, Debug)]
pub struct Dft {
    pub axis: usize,
    /// Points of the transform; the signal is cut or padded with zeros.
    pub length: usize,
    pub inverse: bool,
    pub onesided: bool,
}

impl Dft {
    /// Inputs 1 and 2 are length and axis.
    pub fn new(node: &Node, shape: &[usize], ints: params::Ints) -> Result<Self> {
        let rank = shape.len();
        if rank < 2 || !matches!(shape[rank - 1], 1 | 2) {
            return Err(node.error(format!("needs […, 1] or […, 2] for real or complex signals, got {shape:?}")));
        }
        let axis = match ints(2)? {
            Some(axis) => params::single(node, 2, &axis)?,
            None => node.attrs.int_or("axis", -2),
        };
        let axis = normalize_axis(axis, rank).filter(|&a| a < rank - 1);
        let axis = axis.ok_or_else(|| node.error(format!("the axis is no signal axis of {shape:?}")))?;
        let (inverse, onesided) = (node.attrs.flag("inverse"), node.attrs.flag("onesided"));
        let length = match ints(1)? {
            Some(length) => params::dim(node, params::single(node, 1, &length)?.into())?,
            None if inverse && onesided => 2 * shape[axis].saturating_sub(1),
            None => shape[axis],
        };
        Ok(Dft { axis, length, inverse, onesided })
    }

    /// Points along the axis of the output.
    pub fn outputs(&self) -> usize {
        if self.onesided && !self.inverse { self.length / 2 + 1 } else { self.length }
    }

    /// A one-sided spectrum transforms back into a real signal.
    pub fn real_output(&self) -> bool {
        self.onesided && self.inverse
    }
}

/// The frames of a short-time transform.
#[derive(Clone, Copy, Debug)]
pub struct Stft {
    pub step: usize,
    pub length: usize,
    pub frames: usize,
    pub bins: usize,
}

impl Stft {
    /// Inputs 1 and 3 are step and frame length; the window's length serves when the latter is left out.
    pub fn new(node: &Node, signal: &[usize], window: Option<&[usize]>, ints: params::Ints) -> Result<Self> {
        let samples = match *signal {
            [_, n] | [_, n, 1 | 2] => n,
            _ => return Err(node.error(format!("needs [batch, samples, 1], got {signal:?}"))),
        };
        let step = params::dim(node, params::single(node, 1, &params::required(node, ints, 1)?)?.into())?;
        let length = match (ints(3)?, window) {
            (Some(length), _) => params::dim(node, params::single(node, 3, &length)?.into())?,
            (None, Some([n])) => *n,
            _ => return Err(node.error("needs a frame length or a window")),
        };
        let fits = step > 0 && length > 0 && length <= samples && window.is_none_or(|w| w == [length]);
        if !fits {
            return Err(node.error(format!("frames of {length} every {step} of a signal of {samples}")));
        }
        let onesided = node.attrs.int_or("onesided", 1) != 0;
        let bins = if onesided { length / 2 + 1 } else { length };
        Ok(Stft { step, length, frames: (samples - length) / step + 1, bins })
    }
}
