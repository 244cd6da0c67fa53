//! Weights column by column: word or factor i of all rows, then i + 1. A column has room for a multiple of `FOURS` rows,
//! zeros behind the last, so that kernels can read four at once.

use std::ops::Range;

use crate::Result;
use crate::tensor::{Tensor, bits};
use crate::weights::parts::scale_at;

/// Rows of a weight that some kernels read at once.
const FOURS: usize = 4;

/// Rows from one column to the next.
pub fn height(rows: usize) -> usize {
    rows.next_multiple_of(FOURS)
}

/// The bytes of each row as 32-bit words, the last padded with zeros, in columns of `height` rows.
pub fn of_words(part: &Tensor) -> Vec<u8> {
    let rows = part.shape().first().copied().unwrap_or(1).max(1);
    words(part, height(rows))
}

/// The same in columns of no more rows than there are.
pub fn transposed(part: &Tensor) -> Vec<u8> {
    let rows = part.shape().first().copied().unwrap_or(1).max(1);
    words(part, rows)
}

fn words(part: &Tensor, height: usize) -> Vec<u8> {
    let rows = part.shape().first().copied().unwrap_or(1).max(1);
    let stride = part.bytes().len() / rows;
    let words = stride.div_ceil(4);
    let mut out = vec![[0u8; 4]; height * words];
    for (row, bytes) in part.bytes().chunks_exact(stride.max(1)).enumerate() {
        for (word, bytes) in bytes.chunks(4).enumerate() {
            out[word * height + row][..bytes.len()].copy_from_slice(bytes);
        }
    }
    out.into_flattened()
}

/// `count` codes of `bits` bits in each row as bytes.
pub fn as_bytes(part: &Tensor, count: usize, bits: u32) -> Result<Tensor> {
    let rows = part.shape().first().copied().unwrap_or(1).max(1);
    let stride = part.bytes().len() / rows;
    let codes = |row: usize| {
        let bytes = &part.bytes()[row * stride..][..stride];
        (0..count).map(move |i| bits::get(bytes, i, bits))
    };
    Tensor::new([rows, count], &(0..rows).flat_map(codes).collect::<Vec<u8>>())
}

/// Columns of a matrix of words with `cols` columns.
pub fn cut(matrix: &Tensor, cols: usize, range: Range<usize>) -> Vec<u8> {
    let rows = matrix.bytes().chunks_exact(4 * cols.max(1));
    rows.flat_map(|row| &row[4 * range.start..4 * range.end]).copied().collect()
}

/// Scales of any stored type as f32.
pub fn of_factors(part: &Tensor) -> Vec<u8> {
    let rows = part.shape().first().copied().unwrap_or(1).max(1);
    let cols = part.ty().len() / rows;
    let mut out = Vec::with_capacity(4 * height(rows) * cols);
    for col in 0..cols {
        out.extend((0..rows).flat_map(|row| scale_at(part, row * cols + col).to_le_bytes()));
        out.resize(4 * height(rows) * (col + 1), 0);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_factors_change_places() {
        let bytes = Tensor::new([2, 6], &[1u8, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]).unwrap();
        assert_eq!(transposed(&bytes), [1, 2, 3, 4, 7, 8, 9, 10, 5, 6, 0, 0, 11, 12, 0, 0]);
        let column = |bytes: [u8; 8]| [bytes, [0; 8]].concat();
        let columns = [column([1, 2, 3, 4, 7, 8, 9, 10]), column([5, 6, 0, 0, 11, 12, 0, 0])];
        assert_eq!(of_words(&bytes), columns.concat());
        let halves = Tensor::new([2, 2], &[1.0, 2.0, 3.0, 4.0].map(half::f16::from_f32)).unwrap();
        let columns = [1f32, 3.0, 0.0, 0.0, 2.0, 4.0, 0.0, 0.0];
        assert_eq!(of_factors(&halves), columns.map(f32::to_le_bytes).concat());
    }
}
