//! Low-rank updates, LoRA (Hu et al. 2021): the difference is a product of two thin matrices.

use super::part;
use crate::tensor::{DType, Shape, Tensor};
use crate::weights::Stored;
use crate::{Error, Result};

/// `ΔW = scale · up · down`. A tensor `[rows, …]` is a matrix `[rows, cols]`.
#[derive(Clone, Debug)]
pub struct LowRank {
    shape: Shape,
    /// f32 `[rows, rank]`, LoRA's B.
    up: Tensor,
    /// f32 `[rank, cols]`, LoRA's A.
    down: Tensor,
    /// f32 `[1]`
    scale: Tensor,
}

impl LowRank {
    /// `up` f32 `[rows, rank]`, `down` f32 `[rank, cols]`. `Error::Usage` if they do not make a matrix of the shape.
    pub fn new(shape: Shape, up: Tensor, down: Tensor, scale: f32) -> Result<Self> {
        Self::checked(shape, up, down, Tensor::new([1], &[scale])?)
    }

    pub(super) fn restore(shape: Shape, stored: &Stored) -> Result<Self> {
        Self::checked(shape, stored.part("up")?, stored.part("down")?, stored.part("scale")?)
    }

    fn checked(shape: Shape, up: Tensor, down: Tensor, scale: Tensor) -> Result<Self> {
        let [rows, cols] = part::matrix(&shape)?;
        let rank = down.shape().first().copied().unwrap_or(0);
        part::check("up", &up, DType::F32, &[rows, rank])?;
        part::check("down", &down, DType::F32, &[rank, cols])?;
        part::check("scale", &scale, DType::F32, &[1])?;
        // Rank 0 would make any shape out of no bytes.
        if rank == 0 {
            return Err(Error::Usage("its rank is 0".into()));
        }
        Ok(LowRank { shape, up, down, scale })
    }

    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Values that it changes.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// LoRA's A, `[rank, cols]`.
    pub fn down(&self) -> &Tensor {
        &self.down
    }

    /// LoRA's B times the scale, `[rows, rank]`.
    pub fn scaled_up(&self) -> Result<Tensor> {
        let scale = self.scale();
        let up: Vec<f32> = part::floats(&self.up).iter().map(|value| scale * value).collect();
        Tensor::new(self.up.shape(), &up)
    }

    /// Adds it to the flattened tensor. Sums over the rank are in f32.
    pub fn add(&self, to: &mut [f32]) {
        let (up, down, scale) = (part::floats(&self.up), part::floats(&self.down), self.scale());
        let rank = self.down.shape().first().copied().unwrap_or(1).max(1);
        let cols = down.len() / rank;
        if cols == 0 {
            return;
        }
        let mut sum = vec![0f32; cols];
        for (to, up) in to.chunks_exact_mut(cols).zip(up.chunks_exact(rank)) {
            sum.fill(0.0);
            for (factor, down) in up.iter().zip(down.chunks_exact(cols)) {
                sum.iter_mut().zip(down).for_each(|(sum, down)| *sum += factor * down);
            }
            to.iter_mut().zip(&sum).for_each(|(value, sum)| *value += scale * sum);
        }
    }

    fn scale(&self) -> f32 {
        part::floats(&self.scale).first().copied().unwrap_or(0.0)
    }

    pub(super) fn parts(&self) -> Vec<(&'static str, &Tensor)> {
        vec![("up", &self.up), ("down", &self.down), ("scale", &self.scale)]
    }
}
