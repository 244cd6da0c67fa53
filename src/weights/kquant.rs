//! Integers with two levels of scales: few-bit scales per group, f16 scales per 256 weights (ggml's Q2_K … Q6_K carry
//! the same numbers in other orders, at the same size).

use super::encoding::{Encoding, Stored};
use super::parts::{check_part, matrix, row_bytes, row_stride, scale_at};
use crate::tensor::{DType, Shape, Tensor, bits};
use crate::{Error, Result};

/// Weights that share the f16 scales.
pub const SUPER: usize = 256;

/// With `g = c / group`, `b = c / 256`:
///
/// - with minima: `W[r, c] = d[r, b] · scale[r, g] · code(r, c) − dmin[r, b] · min[r, g]`
/// - without: `W[r, c] = d[r, b] · (scale[r, g] − 2^(scale_bits−1)) · (code(r, c) − 2^(bits−1))`
#[derive(Clone)]
pub struct KQuant {
    shape: Shape,
    bits: u32,
    group: usize,
    scale_bits: u32,
    minima: bool,
    /// u8 `[rows, row_stride]`: LSB-first codes, each row padded to 32 bits.
    codes: Tensor,
    /// u8 `[rows, row_stride]`: LSB-first `scale_bits`-bit scales, with minima as pairs (scale, min).
    scales: Tensor,
    /// f16 `[rows, supers]`: d; with minima `[rows, supers, 2]`: (d, dmin).
    supers: Tensor,
}

impl KQuant {
    pub fn new(
        shape: Shape,
        [bits, group, scale_bits]: [usize; 3],
        minima: bool,
        codes: Tensor,
        scales: Tensor,
        supers: Tensor,
    ) -> Result<Self> {
        let (rows, cols) = matrix(&shape)?;
        if ![2, 3, 4, 5, 6].contains(&bits) || ![4, 6, 8].contains(&scale_bits) || ![16, 32].contains(&group) {
            let what = format!("{bits} bits in groups of {group} with scales of {scale_bits} bits");
            return Err(Error::Usage(format!("no super-block encoding has {what}")));
        }
        let (bits, scale_bits) = (bits as u32, scale_bits as u32);
        let per_group = if minima { 2 } else { 1 };
        let streams =
            [(&codes, "codes", cols, bits), (&scales, "scales", cols.div_ceil(group) * per_group, scale_bits)];
        for (tensor, part, count, bits) in streams {
            check_part("kquant", part, tensor, DType::U8, &[rows, row_stride(count, bits)])?;
        }
        let expect = [rows, cols.div_ceil(SUPER), 2];
        check_part("kquant", "supers", &supers, DType::F16, if minima { &expect } else { &expect[..2] })?;
        Ok(KQuant { shape, bits, group, scale_bits, minima, codes, scales, supers })
    }

    pub(super) fn restore(shape: Shape, stored: &Stored) -> Result<Self> {
        let sizes = [stored.field("bits")?, stored.field("group")?, stored.field("scale_bits")?];
        let minima = stored.field("minima")? != 0;
        Self::new(shape, sizes, minima, stored.part("codes")?, stored.part("scales")?, stored.part("supers")?)
    }

    pub fn bits(&self) -> u32 {
        self.bits
    }

    pub fn group(&self) -> usize {
        self.group
    }

    pub fn scale_bits(&self) -> u32 {
        self.scale_bits
    }

    pub fn minima(&self) -> bool {
        self.minima
    }

    pub fn codes(&self) -> &Tensor {
        &self.codes
    }

    pub fn scales(&self) -> &Tensor {
        &self.scales
    }

    pub fn supers(&self) -> &Tensor {
        &self.supers
    }

    /// The codes' bytes of one row.
    pub fn row_codes(&self, row: usize) -> &[u8] {
        row_bytes(&self.codes, row)
    }

    /// Scale, zero and offset of group `group` of `row`: `W = (code − zero) · scale + offset`.
    pub fn group_params(&self, row: usize, group: usize) -> (f32, f32, f32) {
        let scales = row_bytes(&self.scales, row);
        let supers = self.supers.shape()[1];
        let super_block = row * supers + group * self.group / SUPER;
        if self.minima {
            let [scale, min] = [0, 1].map(|i| f32::from(bits::get(scales, 2 * group + i, self.scale_bits)));
            let (d, dmin) = (scale_at(&self.supers, 2 * super_block), scale_at(&self.supers, 2 * super_block + 1));
            return (d * scale, 0.0, -(dmin * min));
        }
        let scale = f32::from(bits::get(scales, group, self.scale_bits)) - (1u32 << (self.scale_bits - 1)) as f32;
        (scale_at(&self.supers, super_block) * scale, (1u32 << (self.bits - 1)) as f32, 0.0)
    }
}

impl Encoding for KQuant {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn name(&self) -> String {
        format!("q{}_k", self.bits)
    }

    fn decode(&self, row: usize, col: usize, out: &mut [f32]) {
        let codes = self.row_codes(row);
        for (i, v) in out.iter_mut().enumerate() {
            let (scale, zero, offset) = self.group_params(row, (col + i) / self.group);
            *v = scale * (f32::from(bits::get(codes, col + i, self.bits)) - zero) + offset;
        }
    }

    fn fields(&self) -> Vec<(&'static str, usize)> {
        vec![
            ("bits", self.bits as usize),
            ("group", self.group),
            ("scale_bits", self.scale_bits as usize),
            ("minima", usize::from(self.minima)),
        ]
    }

    fn parts(&self) -> Vec<(&'static str, &Tensor)> {
        vec![("codes", &self.codes), ("scales", &self.scales), ("supers", &self.supers)]
    }
}
