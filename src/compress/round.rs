//! Rounding a matrix to a grid, with error feedback between columns where calibration gave it.

use rayon::prelude::*;

use super::descend::{Block, descend};
use super::feedback::{Feedback, Statistics};
use super::grid::{Grid, MAX_DIM, Matrix};
use crate::Result;
use crate::tensor::{DType, Tensor, TensorType, bits};

/// Rows that are rounded together: they share the reading of the feedback's factors. A multiple of every `dim`.
const BLOCK: usize = 16;

/// Where the elements of a row go that has fewer codes than columns.
pub trait Places: Sync {
    /// Codes of a row.
    fn width(&self) -> usize;

    /// The place of each column's code; `None` = the weight is 0 and has no code.
    fn of_row(&self, row: usize) -> Vec<Option<usize>>;
}

/// Rounds every row: u8 `[rows / dim, stride]`, codes LSB-first, rows padded to 32 bits.
pub fn round(
    matrix: &Matrix,
    grid: &dyn Grid,
    places: Option<&dyn Places>,
    guide: Option<(&Feedback, &Statistics)>,
) -> Result<Tensor> {
    let (dim, cols) = (grid.dim(), matrix.cols);
    let width = places.map_or(cols, |p| p.width());
    let stride = (width * grid.bits() as usize).div_ceil(32) * 4;
    let mut packed = Tensor::zeros(TensorType::new(DType::U8, [matrix.rows.div_ceil(dim), stride]))?;
    packed.bytes_mut().par_chunks_mut((stride * BLOCK / dim).max(1)).enumerate().for_each(|(block, out)| {
        let rows = block * BLOCK..((block + 1) * BLOCK).min(matrix.rows);
        let codes = round_rows(matrix, grid, places, guide, rows, width);
        for (codes, out) in codes.chunks(width.max(1)).zip(out.chunks_mut(stride.max(1))) {
            pack(codes, grid.bits(), out);
        }
    });
    Ok(packed)
}

fn pack(codes: &[u16], bits: u32, out: &mut [u8]) {
    if bits == 16 {
        out.chunks_exact_mut(2).zip(codes).for_each(|(out, code)| out.copy_from_slice(&code.to_le_bytes()));
        return;
    }
    let codes: Vec<u8> = codes.iter().map(|&c| c as u8).collect();
    let bytes = bits::pack(&codes, bits);
    out[..bytes.len()].copy_from_slice(&bytes);
}

/// Codes `[rows / dim, width]` of some rows.
fn round_rows(
    matrix: &Matrix,
    grid: &dyn Grid,
    places: Option<&dyn Places>,
    guide: Option<(&Feedback, &Statistics)>,
    rows: std::ops::Range<usize>,
    width: usize,
) -> Vec<u16> {
    let (dim, cols, count) = (grid.dim(), matrix.cols, rows.len());
    let order: Vec<usize> = guide.map_or_else(|| (0..cols).collect(), |(f, _)| f.order().to_vec());
    // Columns in the order of rounding.
    let mut values: Vec<f32> = Vec::with_capacity(count * cols);
    for row in rows.clone() {
        let row = matrix.row(row);
        values.extend(order.iter().map(|&col| row[col]));
    }
    let mut block = Block {
        first: rows.start,
        wanted: &matrix.data[rows.start * cols..rows.end * cols],
        decoded: vec![0f32; count * cols],
        codes: vec![0u16; count.div_ceil(dim) * width],
        width,
        places: places.map(|p| rows.map(|row| p.of_row(row)).collect()),
    };
    for (j, &col) in order.iter().enumerate() {
        for top in (0..count).step_by(dim) {
            let lanes = dim.min(count - top);
            let (mut wanted, mut rounded) = ([0f32; MAX_DIM], [0f32; MAX_DIM]);
            for lane in 0..lanes {
                wanted[lane] = values[(top + lane) * cols + j];
            }
            if let Some(place) = block.place(top, col) {
                block.codes[top / dim * width + place] =
                    grid.nearest(block.first + top, place, &wanted[..lanes], &mut rounded[..lanes]);
            }
            for lane in 0..lanes {
                block.decoded[(top + lane) * cols + col] = rounded[lane];
                if let Some((feedback, _)) = guide {
                    feedback.spread(&mut values[(top + lane) * cols..][..cols], j, rounded[lane]);
                }
            }
        }
    }
    if let Some((_, statistics)) = guide {
        descend(&mut block, grid, statistics);
    }
    block.codes
}
