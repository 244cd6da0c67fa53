//! Palettes: tables by k-means, with an optional factor for each row.

use rayon::prelude::*;

use super::cluster;
use super::grid::{Grid, Matrix};
use crate::Result;
use crate::tensor::Tensor;

/// `W[r, c] ≈ scale[r] · table[r / rows_per_table][code]`.
pub struct PaletteGrid {
    bits: u32,
    rows_per_table: usize,
    /// Ascending tables, `2^bits` values each.
    tables: Vec<Vec<f32>>,
    scale: Option<Vec<f32>>,
}

impl PaletteGrid {
    /// The scale of a row is its largest magnitude, so that one table covers all rows from −1 to 1: outliers are kept.
    pub fn fit(matrix: &Matrix, bits: u32, rows_per_table: usize, scale: bool) -> Self {
        let scale = scale.then(|| {
            let largest = |row| matrix.row(row).iter().fold(0f32, |m, v| m.max(v.abs()));
            (0..matrix.rows).map(largest).map(|m| if m > 0.0 { m } else { 1.0 }).collect::<Vec<f32>>()
        });
        let count = matrix.rows.div_ceil(rows_per_table);
        let tables = (0..count).into_par_iter().map(|t| {
            let rows = t * rows_per_table..((t + 1) * rows_per_table).min(matrix.rows);
            let mut values = Vec::with_capacity(rows.len() * matrix.cols);
            for row in rows.clone() {
                let factor = scale.as_ref().map_or(1.0, |s| s[row]);
                values.extend(matrix.row(row).iter().map(|v| v / factor));
            }
            cluster::centres(&values, &matrix.importance.repeat(rows.len()), 1 << bits)
        });
        PaletteGrid { bits, rows_per_table, tables: tables.collect(), scale }
    }

    /// Table `[tables, 2^bits]` and scale `[rows]`.
    pub fn into_tensors(self) -> Result<(Tensor, Option<Tensor>)> {
        let table = Tensor::new([self.tables.len(), 1 << self.bits], &self.tables.concat())?;
        let scale = self.scale.map(|s| Tensor::new([s.len()], &s)).transpose()?;
        Ok((table, scale))
    }
}

impl Grid for PaletteGrid {
    fn bits(&self) -> u32 {
        self.bits
    }

    fn nearest(&self, row: usize, _col: usize, value: f32) -> (u8, f32) {
        let table = &self.tables[row / self.rows_per_table];
        let scale = self.scale.as_ref().map_or(1.0, |s| s[row]);
        let code = cluster::nearest(table, value / scale);
        (code as u8, scale * table[code])
    }
}
