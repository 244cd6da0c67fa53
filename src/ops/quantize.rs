//! Types of the operators between floats and integers with a scale.

use super::{Infer, InferFn};
use crate::Result;
use crate::tensor::{DType, TensorType};

pub const OPS: &[(&str, InferFn)] =
    &[("DequantizeLinear", dequantize), ("DynamicQuantizeLinear", dynamic_quantize), ("QuantizeLinear", quantize)];

fn output_dtype(infer: &Infer, default: DType) -> Result<DType> {
    match infer.node.attrs.int_or("output_dtype", 0) {
        0 => Ok(default),
        code => DType::from_onnx(code)
            .ok_or_else(|| crate::Error::Unsupported(format!("{} to ONNX element type {code}", infer.node.op))),
    }
}

/// The scale is one value, one a position of `axis`, or one a block along it.
fn check_scale(infer: &Infer) -> Result<()> {
    let (shape, scale) = (infer.shape(0)?, infer.ty(1)?);
    let zero_fits = infer.opt_ty(2).is_none_or(|zero| zero.len() == scale.len());
    let fits = scale.len() == 1 || {
        let axis = infer.axis(infer.node.attrs.int_or("axis", 1), shape.len())?;
        match infer.node.attrs.int_or("block_size", 0) {
            block if block > 0 => {
                scale.shape.len() == shape.len()
                    && scale
                        .shape
                        .iter()
                        .zip(shape)
                        .enumerate()
                        .all(|(i, (&s, &d))| s == if i == axis { d.div_ceil(block as usize) } else { d })
            }
            _ => scale.len() == shape[axis],
        }
    };
    if fits && zero_fits {
        return Ok(());
    }
    Err(infer.node.error(format!("a scale of shape {:?} does not fit a tensor of shape {shape:?}", scale.shape)))
}

fn quantize(infer: &Infer) -> Result<Vec<TensorType>> {
    check_scale(infer)?;
    let dtype = match infer.opt_ty(2) {
        Some(zero) => zero.dtype,
        None => output_dtype(infer, DType::U8)?,
    };
    infer.one(dtype, infer.shape(0)?)
}

fn dequantize(infer: &Infer) -> Result<Vec<TensorType>> {
    check_scale(infer)?;
    infer.one(output_dtype(infer, infer.dtype(1)?)?, infer.shape(0)?)
}

fn dynamic_quantize(infer: &Infer) -> Result<Vec<TensorType>> {
    Ok(vec![
        TensorType::new(DType::U8, infer.shape(0)?),
        TensorType::new(DType::F32, vec![]),
        TensorType::new(DType::U8, vec![]),
    ])
}
