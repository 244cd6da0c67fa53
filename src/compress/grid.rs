//! What encoders take and what they fit: a weight as a matrix, and the values it may take.

use std::borrow::Cow;

/// A weight seen as a matrix, with how much each of its elements matters.
pub struct Matrix<'a> {
    pub rows: usize,
    pub cols: usize,
    /// `[rows, cols]`.
    pub data: Cow<'a, [f32]>,
    /// `[cols]`, the same for all rows, or `[rows, cols]`.
    pub importance: Vec<f32>,
}

impl Matrix<'_> {
    pub fn row(&self, row: usize) -> &[f32] {
        &self.data[row * self.cols..(row + 1) * self.cols]
    }

    pub fn importance(&self, row: usize) -> &[f32] {
        let own = if self.importance.len() > self.cols { row } else { 0 };
        &self.importance[own * self.cols..(own + 1) * self.cols]
    }
}

/// Most rows that share a code.
pub const MAX_DIM: usize = 4;

/// The values that a weight may take, fixed before any of them is rounded.
pub trait Grid: Sync {
    /// Bits of a code: 1 to 8, or 16.
    fn bits(&self) -> u32;

    /// Neighbouring rows that share a code.
    fn dim(&self) -> usize {
        1
    }

    /// The code nearest to `values`, those of rows `row ..` in column `col`, and what it decodes to there. They are `dim`
    /// values, or fewer at the last rows.
    fn nearest(&self, row: usize, col: usize, values: &[f32], rounded: &mut [f32]) -> u16;
}

/// Half precision as a grid: the code is the number's bits.
pub struct HalfGrid;

impl Grid for HalfGrid {
    fn bits(&self) -> u32 {
        16
    }

    fn nearest(&self, _row: usize, _col: usize, values: &[f32], rounded: &mut [f32]) -> u16 {
        let half = half::f16::from_f32(values[0]);
        rounded[0] = half.to_f32();
        half.to_bits()
    }
}
