//! Sparse weights: a bit per weight says whether it is there; those that are lie next to each other in a matrix of
//! their own, in any other encoding (the layout of Sparse Finetuning, Kurtic et al. 2023, with whole rows).

use std::sync::Arc;

use super::encoding::{Encoding, Nested, Stored};
use super::parts::{check_part, matrix, row_bytes, row_stride};
use crate::tensor::{DType, Shape, Tensor};
use crate::{Error, Result};

/// Field of the stored form: columns of the values.
pub(super) const WIDTH: &str = "width";
/// Field of the stored form: 1 for two of every four.
const TWO_OF_FOUR: &str = "two_of_four";
/// The stored form's name for the values.
pub(super) const VALUES: &str = "values";

/// `W[r, c] = values[r, number of ones in mask[r, ..c]]` where `mask[r, c]` is 1, else 0.
#[derive(Clone)]
pub struct Sparse<E> {
    shape: Shape,
    /// u8 `[rows, row_stride(cols, 1)]`: LSB-first, 1 = there.
    mask: Tensor,
    /// `[rows, width]` with the width of the fullest row.
    values: Arc<E>,
    two_of_four: bool,
}

impl<E: Nested> Sparse<E> {
    /// Checks that no row has more ones than values, none lies past the columns and, if so said, that every four
    /// neighbours have two of them at most.
    pub fn new(shape: Shape, mask: Tensor, values: Arc<E>, two_of_four: bool) -> Result<Self> {
        let (rows, cols) = matrix(&shape)?;
        check_part("sparse", "mask", &mask, DType::U8, &[rows, row_stride(cols, 1)])?;
        let &[value_rows, width] = values.shape() else {
            return Err(Error::Usage(format!("sparse values must be a matrix, got {:?}", values.shape())));
        };
        if value_rows != rows || matches!(values.kind(), "sparse" | "blocks") {
            return Err(Error::Usage(format!("{value_rows} rows of {} are no values of {rows} rows", values.kind())));
        }
        for row in 0..rows {
            let bytes = row_bytes(&mask, row);
            if ones_before(bytes, bytes.len() * 8) != ones_before(bytes, cols) || ones_before(bytes, cols) > width {
                return Err(Error::Usage(format!("row {row} of a sparse weight has more than {width} values")));
            }
            let quads = || bytes.iter().flat_map(|b| [b & 15, b >> 4]);
            if two_of_four && quads().any(|q| q.count_ones() > 2) {
                return Err(Error::Usage(format!("row {row} of a sparse weight has more than two of four")));
            }
        }
        Ok(Sparse { shape, mask, values, two_of_four })
    }

    pub(super) fn restore(shape: Shape, stored: &Stored) -> Result<Self> {
        let (rows, _) = matrix(&shape)?;
        let kind = stored.word(VALUES)?;
        let inner = vec![rows, stored.field(WIDTH)?];
        let values =
            (!matches!(kind, "sparse" | "blocks")).then(|| E::restore(kind, inner, &stored.below(VALUES))).flatten();
        let values = values.unwrap_or_else(|| Err(Error::Unsupported(format!("sparse values as `{kind}`"))))?;
        let two_of_four = stored.opt_field(TWO_OF_FOUR).is_some_and(|n| n != 0);
        Self::new(shape, stored.part("mask")?, Arc::new(values), two_of_four)
    }

    pub fn mask(&self) -> &Tensor {
        &self.mask
    }

    pub fn values(&self) -> &E {
        &self.values
    }

    /// Whether every four neighbours along a row have two values at most.
    pub fn two_of_four(&self) -> bool {
        self.two_of_four
    }

    /// Whether every four neighbours along a row have exactly two values, those of columns 4 i … 4 i + 3 at 2 i.
    pub fn has_pairs(&self) -> bool {
        let cols: usize = self.shape[1..].iter().product();
        let full = |row| 2 * self.ones_before(row, cols) == cols;
        self.two_of_four && cols.is_multiple_of(4) && (0..self.shape[0]).all(full)
    }

    /// Columns of the values.
    pub fn width(&self) -> usize {
        self.values.shape()[1]
    }

    /// The mask's bytes of one row.
    pub fn row_mask(&self, row: usize) -> &[u8] {
        row_bytes(&self.mask, row)
    }

    /// How many of the first `cols` weights of a row are there.
    pub fn ones_before(&self, row: usize, cols: usize) -> usize {
        ones_before(self.row_mask(row), cols)
    }
}

/// Ones among the first `count` bits, word by word.
fn ones_before(mask: &[u8], count: usize) -> usize {
    let (words, bytes) = mask[..count / 8].as_chunks();
    let words: u32 = words.iter().map(|word| u64::from_le_bytes(*word).count_ones()).sum();
    let bytes: u32 = bytes.iter().map(|byte| byte.count_ones()).sum();
    let rest = match count % 8 {
        0 => 0,
        bits => (mask[count / 8] & ((1 << bits) - 1)).count_ones(),
    };
    (words + bytes + rest) as usize
}

impl<E: Nested> Encoding for Sparse<E> {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn name(&self) -> String {
        let cols: usize = self.shape[1..].iter().product();
        let gone = 1.0 - self.width() as f64 / cols.max(1) as f64;
        match self.two_of_four {
            true => format!("sparse:2of4+{}", self.values.name()),
            false => format!("sparse:{}+{}", (gone * 1e4).round() / 1e4, self.values.name()),
        }
    }

    fn decode(&self, row: usize, col: usize, out: &mut [f32]) {
        let mask = self.row_mask(row);
        let first = ones_before(mask, col);
        let mut values = vec![0f32; ones_before(mask, col + out.len()) - first];
        self.values.decode(row, first, &mut values);
        let mut values = values.into_iter();
        for (i, v) in out.iter_mut().enumerate() {
            let at = col + i;
            let there = mask[at / 8] >> (at % 8) & 1 == 1;
            *v = if there { values.next().unwrap_or_default() } else { 0.0 };
        }
    }

    fn fields(&self) -> Vec<(&'static str, usize)> {
        let mut fields = vec![(WIDTH, self.width())];
        if self.two_of_four {
            fields.push((TWO_OF_FOUR, 1));
        }
        fields
    }

    fn parts(&self) -> Vec<(&'static str, &Tensor)> {
        vec![("mask", &self.mask)]
    }
}
