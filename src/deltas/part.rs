//! The tensors that changes are stored as.

use crate::tensor::{DType, Shape, Tensor, element_count};
use crate::{Error, Result};

/// Refuses a part of another type or shape.
pub fn check(name: &str, part: &Tensor, dtype: DType, shape: &[usize]) -> Result<()> {
    if part.dtype() == dtype && part.shape() == shape {
        return Ok(());
    }
    let (want, got) = (dtype.name(), part.dtype().name());
    Err(Error::Usage(format!("its `{name}` must be {want} {shape:?}, but is {got} {:?}", part.shape())))
}

/// The elements of a part that was checked to be f32.
pub fn floats(part: &Tensor) -> &[f32] {
    bytemuck::cast_slice(part.bytes())
}

/// Rows and columns of a tensor `[rows, …]`.
pub fn matrix(shape: &Shape) -> Result<[usize; 2]> {
    element_count(shape)?;
    match shape.split_first() {
        Some((&rows, rest)) if !rest.is_empty() => Ok([rows, rest.iter().product()]),
        _ => Err(Error::Usage(format!("a tensor of shape {shape:?} has no rows"))),
    }
}
