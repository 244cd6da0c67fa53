//! Floating-point tensors of foreign files as weights.

use std::sync::Arc;

use half::f16;

use crate::Result;
use crate::graph::Weight;
use crate::tensor::{DType, Tensor, TensorType};
use crate::weights::HalfFloat;

/// f16, which the graph should see as f32, in the encoding for it, vectors and scalars as f32; bf16 as f32; anything else
/// as it is.
pub fn weight(tensor: Tensor) -> Result<Weight> {
    match tensor.dtype() {
        DType::F16 if tensor.shape().len() >= 2 => matrix(&tensor),
        DType::F16 | DType::BF16 => Ok(Weight::Dense(Tensor::new(tensor.shape(), &tensor.to_f32()?)?)),
        _ => Ok(Weight::Dense(tensor)),
    }
}

/// Rows padded to an even number of columns.
fn matrix(tensor: &Tensor) -> Result<Weight> {
    let shape = tensor.shape().to_vec();
    let cols: usize = shape[1..].iter().product();
    let wide = cols.next_multiple_of(2);
    let mut values = Tensor::zeros(TensorType::new(DType::F16, [shape[0], wide]))?;
    if cols > 0 {
        let rows = tensor.slice::<f16>()?.chunks_exact(cols);
        values.slice_mut::<f16>()?.chunks_exact_mut(wide).zip(rows).for_each(|(to, from)| {
            to[..cols].copy_from_slice(from);
        });
    }
    Ok(Weight::Encoded(Arc::new(HalfFloat::new(shape, values)?.into())))
}
