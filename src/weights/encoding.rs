//! What all encodings have in common.

use crate::tensor::{Shape, Tensor};
use crate::{Error, Result};

/// What every encoding can do. `decode` is the definition that all kernels are tested against.
pub trait Encoding: Send + Sync {
    /// Logical shape.
    fn shape(&self) -> &[usize];

    /// The contract's name with its parameters, e.g. `affine:4:group=32`.
    fn name(&self) -> String;

    /// Writes elements `col .. col + out.len()` of `row` as f32. The caller keeps within `rows` and `cols`.
    fn decode(&self, row: usize, col: usize, out: &mut [f32]);

    /// The tensors that make up the stored form, by part name (`codes`, `table`, `scales`, …).
    fn parts(&self) -> Vec<(&'static str, &Tensor)>;
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

/// Bytes of one row of `cols` codes, rounded up to a 32-bit word.
pub(crate) fn row_stride(cols: usize, bits: u32) -> usize {
    (cols * bits as usize).div_ceil(32) * 4
}
