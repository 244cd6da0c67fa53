//! Convolutions whose filters are chosen for each input (FTWT, Elkerdawy et al. 2022): what a mask leaves out is not
//! computed, and need not be read by the convolution behind it.

use super::conv::ConvShape;
use super::infer::{Infer, InferFn};
use crate::Result;
use crate::tensor::{DType, TensorType};

pub const OPS: &[(&str, InferFn)] = &[("fewbit.GatedConv", gated_conv)];

/// Inputs of a `fewbit.GatedConv` that a `Conv` does not have.
pub const FILTERS: usize = 4;
pub const CHANNELS: usize = 5;

/// Inputs 0 to 3 and attributes as `Conv` has them with bias, activation and residual, all f32, in one group. Input 4: f32
/// `[batch, out_channels, 1, …]`, in which 0 leaves a filter out: its outputs are 0, whatever bias and activation say. Input 5: f32
/// `[batch, in_channels, 1, …]`, in which 0 says that a channel of the input is all zeros, whatever is there. A residual excludes
/// input 4.
fn gated_conv(infer: &Infer) -> Result<Vec<TensorType>> {
    let node = infer.node;
    let shape = ConvShape::conv(node, infer.shape(0)?, infer.shape(1)?)?;
    let output = shape.output();
    if shape.groups != 1 || shape.axes.len() > 3 {
        return Err(node.error(format!("{} groups over {} axes", shape.groups, shape.axes.len())));
    }
    if infer.has(3) && infer.has(FILTERS) {
        return Err(node.error("a residual where filters are left out"));
    }
    let mask = |channels: usize| -> Vec<usize> {
        [shape.batch, channels].into_iter().chain(shape.axes.iter().map(|_| 1)).collect()
    };
    let expected = [
        (2, vec![shape.out_channels]),
        (3, output.clone()),
        (FILTERS, mask(shape.out_channels)),
        (CHANNELS, mask(shape.in_channels)),
    ];
    for (i, expected) in expected {
        if let Some(ty) = infer.opt_ty(i)
            && (ty.shape != expected || ty.dtype != DType::F32)
        {
            let got = (ty.dtype.name(), &ty.shape);
            return Err(node.error(format!("input {i} must be f32 {expected:?}, got {} {:?}", got.0, got.1)));
        }
    }
    match infer.dtype(0)? {
        DType::F32 => infer.one(DType::F32, output),
        other => Err(node.error(format!("an input of {}", other.name()))),
    }
}
