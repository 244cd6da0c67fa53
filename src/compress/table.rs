//! 4-bit floats: tables that formats fix (NF4, FP4, MXFP4), and the scale of each group that suits its weights best.

use super::grid::{Grid, Matrix};
use super::palette::{GroupScales, half_up};
use super::spec::Table;
use crate::Result;
use crate::tensor::Tensor;
use crate::weights::parts::e8m0;
use crate::weights::{Scale, tables};

/// Shares of the scale that keeps a group's largest weight; smaller ones cut it off for the sake of the others.
const SHARES: [f32; 10] = [1.0, 0.975, 0.95, 0.925, 0.9, 0.875, 0.85, 0.8, 0.75, 0.7];

/// `W[r, c] ≈ scale[r, c / group] · table[code]`.
pub struct TableGrid {
    table: Table,
    /// Values in ascending order, with their codes.
    sorted: Vec<(f32, u16)>,
    scales: GroupScales,
}

impl TableGrid {
    pub fn fit(matrix: &Matrix, table: Table, group: usize) -> Self {
        let sorted = sorted(values(table));
        let scales = GroupScales::fit(matrix, group, true, |values, importance| {
            let largest = sorted.iter().fold(0f32, |m, v| m.max(v.0.abs()));
            let full = values.iter().fold(0f32, |m, v| m.max(v.abs())) / largest;
            let candidates: Vec<f32> = match table {
                Table::Mxfp4 => vec![power_of_two(full), power_of_two(full / 2.0)],
                _ => SHARES.iter().map(|share| half_up(share * full)).collect(),
            };
            let error = |scale: f32| -> f32 {
                let each = values.iter().zip(importance);
                each.map(|(v, w)| w * (nearest(&sorted, scale, *v).1 - v).powi(2)).sum()
            };
            let best = candidates.into_iter().map(|s| (error(s), s)).min_by(|a, b| a.0.total_cmp(&b.0));
            best.map_or(0.0, |b| b.1)
        });
        TableGrid { table, sorted, scales }
    }

    /// Table `[1, 16]` and scales: f16, or u8 (E8M0) for MXFP4.
    pub fn into_tensors(self) -> Result<(Tensor, Scale)> {
        let table = Tensor::new([1, 16], values(self.table))?;
        if self.table != Table::Mxfp4 {
            return Ok((table, self.scales.into_scale()?));
        }
        let exponents: Vec<u8> = self.scales.values().iter().map(|v| (v.to_bits() >> 23) as u8).collect();
        let Scale { group, values } = self.scales.into_scale()?;
        Ok((table, Scale { group, values: Tensor::new(values.shape(), &exponents)? }))
    }
}

impl Grid for TableGrid {
    fn bits(&self) -> u32 {
        4
    }

    fn nearest(&self, row: usize, col: usize, values: &[f32], rounded: &mut [f32]) -> u16 {
        let (code, value) = nearest(&self.sorted, self.scales.of(row, col), values[0]);
        rounded[0] = value;
        code
    }
}

fn values(table: Table) -> &'static [f32; 16] {
    match table {
        Table::Nf4 => &tables::NF4,
        Table::Fp4 => &tables::FP4,
        Table::Mxfp4 => &tables::E2M1,
    }
}

fn sorted(table: &[f32; 16]) -> Vec<(f32, u16)> {
    let mut sorted: Vec<(f32, u16)> = table.iter().copied().zip(0..).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    sorted
}

/// Code and value nearest to `value`.
fn nearest(sorted: &[(f32, u16)], scale: f32, value: f32) -> (u16, f32) {
    let wanted = if scale > 0.0 { value / scale } else { 0.0 };
    let above = sorted.partition_point(|t| t.0 < wanted);
    let low = sorted[above.saturating_sub(1)];
    let high = sorted[above.min(sorted.len() - 1)];
    let (table, code) = if (wanted - low.0).abs() <= (high.0 - wanted).abs() { low } else { high };
    (code, scale * table)
}

/// The smallest power of two of E8M0 that is at least `scale`.
fn power_of_two(scale: f32) -> f32 {
    let exponent = if scale > 0.0 { scale.log2().ceil() } else { -126.0 };
    e8m0((exponent + 127.0).clamp(1.0, 254.0) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_a_table_is_its_own_nearest() {
        for table in [Table::Nf4, Table::Fp4, Table::Mxfp4] {
            for value in values(table) {
                assert_eq!(nearest(&sorted(values(table)), 0.5, 0.5 * value).1, 0.5 * value);
            }
        }
    }

    #[test]
    fn powers_of_two_are_not_below() {
        for (scale, power) in [(0.3, 0.5), (0.5, 0.5), (3.0, 4.0), (0.0, f32::MIN_POSITIVE)] {
            assert_eq!(power_of_two(scale), power);
        }
    }
}
