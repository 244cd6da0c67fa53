//! Table entries fitted to the outputs of a layer once codes are chosen: least squares, by conjugate gradients with the
//! diagonal as preconditioner (Hestenes & Stiefel 1952).

use rayon::prelude::*;

use super::feedback::Statistics;
use super::grid::{Grid, Matrix};
use super::product;
use crate::Result;
use crate::tensor::{Tensor, bits};
use crate::weights::Scale;

/// Steps of conjugate gradients; each multiplies a matrix of the weight's size with the inputs' second moments.
const STEPS: usize = 8;

/// Turns of codes and entries; the last ends with entries.
const TURNS: usize = 2;

/// A grid of tables that can be changed.
pub trait Tables: Grid {
    /// `[2^bits, dim]` each.
    fn tables(&self) -> &[Vec<f32>];

    fn set_tables(&mut self, tables: Vec<Vec<f32>>);

    /// What the entry of a weight is multiplied by.
    fn factor(&self, row: usize, col: usize) -> f32;

    /// Tables and scales, as stored.
    fn into_tensors(self) -> Result<(Tensor, Option<Scale>)>;
}

/// Codes for a matrix, and the grid with entries that suit them, where `statistics` say what the outputs are.
pub fn codes<G: Tables>(
    grid: &mut G,
    matrix: &Matrix,
    rows_per_table: usize,
    statistics: Option<&Statistics>,
    round: &dyn Fn(&dyn Grid) -> Result<Tensor>,
) -> Result<Tensor> {
    let mut codes = round(grid)?;
    let Some(statistics) = statistics.filter(|s| s.inputs == matrix.cols) else { return Ok(codes) };
    let dim = grid.dim();
    for turn in 0..TURNS {
        if turn > 0 {
            // Scalars are looked up in ascending tables.
            let mut tables = grid.tables().to_vec();
            tables.iter_mut().filter(|_| dim == 1).for_each(|t| t.sort_by(f32::total_cmp));
            grid.set_tables(tables);
            codes = round(grid)?;
        }
        let assigned = assignment(grid, matrix, rows_per_table, &codes);
        let mut all = grid.tables().concat();
        entries(matrix, statistics, &assigned, &mut all);
        let size = dim << grid.bits();
        grid.set_tables(all.chunks(size).map(<[f32]>::to_vec).collect());
    }
    Ok(codes)
}

fn assignment(grid: &impl Tables, matrix: &Matrix, rows_per_table: usize, codes: &Tensor) -> Assignment {
    let (dim, bits) = (grid.dim(), grid.bits());
    let stride = codes.shape()[1];
    let mut assigned = Assignment { index: Vec::new(), factor: Vec::new() };
    for row in 0..matrix.rows {
        let codes = &codes.bytes()[row / dim * stride..][..stride];
        let table = (row / rows_per_table) << bits;
        for col in 0..matrix.cols {
            let entry = (table + usize::from(bits::get(codes, col, bits))) * dim + row % dim;
            assigned.index.push(entry as u32);
            assigned.factor.push(grid.factor(row, col));
        }
    }
    assigned
}

/// Which entry each weight of a matrix takes, and times what: `Ŵ[r, c] = factor[r, c] · entries[index[r, c]]`.
pub struct Assignment {
    /// `[rows, cols]`.
    pub index: Vec<u32>,
    /// `[rows, cols]`.
    pub factor: Vec<f32>,
}

impl Assignment {
    fn decode(&self, entries: &[f32]) -> Vec<f32> {
        self.index.par_iter().zip(&self.factor).map(|(&i, f)| f * entries[i as usize]).collect()
    }

    /// Sums of `values · factor` by entry.
    fn gather(&self, values: &[f32], entries: usize) -> Vec<f64> {
        let mut sums = vec![0f64; entries];
        for ((&i, f), v) in self.index.iter().zip(&self.factor).zip(values) {
            sums[i as usize] += f64::from(*f) * f64::from(*v);
        }
        sums
    }
}

/// Moves `entries` to where `‖(W − Ŵ) X‖²` is least; entries that no weight takes stay.
pub fn entries(matrix: &Matrix, statistics: &Statistics, assigned: &Assignment, entries: &mut [f32]) {
    let cols = matrix.cols;
    if statistics.inputs != cols || cols == 0 {
        return;
    }
    let through = |values: &[f32]| product::by_rows(values, &statistics.second, cols);
    let diagonal: Vec<f32> =
        assigned.factor.iter().enumerate().map(|(i, f)| f * statistics.second[i % cols * (cols + 1)]).collect();
    let diagonal = assigned.gather(&diagonal, entries.len());
    let scaled = |rest: &[f64]| -> Vec<f64> {
        rest.iter().zip(&diagonal).map(|(r, d)| if *d > 0.0 { r / d } else { 0.0 }).collect()
    };
    let inner = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();

    let change: Vec<f32> = matrix.data.iter().zip(assigned.decode(entries)).map(|(w, d)| w - d).collect();
    let mut rest = assigned.gather(&through(&change), entries.len());
    let mut step = scaled(&rest);
    let mut size = inner(&rest, &step);
    for _ in 0..STEPS {
        let way: Vec<f32> = step.iter().map(|&s| s as f32).collect();
        let bent = assigned.gather(&through(&assigned.decode(&way)), entries.len());
        let curve = inner(&step, &bent);
        if curve.is_nan() || curve <= 0.0 || size <= 0.0 {
            return;
        }
        let length = size / curve;
        entries.iter_mut().zip(&step).for_each(|(e, s)| *e += (length * s) as f32);
        rest.iter_mut().zip(&bent).for_each(|(r, b)| *r -= length * b);
        let next = scaled(&rest);
        let new = inner(&rest, &next);
        step.iter_mut().zip(&next).for_each(|(s, n)| *s = n + new / size * *s);
        size = new;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the normal equations in f64, solved by elimination.
    #[test]
    fn entries_are_those_of_least_squares() {
        let mut state = 7u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        let (rows, cols, samples, count) = (5, 7, 40, 4);
        let x: Vec<f32> = (0..cols * samples).map(|_| next()).collect();
        let mut statistics = Statistics::new(cols, 1);
        statistics.add(&x, samples);
        let data: Vec<f32> = (0..rows * cols).map(|_| next()).collect();
        let index: Vec<u32> = (0..rows * cols).map(|_| ((next() + 0.5) * count as f32) as u32).collect();
        let factor: Vec<f32> = (0..rows * cols).map(|_| 1.0 + next()).collect();
        let assigned = Assignment { index: index.clone(), factor: factor.clone() };
        let matrix = Matrix { rows, cols, data: data.clone().into(), importance: vec![1.0; cols] };
        let mut found = vec![0.1f32; count];
        entries(&matrix, &statistics, &assigned, &mut found);

        // Row of the design for output (r, s): what each entry adds to it.
        let mut normal = vec![[0f64; 5]; count];
        for r in 0..rows {
            for s in 0..samples {
                let (mut design, mut wanted) = ([0f64; 4], 0f64);
                for c in 0..cols {
                    let at = r * cols + c;
                    let x = f64::from(x[c * samples + s]);
                    design[index[at] as usize] += f64::from(factor[at]) * x;
                    wanted += f64::from(data[at]) * x;
                }
                for (row, d) in normal.iter_mut().zip(design) {
                    (0..count).for_each(|k| row[k] += d * design[k]);
                    row[count] += d * wanted;
                }
            }
        }
        for k in 0..count {
            for i in (0..count).filter(|&i| i != k) {
                let share = normal[i][k] / normal[k][k];
                (0..=count).for_each(|j| normal[i][j] -= share * normal[k][j]);
            }
        }
        for (k, found) in found.iter().enumerate() {
            let best = normal[k][count] / normal[k][k];
            assert!((f64::from(*found) - best).abs() < 1e-4, "{k}: {found} against {best}");
        }
    }
}
