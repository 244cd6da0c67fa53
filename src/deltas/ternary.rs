//! Ternary task vectors, ComPEFT (Yadav et al. 2023): of what fine-tuning changed the largest values are kept, each as its sign
//! alone, and all have one size, `α · σ(τ)`.

use super::part;
use super::positions;
use crate::Result;
use crate::tensor::{DType, Shape, Tensor, element_count};
use crate::weights::Stored;

/// `ΔW[p] = ±value` at the positions `p` kept, 0 elsewhere.
#[derive(Clone, Debug)]
pub struct Ternary {
    shape: Shape,
    count: usize,
    parameter: u32,
    /// u8: a gap and a sign (set: negative) per position, as `positions` writes them.
    codes: Tensor,
    /// f32 `[1]`
    value: Tensor,
}

impl Ternary {
    /// `positions` ascending in the flattened tensor; of each whether it is negative.
    pub fn new(shape: Shape, value: f32, positions: &[u32], negative: &[bool]) -> Result<Self> {
        let (parameter, codes) = positions::write(positions, negative);
        let codes = Tensor::new([codes.len()], &codes)?;
        Ok(Ternary { shape, count: positions.len(), parameter, codes, value: Tensor::new([1], &[value])? })
    }

    pub(super) fn restore(shape: Shape, stored: &Stored) -> Result<Self> {
        let (codes, value) = (stored.part("codes")?, stored.part("value")?);
        part::check("value", &value, DType::F32, &[1])?;
        part::check("codes", &codes, DType::U8, &[codes.len()])?;
        let (count, len) = (stored.field("count")?, element_count(&shape)?);
        let parameter = positions::check(codes.bytes(), stored.field("rice")?, count, true, len)?;
        Ok(Ternary { shape, count, parameter, codes, value })
    }

    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Values that it changes.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Adds it to the flattened tensor.
    pub fn add(&self, values: &mut [f32]) {
        let size = part::floats(&self.value).first().copied().unwrap_or(0.0);
        positions::read(self.codes.bytes(), self.parameter, self.count, true, |_, at, negative| {
            if let Some(value) = values.get_mut(at) {
                *value += if negative { -size } else { size };
            }
        });
    }

    pub(super) fn fields(&self) -> Vec<(&'static str, usize)> {
        vec![("count", self.count), ("rice", self.parameter as usize)]
    }

    pub(super) fn parts(&self) -> Vec<(&'static str, &Tensor)> {
        vec![("codes", &self.codes), ("value", &self.value)]
    }
}
