//! Few-bit weights as the product sees them: rows decoded into panels, a stretch at a time.

use super::gemm::{Pack, PanelSpan, transpose, with_scratch};
use super::simd::Level;
use crate::weights::Encoded;

/// The rows of an encoded weight from row `first` on, as lanes of an operand.
pub struct EncodedRows<'a> {
    pub weight: &'a Encoded,
    pub first: usize,
}

impl Pack for EncodedRows<'_> {
    fn pack(&self, level: Level, span: PanelSpan, panel: &mut [f32]) {
        let PanelSpan { width, first, lanes, start, depth } = span;
        with_scratch(lanes * depth, |rows| {
            for (i, row) in rows.chunks_exact_mut(depth.max(1)).enumerate() {
                decode_row(level, self.weight, self.first + first + i, start, row);
            }
            transpose(level, rows, depth, lanes, depth, width, panel);
        });
    }
}

/// Columns `col .. col + out.len()` of `row` as f32.
pub fn decode_row(_level: Level, weight: &Encoded, row: usize, col: usize, out: &mut [f32]) {
    weight.as_encoding().decode(row, col, out);
}
