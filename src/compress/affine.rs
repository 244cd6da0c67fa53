//! Affine groups: scale and zero point of each group, searched for the least squared error.

use half::f16;
use rayon::prelude::*;

use super::grid::{Grid, Matrix};
use crate::Result;
use crate::tensor::Tensor;
use crate::weights::Zero;

/// Clipped ranges tried: shares of the group's full range, from all of it downwards.
const SHARES: usize = 17;
const SMALLEST_SHARE: f32 = 0.6;

/// `W[r, c] ≈ (code − zero[r, g]) · scale[r, g]` with `g = c / group`.
pub struct AffineGrid {
    bits: u32,
    group: usize,
    /// Groups of a row.
    groups: usize,
    symmetric: bool,
    /// `(scale, zero)`, `[rows, groups]`.
    parameters: Vec<(f16, u8)>,
}

impl AffineGrid {
    pub fn fit(matrix: &Matrix, bits: u32, group: usize, symmetric: bool) -> Self {
        let groups = matrix.cols.div_ceil(group);
        let mut parameters = vec![(f16::ZERO, 0u8); matrix.rows * groups];
        parameters.par_chunks_mut(groups.max(1)).enumerate().for_each(|(row, out)| {
            let groups = matrix.row(row).chunks(group).zip(matrix.importance(row).chunks(group));
            for ((values, importance), out) in groups.zip(out) {
                *out = search(values, importance, bits, symmetric);
            }
        });
        AffineGrid { bits, group, groups, symmetric, parameters }
    }

    /// Scales f16 `[rows, groups]`, and zero points u8 `[rows, groups]` unless symmetric.
    pub fn into_tensors(self) -> Result<(Tensor, Zero)> {
        let shape = [self.parameters.len() / self.groups.max(1), self.groups];
        let scales: Vec<f16> = self.parameters.iter().map(|p| p.0).collect();
        let zeros: Vec<u8> = self.parameters.iter().map(|p| p.1).collect();
        let zero = if self.symmetric { Zero::Middle } else { Zero::PerGroup(Tensor::new(shape, &zeros)?) };
        Ok((Tensor::new(shape, &scales)?, zero))
    }
}

impl Grid for AffineGrid {
    fn bits(&self) -> u32 {
        self.bits
    }

    fn nearest(&self, row: usize, col: usize, values: &[f32], rounded: &mut [f32]) -> u16 {
        let (scale, zero) = self.parameters[row * self.groups + col / self.group];
        let (code, value) = round(values[0], scale.to_f32(), zero, self.bits);
        rounded[0] = value;
        code.into()
    }
}

fn round(value: f32, scale: f32, zero: u8, bits: u32) -> (u8, f32) {
    let most = ((1u32 << bits) - 1) as f32;
    let code = (value / scale + f32::from(zero)).round().clamp(0.0, most);
    // A group of zeros has scale 0: 0/0 is NaN, which becomes code 0 and decodes to 0.
    (code as u8, if scale > 0.0 { (code - f32::from(zero)) * scale } else { 0.0 })
}

fn search(values: &[f32], importance: &[f32], bits: u32, symmetric: bool) -> (f16, u8) {
    let most = ((1u32 << bits) - 1) as f32;
    let low = values.iter().copied().fold(0f32, f32::min);
    let high = values.iter().copied().fold(0f32, f32::max);
    let mut best = (f32::INFINITY, (f16::ZERO, 0));
    for i in 0..SHARES {
        let share = 1.0 - (1.0 - SMALLEST_SHARE) * i as f32 / (SHARES - 1) as f32;
        let (scale, zero) = if symmetric {
            // Codes run from −2^(bits−1) to 2^(bits−1) − 1; half a step more keeps both ends.
            let half = (1u32 << (bits - 1)) as f32;
            (share * high.max(-low) / (half - 0.5), half)
        } else {
            let scale = share * (high - low) / most;
            (scale, (-share * low / scale).round().clamp(0.0, most))
        };
        // As it will be stored; a scale below the smallest f16 becomes that one.
        let scale = if scale > 0.0 { f16::from_f32(scale).max(f16::from_bits(1)) } else { f16::ZERO };
        let zero = zero as u8;
        let error: f32 =
            values.iter().zip(importance).map(|(&v, w)| w * (round(v, scale.to_f32(), zero, bits).1 - v).powi(2)).sum();
        if error < best.0 {
            best = (error, (scale, zero));
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_on_a_grid_are_kept() {
        let values: Vec<f32> = (0..16).map(|i| (i as f32 - 5.0) * 0.25).collect();
        let (scale, zero) = search(&values, &[1.0; 16], 4, false);
        assert_eq!((scale.to_f32(), zero), (0.25, 5));
    }

    #[test]
    fn groups_of_zeros_decode_to_zeros() {
        for symmetric in [true, false] {
            let (scale, zero) = search(&[0.0; 8], &[1.0; 8], 4, symmetric);
            assert_eq!(round(0.0, scale.to_f32(), zero, 4).1, 0.0);
        }
    }
}
