//! Sparse differences (composable sparse fine-tuning, Ansell et al. 2022): the values that changed most, exactly, and where
//! they are.

use super::part;
use super::positions;
use crate::Result;
use crate::tensor::{DType, Shape, Tensor, element_count};
use crate::weights::Stored;

/// `ΔW[p] = value of p` at the positions `p` kept, 0 elsewhere.
#[derive(Clone, Debug)]
pub struct Sparse {
    shape: Shape,
    parameter: u32,
    /// u8: a gap per position, as `positions` writes them.
    gaps: Tensor,
    /// f32 `[count]`
    values: Tensor,
}

impl Sparse {
    /// `positions` ascending in the flattened tensor, and what is added to each.
    pub fn new(shape: Shape, positions: &[u32], values: &[f32]) -> Result<Self> {
        let (parameter, gaps) = positions::write(positions, &[]);
        let (gaps, values) = (Tensor::new([gaps.len()], &gaps)?, Tensor::new([values.len()], values)?);
        Ok(Sparse { shape, parameter, gaps, values })
    }

    pub(super) fn restore(shape: Shape, stored: &Stored) -> Result<Self> {
        let (gaps, values) = (stored.part("gaps")?, stored.part("values")?);
        part::check("values", &values, DType::F32, &[values.len()])?;
        part::check("gaps", &gaps, DType::U8, &[gaps.len()])?;
        let parameter =
            positions::check(gaps.bytes(), stored.field("rice")?, values.len(), false, element_count(&shape)?)?;
        Ok(Sparse { shape, parameter, gaps, values })
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
        let values = part::floats(&self.values);
        positions::read(self.gaps.bytes(), self.parameter, values.len(), false, |i, at, _| {
            if let Some(value) = to.get_mut(at) {
                *value += values[i];
            }
        });
    }

    pub(super) fn fields(&self) -> Vec<(&'static str, usize)> {
        vec![("rice", self.parameter as usize)]
    }

    pub(super) fn parts(&self) -> Vec<(&'static str, &Tensor)> {
        vec![("gaps", &self.gaps), ("values", &self.values)]
    }
}
