//! Palettes: tables by k-means, with an optional factor for each row or each group of columns.

use half::f16;
use rayon::prelude::*;

use super::cluster;
use super::grid::{Grid, Matrix};
use super::refit::Tables;
use super::spec::Factors;
use crate::Result;
use crate::tensor::Tensor;
use crate::weights::Scale;

/// `W[r, c] ≈ scale[r, c / group] · table[r / rows_per_table][code]`.
pub struct PaletteGrid {
    bits: u32,
    rows_per_table: usize,
    /// Ascending tables, `2^bits` values each.
    tables: Vec<Vec<f32>>,
    scales: Option<GroupScales>,
}

impl PaletteGrid {
    /// A scale is the largest magnitude of what it serves, so that one table covers everything from −1 to 1: outliers
    /// are kept.
    pub fn fit(matrix: &Matrix, bits: u32, rows_per_table: usize, factors: Factors) -> Self {
        let scales = GroupScales::of_factors(matrix, factors);
        let count = matrix.rows.div_ceil(rows_per_table);
        let tables = (0..count).into_par_iter().map(|t| {
            let rows = t * rows_per_table..((t + 1) * rows_per_table).min(matrix.rows);
            let points = rows.flat_map(|row| {
                let points = matrix.row(row).iter().zip(matrix.importance(row)).enumerate();
                let scales = scales.as_ref();
                let scale = move |col| scales.map_or(1.0, |s| s.of(row, col));
                points.map(move |(col, (&v, &w))| {
                    let scale = scale(col);
                    // An error of the table counts times the scale; rows, which may be channels, all count alike.
                    let weight = if matches!(factors, Factors::PerGroup(_)) { w * scale * scale } else { w };
                    if scale > 0.0 { (v / scale, weight) } else { (0.0, 0.0) }
                })
            });
            cluster::centres(points, 1 << bits)
        });
        PaletteGrid { bits, rows_per_table, tables: tables.collect(), scales }
    }
}

impl Tables for PaletteGrid {
    fn tables(&self) -> &[Vec<f32>] {
        &self.tables
    }

    /// Each in ascending order before values are looked up.
    fn set_tables(&mut self, tables: Vec<Vec<f32>>) {
        self.tables = tables;
    }

    fn factor(&self, row: usize, col: usize) -> f32 {
        self.scales.as_ref().map_or(1.0, |s| s.of(row, col))
    }

    /// Table `[tables, 2^bits]` and scales.
    fn into_tensors(self) -> Result<(Tensor, Option<Scale>)> {
        let table = Tensor::new([self.tables.len(), 1 << self.bits], &self.tables.concat())?;
        Ok((table, self.scales.map(GroupScales::into_scale).transpose()?))
    }
}

impl Grid for PaletteGrid {
    fn bits(&self) -> u32 {
        self.bits
    }

    fn nearest(&self, row: usize, col: usize, values: &[f32], rounded: &mut [f32]) -> u16 {
        let table = &self.tables[row / self.rows_per_table];
        let scale = self.scales.as_ref().map_or(1.0, |s| s.of(row, col));
        let code = if scale > 0.0 { cluster::nearest(table, values[0] / scale) } else { 0 };
        rounded[0] = scale * table[code];
        code as u16
    }
}

/// Factors that groups of columns share.
pub struct GroupScales {
    group: usize,
    /// Of a row.
    groups: usize,
    /// `[rows, groups]`, as stored.
    values: Vec<f32>,
    /// Stored as f16 instead of f32.
    half: bool,
}

impl GroupScales {
    pub fn of_factors(matrix: &Matrix, factors: Factors) -> Option<Self> {
        match factors {
            Factors::None => None,
            Factors::PerRow => Some(Self::largest(matrix, matrix.cols)),
            Factors::PerGroup(group) => Some(Self::largest(matrix, group)),
        }
    }

    /// The largest magnitude of each group.
    fn largest(matrix: &Matrix, group: usize) -> Self {
        let group = group.min(matrix.cols.max(1));
        Self::fit(matrix, group, true, |values, _| half_up(values.iter().fold(0f32, |m, v| m.max(v.abs()))))
    }

    /// Scales by a rule for a group's values and their importance.
    pub fn fit(matrix: &Matrix, group: usize, half: bool, rule: impl Fn(&[f32], &[f32]) -> f32 + Sync) -> Self {
        let groups = matrix.cols.div_ceil(group);
        let mut values = vec![0f32; matrix.rows * groups];
        values.par_chunks_mut(groups.max(1)).enumerate().for_each(|(row, out)| {
            let groups = matrix.row(row).chunks(group).zip(matrix.importance(row).chunks(group));
            out.iter_mut().zip(groups).for_each(|(out, (values, importance))| *out = rule(values, importance));
        });
        GroupScales { group, groups, values, half }
    }

    pub fn of(&self, row: usize, col: usize) -> f32 {
        self.values[row * self.groups + col / self.group]
    }

    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// `[rows]` where one factor serves a row, else `[rows, groups]`.
    pub fn into_scale(self) -> Result<Scale> {
        let rows = self.values.len() / self.groups.max(1);
        let shape = if self.groups <= 1 { vec![rows] } else { vec![rows, self.groups] };
        let values = match self.half {
            true => Tensor::new(shape, &self.values.iter().map(|&v| f16::from_f32(v)).collect::<Vec<_>>())?,
            false => Tensor::new(shape, &self.values)?,
        };
        Ok(Scale { group: self.group, values })
    }
}

/// The nearest f16, at least the smallest one and at most the largest; 0 stays 0.
pub fn half_up(value: f32) -> f32 {
    if value > 0.0 { f16::from_f32(value).max(f16::from_bits(1)).min(f16::MAX).to_f32() } else { 0.0 }
}
