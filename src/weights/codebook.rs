//! Additive codebooks: a short vector of weights is the sum of one entry of each codebook (AQLM, Egiazarian et al. 2024;
//! PV-Tuning changes the training only).

use super::encoding::{Encoding, Stored};
use super::parts::{check_part, check_scales, matrix, row_bytes, row_stride, scale_at};
use crate::tensor::{DType, Shape, Tensor};
use crate::{Error, Result};

/// `W[r, c] = scale[r] · Σ_m book[m][code(r, c / group, m)][c % group]`.
#[derive(Clone)]
pub struct Codebook {
    shape: Shape,
    /// Bits of a code: a codebook has `2^bits` entries.
    bits: u32,
    /// Weights of an entry, neighbours along a row.
    group: usize,
    /// u8 `[rows, row_stride]`: LSB-first codes, those of a group one after the other, each row padded to 32 bits.
    codes: Tensor,
    /// f16 `[books, 2^bits, group]`.
    books: Tensor,
    /// f32 or f16 `[rows]`.
    scales: Tensor,
}

impl Codebook {
    pub fn new(shape: Shape, bits: usize, group: usize, codes: Tensor, books: Tensor, scales: Tensor) -> Result<Self> {
        let (rows, cols) = matrix(&shape)?;
        if !(1..=16).contains(&bits) || ![4, 8, 16].contains(&group) {
            return Err(Error::Usage(format!(
                "no codebook has {bits} bits and vectors of {group}; 1–16 and 4, 8 or 16"
            )));
        }
        let count = books.shape().first().copied().unwrap_or(0);
        if !(1..=8).contains(&count) {
            return Err(Error::Usage(format!("a weight is the sum of 1 to 8 codebooks, not {count}")));
        }
        let stride = row_stride(cols.div_ceil(group) * count, bits as u32);
        check_part("codebook", "codes", &codes, DType::U8, &[rows, stride])?;
        check_part("codebook", "books", &books, DType::F16, &[count, 1 << bits, group])?;
        check_scales("codebook", "scales", &scales, &[rows])?;
        Ok(Codebook { shape, bits: bits as u32, group, codes, books, scales })
    }

    pub(super) fn restore(shape: Shape, stored: &Stored) -> Result<Self> {
        let (codes, books) = (stored.part("codes")?, stored.part("books")?);
        Self::new(shape, stored.field("bits")?, stored.field("group")?, codes, books, stored.part("scales")?)
    }

    pub fn bits(&self) -> u32 {
        self.bits
    }

    pub fn group(&self) -> usize {
        self.group
    }

    /// How many codebooks are added up.
    pub fn count(&self) -> usize {
        self.books.shape()[0]
    }

    pub fn codes(&self) -> &Tensor {
        &self.codes
    }

    pub fn books(&self) -> &Tensor {
        &self.books
    }

    pub fn scales(&self) -> &Tensor {
        &self.scales
    }

    /// Code of codebook `book` for group `group` of `row`.
    pub fn code(&self, row: usize, group: usize, book: usize) -> usize {
        let (codes, i) = (row_bytes(&self.codes, row), group * self.count() + book);
        match self.bits {
            16 => usize::from(u16::from_le_bytes([codes[2 * i], codes[2 * i + 1]])),
            bits => (0..bits as usize)
                .map(|b| i * bits as usize + b)
                .enumerate()
                .fold(0, |code, (b, at)| code | usize::from(codes[at / 8] >> (at % 8) & 1) << b),
        }
    }

    /// The `group` values of entry `code` of codebook `book`, as f16.
    pub fn entry(&self, book: usize, code: usize) -> &[half::f16] {
        let books: &[half::f16] = bytemuck::cast_slice(self.books.bytes());
        &books[((book << self.bits) + code) * self.group..][..self.group]
    }

    pub fn row_scale(&self, row: usize) -> f32 {
        scale_at(&self.scales, row)
    }
}

impl Encoding for Codebook {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn name(&self) -> String {
        format!("codebook:{}x{}:group={}", self.count(), self.bits, self.group)
    }

    fn decode(&self, row: usize, col: usize, out: &mut [f32]) {
        let scale = self.row_scale(row);
        let mut i = 0;
        while i < out.len() {
            let (group, lane) = ((col + i) / self.group, (col + i) % self.group);
            let take = (self.group - lane).min(out.len() - i);
            let out = &mut out[i..i + take];
            out.fill(0.0);
            for book in 0..self.count() {
                let entry = &self.entry(book, self.code(row, group, book))[lane..];
                out.iter_mut().zip(entry).for_each(|(v, e)| *v += e.to_f32());
            }
            out.iter_mut().for_each(|v| *v *= scale);
            i += take;
        }
    }

    fn fields(&self) -> Vec<(&'static str, usize)> {
        vec![("bits", self.bits as usize), ("group", self.group)]
    }

    fn parts(&self) -> Vec<(&'static str, &Tensor)> {
        vec![("codes", &self.codes), ("books", &self.books), ("scales", &self.scales)]
    }
}
