//! Scale factors as encodings store them.

use half::f16;

use crate::tensor::{DType, Shape, Tensor};
use crate::{Error, Result};

/// Checks a part that holds factors: f32, f16, or u8 for powers of two (E8M0 of the OCP microscaling formats).
pub(super) fn check_scales(encoding: &str, part: &str, tensor: &Tensor, shape: &[usize]) -> Result<()> {
    if matches!(tensor.dtype(), DType::F32 | DType::F16 | DType::U8) && tensor.shape() == shape {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "{encoding} part `{part}` must be f32, f16 or u8 (E8M0) {shape:?}, got {} {:?}",
        tensor.dtype().name(),
        tensor.shape()
    )))
}

/// A stored part must have exactly the expected type.
pub(super) fn check_part(encoding: &str, part: &str, tensor: &Tensor, dtype: DType, shape: &[usize]) -> Result<()> {
    if tensor.dtype() == dtype && tensor.shape() == shape {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "{encoding} part `{part}` must be {} {shape:?}, got {} {:?}",
        dtype.name(),
        tensor.dtype().name(),
        tensor.shape()
    )))
}

/// Factor `i`.
pub fn scale_at(scales: &Tensor, i: usize) -> f32 {
    match scales.dtype() {
        DType::F32 => bytemuck::cast_slice::<u8, f32>(scales.bytes())[i],
        DType::F16 => bytemuck::cast_slice::<u8, f16>(scales.bytes())[i].to_f32(),
        _ => e8m0(scales.bytes()[i]),
    }
}

/// `2^(byte − 127)`; 255 is NaN (OCP Microscaling Formats v1.0, 5.4.1).
pub fn e8m0(byte: u8) -> f32 {
    match byte {
        0 => f32::from_bits(0x0040_0000),
        255 => f32::NAN,
        _ => f32::from_bits(u32::from(byte) << 23),
    }
}

/// Bytes of one row of `cols` codes, rounded up to a 32-bit word.
pub(crate) fn row_stride(cols: usize, bits: u32) -> usize {
    (cols * bits as usize).div_ceil(32) * 4
}

/// The bytes of one row of a part `[rows, stride]`.
pub(super) fn row_bytes(part: &Tensor, row: usize) -> &[u8] {
    let stride = part.shape()[1];
    &part.bytes()[row * stride..(row + 1) * stride]
}

/// `(rows, cols)` of a logical shape; an encoding needs at least one dimension.
pub(crate) fn matrix(shape: &Shape) -> Result<(usize, usize)> {
    // Room for the padding of rows and the bits of a code.
    let fits = crate::tensor::element_count(shape)?.checked_mul(64).is_some();
    match shape.split_first() {
        Some((&rows, rest)) => match crate::tensor::element_count(rest)?.checked_mul(64) {
            Some(_) if fits => Ok((rows, rest.iter().product())),
            _ => Err(Error::OutOfMemory(format!("a weight of shape {shape:?} cannot be addressed"))),
        },
        None => Err(Error::Usage("a scalar cannot be stored in a few-bit encoding".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two() {
        for byte in 0..255u8 {
            assert_eq!(f64::from(e8m0(byte)), 2f64.powi(i32::from(byte) - 127));
        }
        assert!(e8m0(255).is_nan());
    }
}
