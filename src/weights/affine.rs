//! Group-wise affine integers: `W = (q − z) · s` per group along a row (FineQuant; GPTQ, AWQ and ORT `MatMulNBits`
//! carry the same numbers in other orders).

use half::f16;

use super::{Encoding, matrix, palette::check_part, row_stride};
use crate::tensor::{DType, Shape, Tensor, bits};
use crate::{Error, Result};

/// `W[r, c] = (code(r, c) − zero[r, c / group]) · scale[r, c / group]`; without zero points the zero is `2^(bits−1)`.
#[derive(Clone)]
pub struct Affine {
    shape: Shape,
    bits: u32,
    group: usize,
    /// u8 `[rows, row_stride]`: LSB-first codes, each row padded to 32 bits.
    codes: Tensor,
    /// f16 `[rows, groups]`.
    scales: Tensor,
    /// u8 `[rows, groups]`; `None` = symmetric.
    zeros: Option<Tensor>,
}

impl Affine {
    /// Checks every size. `group` counts weights along a row; the last group of a row may be short.
    pub fn new(
        shape: Shape,
        bits: u32,
        group: usize,
        codes: Tensor,
        scales: Tensor,
        zeros: Option<Tensor>,
    ) -> Result<Self> {
        let (rows, cols) = matrix(&shape)?;
        if ![2, 3, 4, 5, 6, 8].contains(&bits) {
            return Err(Error::Usage(format!("affine weights have 2, 3, 4, 5, 6 or 8 bits, not {bits}")));
        }
        if group == 0 {
            return Err(Error::Usage("an affine group must hold at least one weight".into()));
        }
        let groups = cols.div_ceil(group);
        check_part("affine", "codes", &codes, DType::U8, &[rows, row_stride(cols, bits)])?;
        check_part("affine", "scales", &scales, DType::F16, &[rows, groups])?;
        if let Some(zeros) = &zeros {
            check_part("affine", "zeros", zeros, DType::U8, &[rows, groups])?;
        }
        Ok(Affine { shape, bits, group, codes, scales, zeros })
    }

    pub fn bits(&self) -> u32 {
        self.bits
    }

    pub fn group(&self) -> usize {
        self.group
    }

    pub fn codes(&self) -> &Tensor {
        &self.codes
    }

    pub fn scales(&self) -> &Tensor {
        &self.scales
    }

    pub fn zeros(&self) -> Option<&Tensor> {
        self.zeros.as_ref()
    }

    /// The codes' bytes of one row.
    pub fn row_codes(&self, row: usize) -> &[u8] {
        let stride = self.codes.shape()[1];
        &self.codes.bytes()[row * stride..(row + 1) * stride]
    }

    /// Scale and zero of group `group` of `row`.
    pub fn group_params(&self, row: usize, group: usize) -> (f32, f32) {
        let index = row * self.scales.shape()[1] + group;
        let scale = bytemuck::cast_slice::<u8, f16>(self.scales.bytes())[index].to_f32();
        let zero = match &self.zeros {
            Some(zeros) => f32::from(zeros.bytes()[index]),
            None => (1u32 << (self.bits - 1)) as f32,
        };
        (scale, zero)
    }
}

impl Encoding for Affine {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn name(&self) -> String {
        let sym = if self.zeros.is_none() { ":sym" } else { "" };
        format!("affine:{}:group={}{sym}", self.bits, self.group)
    }

    fn decode(&self, row: usize, col: usize, out: &mut [f32]) {
        let codes = self.row_codes(row);
        for (i, v) in out.iter_mut().enumerate() {
            let (scale, zero) = self.group_params(row, (col + i) / self.group);
            *v = (f32::from(bits::get(codes, col + i, self.bits)) - zero) * scale;
        }
    }

    fn parts(&self) -> Vec<(&'static str, &Tensor)> {
        let mut parts = vec![("codes", &self.codes), ("scales", &self.scales)];
        parts.extend(self.zeros.as_ref().map(|z| ("zeros", z)));
        parts
    }
}
