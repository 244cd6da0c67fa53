//! Group-wise affine integers: `W = (q − z) · s + o` per group along a row (FineQuant; GPTQ, AWQ and ORT `MatMulNBits`
//! carry the same numbers in other orders, ggml's Q4_1 and MLX an offset instead of a zero point).

use super::encoding::{Encoding, Stored};
use super::parts::{check_part, check_scales, matrix, row_bytes, row_stride, scale_at};
use crate::tensor::{DType, Shape, Tensor, bits};
use crate::{Error, Result};

/// `W[r, c] = (code(r, c) − zero) · scale[r, g] + offset[r, g]` with `g = c / group`.
#[derive(Clone)]
pub struct Affine {
    shape: Shape,
    bits: u32,
    group: usize,
    /// u8 `[rows, row_stride]`: LSB-first codes, each row padded to 32 bits.
    codes: Tensor,
    /// f32, f16 or u8 (E8M0) `[rows, groups]`.
    scales: Tensor,
    zero: Zero,
}

/// Which code stands for 0.
#[derive(Clone)]
pub enum Zero {
    /// `2^(bits−1)`.
    Middle,
    /// u8 `[rows, groups]`.
    PerGroup(Tensor),
    /// Code 0 stands for the offset: f32 or f16 `[rows, groups]`, added after the scale.
    Offset(Tensor),
}

impl Affine {
    /// Checks every size. `group` counts weights along a row; the last group of a row may be short.
    pub fn new(shape: Shape, bits: u32, group: usize, codes: Tensor, scales: Tensor, zero: Zero) -> Result<Self> {
        let (rows, cols) = matrix(&shape)?;
        if ![2, 3, 4, 5, 6, 8].contains(&bits) {
            return Err(Error::Usage(format!("affine weights have 2, 3, 4, 5, 6 or 8 bits, not {bits}")));
        }
        if group == 0 {
            return Err(Error::Usage("an affine group must hold at least one weight".into()));
        }
        let groups = [rows, cols.div_ceil(group)];
        check_part("affine", "codes", &codes, DType::U8, &[rows, row_stride(cols, bits)])?;
        check_scales("affine", "scales", &scales, &groups)?;
        match &zero {
            Zero::Middle => {}
            Zero::PerGroup(zeros) => check_part("affine", "zeros", zeros, DType::U8, &groups)?,
            Zero::Offset(offsets) => check_part("affine", "offsets", offsets, float_of(offsets), &groups)?,
        }
        Ok(Affine { shape, bits, group, codes, scales, zero })
    }

    pub(super) fn restore(shape: Shape, stored: &Stored) -> Result<Self> {
        let zero = match (stored.opt_part("zeros"), stored.opt_part("offsets")) {
            (None, None) => Zero::Middle,
            (Some(zeros), None) => Zero::PerGroup(zeros),
            (None, Some(offsets)) => Zero::Offset(offsets),
            _ => return Err(Error::Usage("affine weights have zeros or offsets, not both".into())),
        };
        let (codes, scales) = (stored.part("codes")?, stored.part("scales")?);
        Self::new(shape, stored.bits()?, stored.field("group")?, codes, scales, zero)
    }

    pub fn bits(&self) -> u32 {
        self.bits
    }

    pub fn group(&self) -> usize {
        self.group
    }

    /// Groups of a row.
    pub fn groups(&self) -> usize {
        self.scales.shape()[1]
    }

    pub fn codes(&self) -> &Tensor {
        &self.codes
    }

    pub fn scales(&self) -> &Tensor {
        &self.scales
    }

    pub fn zero(&self) -> &Zero {
        &self.zero
    }

    /// The codes' bytes of one row.
    pub fn row_codes(&self, row: usize) -> &[u8] {
        row_bytes(&self.codes, row)
    }

    /// Scale, zero and offset of group `group` of `row`.
    pub fn group_params(&self, row: usize, group: usize) -> (f32, f32, f32) {
        let index = row * self.groups() + group;
        let scale = scale_at(&self.scales, index);
        match &self.zero {
            Zero::Middle => (scale, (1u32 << (self.bits - 1)) as f32, 0.0),
            Zero::PerGroup(zeros) => (scale, f32::from(zeros.bytes()[index]), 0.0),
            Zero::Offset(offsets) => (scale, 0.0, scale_at(offsets, index)),
        }
    }
}

/// The type that offsets should have had: their own if it is a float.
fn float_of(offsets: &Tensor) -> DType {
    if offsets.dtype() == DType::F16 { DType::F16 } else { DType::F32 }
}

impl Encoding for Affine {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn name(&self) -> String {
        let kind = match self.zero {
            Zero::Middle => ":sym",
            Zero::PerGroup(_) => "",
            Zero::Offset(_) => ":offset",
        };
        format!("affine:{}:group={}{kind}", self.bits, self.group)
    }

    fn decode(&self, row: usize, col: usize, out: &mut [f32]) {
        let codes = self.row_codes(row);
        for (i, v) in out.iter_mut().enumerate() {
            let (scale, zero, offset) = self.group_params(row, (col + i) / self.group);
            *v = (f32::from(bits::get(codes, col + i, self.bits)) - zero) * scale + offset;
        }
    }

    fn fields(&self) -> Vec<(&'static str, usize)> {
        vec![("bits", self.bits as usize), ("group", self.group)]
    }

    fn parts(&self) -> Vec<(&'static str, &Tensor)> {
        let mut parts = vec![("codes", &self.codes), ("scales", &self.scales)];
        match &self.zero {
            Zero::Middle => {}
            Zero::PerGroup(zeros) => parts.push(("zeros", zeros)),
            Zero::Offset(offsets) => parts.push(("offsets", offsets)),
        }
        parts
    }
}
