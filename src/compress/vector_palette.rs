//! Palettes whose entries are short vectors, for neighbouring rows of one column (eDKM, `cluster_dim`).

use rayon::prelude::*;

use super::grid::{Grid, MAX_DIM, Matrix};
use super::palette::GroupScales;
use super::refit::Tables;
use super::spec::Factors;
use super::vectors::{self, Points};
use crate::Result;
use crate::tensor::Tensor;
use crate::weights::Scale;

/// `W[r, c] ≈ scale[r, c / group] · table[r / rows_per_table][code(r / dim, c)][r % dim]`.
pub struct VectorGrid {
    bits: u32,
    dim: usize,
    rows_per_table: usize,
    /// `[2^bits, dim]` each.
    tables: Vec<Vec<f32>>,
    /// The same, `[dim, 2^bits]` each.
    columns: Vec<Vec<f32>>,
    scales: Option<GroupScales>,
}

impl VectorGrid {
    /// `rows_per_table` is a multiple of `dim`. Rows missing at the end count as zeros of no importance.
    pub fn fit(matrix: &Matrix, bits: u32, dim: usize, rows_per_table: usize, factors: Factors) -> Self {
        let scales = GroupScales::of_factors(matrix, factors);
        let count = matrix.rows.div_ceil(rows_per_table);
        let tables = (0..count).into_par_iter().map(|t| {
            let rows = t * rows_per_table..((t + 1) * rows_per_table).min(matrix.rows);
            let mut points = Points { dim, data: Vec::new(), weights: Vec::new() };
            for top in rows.clone().step_by(dim) {
                for col in 0..matrix.cols {
                    let value = |lane: usize| {
                        let row = top + lane;
                        let scale = scales.as_ref().map_or(1.0, |s| s.of(row.min(rows.end - 1), col));
                        if row < rows.end && scale > 0.0 { matrix.row(row)[col] / scale } else { 0.0 }
                    };
                    points.data.extend((0..dim).map(value));
                    points.weights.push(matrix.importance(top)[col]);
                }
            }
            vectors::centres(&points, 1 << bits)
        });
        let tables: Vec<Vec<f32>> = tables.collect();
        let columns = tables.iter().map(|t| across(t, dim)).collect();
        VectorGrid { bits, dim, rows_per_table, tables, columns, scales }
    }
}

/// `[count, dim]` as `[dim, count]`.
fn across(table: &[f32], dim: usize) -> Vec<f32> {
    (0..dim).flat_map(|lane| table.iter().skip(lane).step_by(dim)).copied().collect()
}

impl Tables for VectorGrid {
    fn tables(&self) -> &[Vec<f32>] {
        &self.tables
    }

    fn set_tables(&mut self, tables: Vec<Vec<f32>>) {
        self.columns = tables.iter().map(|t| across(t, self.dim)).collect();
        self.tables = tables;
    }

    fn factor(&self, row: usize, col: usize) -> f32 {
        self.scales.as_ref().map_or(1.0, |s| s.of(row, col))
    }

    /// Table `[tables, 2^bits, dim]` and scales.
    fn into_tensors(self) -> Result<(Tensor, Option<Scale>)> {
        let table = Tensor::new([self.tables.len(), 1 << self.bits, self.dim], &self.tables.concat())?;
        Ok((table, self.scales.map(GroupScales::into_scale).transpose()?))
    }
}

impl Grid for VectorGrid {
    fn bits(&self) -> u32 {
        self.bits
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn nearest(&self, row: usize, col: usize, values: &[f32], rounded: &mut [f32]) -> u16 {
        let table = &self.tables[row / self.rows_per_table];
        let mut scales = [1f32; MAX_DIM];
        if let Some(s) = &self.scales {
            (0..values.len()).for_each(|lane| scales[lane] = s.of(row + lane, col));
        }
        // ‖s · (entry − v / s)‖² but for ‖v‖², of all entries side by side.
        let mut scores = [0f32; 256];
        let scores = &mut scores[..table.len() / self.dim];
        for ((column, v), s) in
            self.columns[row / self.rows_per_table].chunks_exact(scores.len()).zip(values).zip(scales)
        {
            let (square, twice) = (s * s, 2.0 * s * v);
            scores.iter_mut().zip(column).for_each(|(score, e)| *score += e * (square * e - twice));
        }
        let code = vectors::least(scores).unwrap_or(0);
        let entry = &table[code * self.dim..];
        (0..values.len()).for_each(|lane| rounded[lane] = scales[lane] * entry[lane]);
        code as u16
    }
}
