//! Dual-grained 4-bit weights: integer scales per group bring them to int8, one float scale per row from there
//! (DGQ, Zhang et al. 2023). Made for products with int8 activations, whose sums stay integers.

use super::encoding::{Encoding, Stored};
use super::parts::{check_part, matrix, row_bytes, row_stride};
use crate::tensor::{DType, Shape, Tensor, bits};
use crate::{Error, Result};

/// Bits of a code.
pub const BITS: u32 = 4;

/// `W[r, c] = (channel[r] · scale[r, g]) · (code(r, c) − zero[r, g])` with `g = c / group`; scale times the difference fits
/// int8.
#[derive(Clone)]
pub struct Dual {
    shape: Shape,
    group: usize,
    /// u8 `[rows, row_stride]`: LSB-first codes of 4 bits, each row padded to 32 bits.
    codes: Tensor,
    /// u8 `[rows, groups, 2]`: (scale, zero).
    grid: Tensor,
    /// f32 `[rows]`.
    channel: Tensor,
}

impl Dual {
    /// Checks every size, and that no code times scale leaves int8.
    pub fn new(shape: Shape, group: usize, codes: Tensor, grid: Tensor, channel: Tensor) -> Result<Self> {
        let (rows, cols) = matrix(&shape)?;
        if group == 0 {
            return Err(Error::Usage("a dual-grained group must hold at least one weight".into()));
        }
        check_part("dual", "codes", &codes, DType::U8, &[rows, row_stride(cols, BITS)])?;
        check_part("dual", "grid", &grid, DType::U8, &[rows, cols.div_ceil(group), 2])?;
        check_part("dual", "channel", &channel, DType::F32, &[rows])?;
        let weight = Dual { shape, group, codes, grid, channel };
        let outside = |row: usize| (0..cols).any(|col| i8::try_from(weight.integer(row, col)).is_err());
        match (0..rows).find(|&row| outside(row)) {
            Some(row) => Err(Error::Usage(format!("row {row} of a dual-grained weight does not fit int8"))),
            None => Ok(weight),
        }
    }

    pub(super) fn restore(shape: Shape, stored: &Stored) -> Result<Self> {
        let (codes, grid) = (stored.part("codes")?, stored.part("grid")?);
        Self::new(shape, stored.field("group")?, codes, grid, stored.part("channel")?)
    }

    pub fn group(&self) -> usize {
        self.group
    }

    pub fn codes(&self) -> &Tensor {
        &self.codes
    }

    pub fn grid(&self) -> &Tensor {
        &self.grid
    }

    pub fn channel(&self) -> &Tensor {
        &self.channel
    }

    /// The codes' bytes of one row.
    pub fn row_codes(&self, row: usize) -> &[u8] {
        row_bytes(&self.codes, row)
    }

    /// Scale and zero of group `group` of `row`.
    pub fn group_params(&self, row: usize, group: usize) -> (u8, u8) {
        let at = 2 * (row * self.grid.shape()[1] + group);
        (self.grid.bytes()[at], self.grid.bytes()[at + 1])
    }

    pub fn row_scale(&self, row: usize) -> f32 {
        bytemuck::cast_slice::<u8, f32>(self.channel.bytes())[row]
    }

    /// The weight before the row's scale; an int8.
    pub fn integer(&self, row: usize, col: usize) -> i32 {
        let (scale, zero) = self.group_params(row, col / self.group);
        (i32::from(bits::get(self.row_codes(row), col, BITS)) - i32::from(zero)) * i32::from(scale)
    }
}

impl Encoding for Dual {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn name(&self) -> String {
        format!("dual:group={}", self.group)
    }

    fn decode(&self, row: usize, col: usize, out: &mut [f32]) {
        let channel = self.row_scale(row);
        for (i, v) in out.iter_mut().enumerate() {
            let (scale, zero) = self.group_params(row, (col + i) / self.group);
            let difference = f32::from(bits::get(self.row_codes(row), col + i, BITS)) - f32::from(zero);
            *v = channel * f32::from(scale) * difference;
        }
    }

    fn fields(&self) -> Vec<(&'static str, usize)> {
        vec![("group", self.group)]
    }

    fn parts(&self) -> Vec<(&'static str, &Tensor)> {
        vec![("codes", &self.codes), ("grid", &self.grid), ("channel", &self.channel)]
    }
}
