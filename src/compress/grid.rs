//! What encoders take and what they fit: a weight as a matrix, and the values it may take.

/// A weight seen as a matrix, with how much each column matters.
pub struct Matrix<'a> {
    pub rows: usize,
    pub cols: usize,
    /// `[rows, cols]`.
    pub data: &'a [f32],
    /// `[cols]`.
    pub importance: Vec<f32>,
}

impl Matrix<'_> {
    pub fn row(&self, row: usize) -> &[f32] {
        &self.data[row * self.cols..(row + 1) * self.cols]
    }
}

/// The values that a weight may take, fixed before any of them is rounded.
pub trait Grid: Sync {
    fn bits(&self) -> u32;

    /// The code nearest to `value` at `[row, col]`, and what it decodes to.
    fn nearest(&self, row: usize, col: usize, value: f32) -> (u8, f32);
}
