//! Floating-point tensors of foreign files as weights.

use std::sync::Arc;

use half::f16;

use crate::Result;
use crate::graph::Weight;
use crate::tensor::{DType, Tensor};
use crate::weights::HalfFloat;

/// Matrices in half precision, which the graph should see as f32, in the encoding for it; vectors and scalars as f32; anything
/// else as it is.
///
/// bf16 matrices become f16, which holds all their bits from 2⁻¹⁷ to 2¹⁶ and is off by up to 2⁻²⁵ below; those with larger
/// numbers become f32.
pub fn weight(tensor: Tensor) -> Result<Weight> {
    let matrix = tensor.shape().len() >= 2;
    let floats = || Ok(Weight::Dense(Tensor::new(tensor.shape(), &tensor.to_f32()?)?));
    match tensor.dtype() {
        DType::F16 if matrix => Ok(encoded(HalfFloat::of(&tensor)?)),
        DType::BF16 if matrix => {
            let halves: Vec<f16> = tensor.to_f32()?.into_iter().map(f16::from_f32).collect();
            let fits = halves.iter().all(|half| half.is_finite());
            if fits { Ok(encoded(HalfFloat::of(&Tensor::new(tensor.shape(), &halves)?)?)) } else { floats() }
        }
        DType::F16 | DType::BF16 => floats(),
        _ => Ok(Weight::Dense(tensor)),
    }
}

fn encoded(weight: HalfFloat) -> Weight {
    Weight::Encoded(Arc::new(weight.into()))
}
