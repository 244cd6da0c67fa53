//! Block-sparse weights: blocks of neighbouring rows and columns are there or not, as many in each row of blocks (the
//! layout of Gray et al. 2017, with whole rows). What is there lies next to each other in a matrix of its own, in any
//! other encoding.

use std::sync::Arc;

use super::encoding::{Encoding, Nested, Stored};
use super::parts::{check_part, matrix};
use super::sparse::{VALUES, WIDTH};
use crate::tensor::{DType, Shape, Tensor};
use crate::{Error, Result};

/// The word that names the encoding in files.
const KIND: &str = "blocks";
/// A block may reach beyond the weight, but not as far as somebody likes.
const SIDES: std::ops::Range<usize> = 1..1 << 16;
/// Fields of the stored form: rows and columns of a block.
const ROWS: &str = "block_rows";
const COLS: &str = "block_cols";

/// `W[r, c] = values[r, i · cols + c mod cols]` where `index[r div rows, i] = c div cols`, else 0; `rows × cols` is the
/// size of a block. Blocks at the edges reach beyond the weight; what they hold there counts for nothing.
#[derive(Clone)]
pub struct Blocks<E> {
    shape: Shape,
    block: [usize; 2],
    /// u16 `[rows of blocks, blocks of each]`: which columns of blocks are there, ascending.
    index: Tensor,
    /// `[rows, blocks of each · columns of a block]`.
    values: Arc<E>,
}

impl<E: Nested> Blocks<E> {
    /// Checks that blocks ascend along each row of blocks, and lie within the weight.
    pub fn new(shape: Shape, block: [usize; 2], index: Tensor, values: Arc<E>) -> Result<Self> {
        let (rows, cols) = matrix(&shape)?;
        let [high, wide] = block;
        let usage = |what: String| Err(Error::Usage(what));
        if !SIDES.contains(&high) || !SIDES.contains(&wide) {
            return usage(format!("a block has 1 to 65535 rows and columns, not {high}×{wide}"));
        }
        let &[value_rows, width] = values.shape() else {
            return usage(format!("values of blocks must be a matrix, got {:?}", values.shape()));
        };
        if value_rows != rows || !width.is_multiple_of(wide) || matches!(values.kind(), KIND | "sparse") {
            let kind = values.kind();
            return usage(format!(
                "{value_rows}×{width} values of {kind} are no blocks of {high}×{wide} in {rows} rows"
            ));
        }
        let count = width / wide;
        check_part(KIND, "index", &index, DType::U16, &[rows.div_ceil(high), count])?;
        for (i, row) in index.slice::<u16>()?.chunks(count.max(1)).enumerate() {
            let last = row.last().is_none_or(|&last| usize::from(last) < cols.div_ceil(wide));
            if !last || !row.is_sorted_by(|a, b| a < b) {
                return usage(format!("row {i} of blocks does not ascend, or ends beyond {cols} columns"));
            }
        }
        Ok(Blocks { shape, block, index, values })
    }

    pub(super) fn restore(shape: Shape, stored: &Stored) -> Result<Self> {
        let (rows, _) = matrix(&shape)?;
        let kind = stored.word(VALUES)?;
        let block = [stored.field(ROWS)?, stored.field(COLS)?];
        let inner = vec![rows, stored.field(WIDTH)?];
        let values =
            (kind != KIND && kind != "sparse").then(|| E::restore(kind, inner, &stored.below(VALUES))).flatten();
        let values = values.unwrap_or_else(|| Err(Error::Unsupported(format!("values of blocks as `{kind}`"))))?;
        Self::new(shape, block, stored.part("index")?, Arc::new(values))
    }

    pub fn values(&self) -> &E {
        &self.values
    }

    /// Rows and columns of a block.
    pub fn block(&self) -> [usize; 2] {
        self.block
    }

    /// Columns of the values.
    pub fn width(&self) -> usize {
        self.values.shape()[1]
    }

    /// Which columns of blocks a row has, ascending.
    pub fn of_row(&self, row: usize) -> &[u16] {
        let count = self.index.shape()[1];
        &bytemuck::cast_slice(self.index.bytes())[row / self.block[0] * count..][..count]
    }
}

impl<E: Nested> Encoding for Blocks<E> {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn name(&self) -> String {
        let cols: usize = self.shape[1..].iter().product();
        let [high, wide] = self.block;
        let gone = 1.0 - (self.width() / wide) as f64 / cols.div_ceil(wide).max(1) as f64;
        format!("sparse:block={high}x{wide}:{}+{}", (gone * 1e4).round() / 1e4, self.values.name())
    }

    fn decode(&self, row: usize, col: usize, out: &mut [f32]) {
        let (wide, end) = (self.block[1], col + out.len());
        out.fill(0.0);
        for (i, &block) in self.of_row(row).iter().enumerate() {
            let start = usize::from(block) * wide;
            let (from, to) = (start.max(col), (start + wide).min(end));
            if from < to {
                self.values.decode(row, i * wide + from - start, &mut out[from - col..to - col]);
            }
        }
    }

    fn fields(&self) -> Vec<(&'static str, usize)> {
        vec![(WIDTH, self.width()), (ROWS, self.block[0]), (COLS, self.block[1])]
    }

    fn parts(&self) -> Vec<(&'static str, &Tensor)> {
        vec![("index", &self.index)]
    }
}
