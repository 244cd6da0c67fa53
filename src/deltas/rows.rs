//! Dense updates of selected rows, as S2FT trains them (Yang et al. 2024).

use super::part;
use crate::tensor::{DType, Shape, Tensor};
use crate::weights::Stored;
use crate::{Error, Result};

/// `ΔW[rows[i], :] = values[i, :]`, 0 in other rows. A tensor `[rows, …]` is a matrix `[rows, cols]`.
#[derive(Clone, Debug)]
pub struct Rows {
    shape: Shape,
    /// u32 `[n]`, ascending.
    rows: Tensor,
    /// f32 `[n, cols]`
    values: Tensor,
}

impl Rows {
    /// `rows` ascending, `values` `[rows.len(), cols]`.
    pub fn new(shape: Shape, rows: &[u32], values: &[f32]) -> Result<Self> {
        let [_, cols] = part::matrix(&shape)?;
        let (rows, values) = (Tensor::new([rows.len()], rows)?, Tensor::new([rows.len(), cols], values)?);
        Self::checked(shape, rows, values)
    }

    pub(super) fn restore(shape: Shape, stored: &Stored) -> Result<Self> {
        Self::checked(shape, stored.part("rows")?, stored.part("values")?)
    }

    fn checked(shape: Shape, rows: Tensor, values: Tensor) -> Result<Self> {
        let [count, cols] = part::matrix(&shape)?;
        part::check("rows", &rows, DType::U32, &[rows.len()])?;
        part::check("values", &values, DType::F32, &[rows.len(), cols])?;
        let numbers = rows.slice::<u32>()?;
        let ascending = numbers.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending || numbers.last().is_some_and(|&last| last as usize >= count) {
            return Err(Error::Usage(format!("its `rows` do not ascend below {count}")));
        }
        Ok(Rows { shape, rows, values })
    }

    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Values that it changes.
    pub fn count(&self) -> usize {
        self.values.len()
    }

    /// Adds it to the flattened tensor.
    pub fn add(&self, to: &mut [f32]) {
        let cols = self.values.shape().last().copied().unwrap_or(0);
        if cols == 0 {
            return;
        }
        let rows: &[u32] = bytemuck::cast_slice(self.rows.bytes());
        for (&row, change) in rows.iter().zip(part::floats(&self.values).chunks_exact(cols)) {
            let to = to.chunks_exact_mut(cols).nth(row as usize).unwrap_or_default();
            to.iter_mut().zip(change).for_each(|(value, change)| *value += change);
        }
    }

    pub(super) fn parts(&self) -> Vec<(&'static str, &Tensor)> {
        vec![("rows", &self.rows), ("values", &self.values)]
    }
}
