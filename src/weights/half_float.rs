//! IEEE half precision storage of a weight that the graph sees as f32.

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::encoding::{Encoding, Stored};
use super::parts::{check_part, matrix};
use crate::Result;
use crate::tensor::{DType, Shape, Tensor, TensorType};

/// `W[r, c] = f32(values[r, c])`. Rows are padded to an even number of columns, so that each starts at a 32-bit word.
#[derive(Clone)]
pub struct HalfFloat {
    shape: Shape,
    /// f16 `[rows, cols rounded up to even]`.
    values: Tensor,
}

impl HalfFloat {
    pub fn new(shape: Shape, values: Tensor) -> Result<Self> {
        let (rows, cols) = matrix(&shape)?;
        check_part("f16", "values", &values, DType::F16, &[rows, cols.next_multiple_of(2)])?;
        Ok(HalfFloat { shape, values })
    }

    /// An f16 tensor `[rows, …]` as it is.
    pub fn of(tensor: &Tensor) -> Result<Self> {
        let shape = tensor.shape().to_vec();
        let (rows, cols) = matrix(&shape)?;
        let padded = cols.next_multiple_of(2);
        if padded == cols {
            return Self::new(shape, tensor.reshaped([rows, cols])?);
        }
        let mut values = Tensor::zeros(TensorType::new(DType::F16, [rows, padded]))?;
        if cols > 0 {
            let from = tensor.slice::<f16>()?.chunks_exact(cols);
            let to = values.slice_mut::<f16>()?.chunks_exact_mut(padded);
            to.zip(from).for_each(|(to, from)| to[..cols].copy_from_slice(from));
        }
        Self::new(shape, values)
    }

    pub(super) fn restore(shape: Shape, stored: &Stored) -> Result<Self> {
        Self::new(shape, stored.part("values")?)
    }

    pub fn values(&self) -> &Tensor {
        &self.values
    }
}

impl Encoding for HalfFloat {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn name(&self) -> String {
        "f16".into()
    }

    fn decode(&self, row: usize, col: usize, out: &mut [f32]) {
        let stride = self.values.shape()[1];
        let values: &[f16] = bytemuck::cast_slice(self.values.bytes());
        values[row * stride + col..][..out.len()].convert_to_f32_slice(out);
    }

    fn fields(&self) -> Vec<(&'static str, usize)> {
        Vec::new()
    }

    fn parts(&self) -> Vec<(&'static str, &Tensor)> {
        vec![("values", &self.values)]
    }
}
