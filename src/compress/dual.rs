//! Dual-grained weights (DGQ, Zhang et al. 2023, §3.2): per group a fine float grid of 4 bits first, then per row the
//! factor that lets the groups' scales be small integers.

use rayon::prelude::*;

use super::grid::{Grid, Matrix};
use crate::Result;
use crate::tensor::Tensor;
use crate::weights::dual;

/// Clipped ranges tried for a group's float scale, the smallest 0.5 of the full one.
const FINE: usize = 20;
/// Factors tried for a row.
const COARSE: usize = 80;
const MOST: f32 = ((1u32 << dual::BITS) - 1) as f32;

/// `W[r, c] ≈ channel[r] · (code − zero[r, g]) · scale[r, g]` with integers `zero` and `scale`.
pub struct DualGrid {
    group: usize,
    groups: usize,
    /// `(scale, zero)`, `[rows, groups]`.
    grid: Vec<(u8, u8)>,
    channel: Vec<f32>,
}

impl DualGrid {
    pub fn fit(matrix: &Matrix, group: usize) -> Self {
        let groups = matrix.cols.div_ceil(group);
        let rows: Vec<(f32, Vec<(u8, u8)>)> = (0..matrix.rows)
            .into_par_iter()
            .map(|row| fit_row(matrix.row(row), matrix.importance(row), group))
            .collect();
        let (channel, grid): (Vec<f32>, Vec<Vec<(u8, u8)>>) = rows.into_iter().unzip();
        DualGrid { group, groups, grid: grid.concat(), channel }
    }

    /// Grid u8 `[rows, groups, 2]` and channel f32 `[rows]`.
    pub fn into_tensors(self) -> Result<(Tensor, Tensor)> {
        let grid: Vec<u8> = self.grid.iter().flat_map(|&(scale, zero)| [scale, zero]).collect();
        Ok((
            Tensor::new([self.channel.len(), self.groups, 2], &grid)?,
            Tensor::new([self.channel.len()], &self.channel)?,
        ))
    }
}

impl Grid for DualGrid {
    fn bits(&self) -> u32 {
        dual::BITS
    }

    fn nearest(&self, row: usize, col: usize, values: &[f32], rounded: &mut [f32]) -> u16 {
        let (scale, zero) = self.grid[row * self.groups + col / self.group];
        let (code, value) = round(values[0], self.channel[row], scale, zero);
        rounded[0] = value;
        code
    }
}

/// The code nearest to `value` among those whose integer fits int8.
fn round(value: f32, channel: f32, scale: u8, zero: u8) -> (u16, f32) {
    let (scale, zero) = (f32::from(scale), f32::from(zero));
    let reach = (127.0 / scale).floor();
    let steps = if channel > 0.0 { (value / (channel * scale)).round() } else { 0.0 };
    let code = (steps.clamp(-reach, reach) + zero).clamp(0.0, MOST);
    (code as u16, channel * ((code - zero) * scale))
}

fn fit_row(values: &[f32], importance: &[f32], group: usize) -> (f32, Vec<(u8, u8)>) {
    let groups = || values.chunks(group).zip(importance.chunks(group));
    let fine: Vec<(f32, u8)> = groups().map(|(values, importance)| fit_group(values, importance)).collect();
    let largest = fine.iter().fold(0f32, |m, g| m.max(g.0));
    let mut best = (f32::INFINITY, (0.0, vec![(1, 0); fine.len()]));
    if largest == 0.0 {
        return best.1;
    }
    for i in 1..=COARSE {
        // The largest group's scale becomes `i` steps of a row's factor: few of them are coarse, many leave int8.
        let channel = largest / i as f32;
        let grid: Vec<(u8, u8)> =
            fine.iter().map(|&(scale, zero)| ((scale / channel).round().clamp(1.0, 127.0) as u8, zero)).collect();
        let error: f32 = groups()
            .zip(&grid)
            .flat_map(|((v, w), &g)| v.iter().zip(w).map(move |(v, w)| (v, w, g)))
            .map(|(v, w, (scale, zero))| w * (round(*v, channel, scale, zero).1 - v).powi(2))
            .sum();
        if error < best.0 {
            best = (error, (channel, grid));
        }
    }
    best.1
}

/// Float scale and zero point of a group.
fn fit_group(values: &[f32], importance: &[f32]) -> (f32, u8) {
    let low = values.iter().copied().fold(0f32, f32::min);
    let high = values.iter().copied().fold(0f32, f32::max);
    let mut best = (f32::INFINITY, (0.0, 0));
    for i in 0..FINE {
        let scale = (1.0 - 0.5 * i as f32 / FINE as f32) * (high - low) / MOST;
        if scale <= 0.0 {
            break;
        }
        let zero = (-low / (high - low) * MOST).round();
        let decoded = |v: f32| ((v / scale + zero).round().clamp(0.0, MOST) - zero) * scale;
        let error: f32 = values.iter().zip(importance).map(|(v, w)| w * (decoded(*v) - v).powi(2)).sum();
        if error < best.0 {
            best = (error, (scale, zero as u8));
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_on_the_grid_are_kept() {
        let values: Vec<f32> = (0..32).map(|i| if i < 16 { i as f32 - 8.0 } else { 3.0 * (i as f32 - 24.0) }).collect();
        let (channel, grid) = fit_row(&values, &[1.0; 32], 16);
        for (i, v) in values.iter().enumerate() {
            let (scale, zero) = grid[i / 16];
            assert!((round(*v, channel, scale, zero).1 - v).abs() < 1e-5, "{v}");
        }
        assert_eq!(fit_row(&[0.0; 8], &[1.0; 8], 4).0, 0.0);
    }
}
