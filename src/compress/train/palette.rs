//! Tables and scales of palettes.

use half::f16;

use super::optimizer::Parameter;
use crate::Result;
use crate::cpu::Threads;
use crate::tensor::{DType, Tensor, bits};

use crate::weights::{Encoding, Palette, Scale};

/// Rows of a weight whose gradient a thread sums up at a time, about.
const ROWS: usize = 64;

pub struct PaletteParameters {
    /// `[tables, 2^bits, dim]`.
    table: Parameter,
    /// `[rows, scales per row]`; `None` without scales, and for powers of two, which stay.
    scale: Option<Parameter>,
}

impl PaletteParameters {
    pub fn new(weight: &Palette) -> Self {
        let table: Vec<f32> = bytemuck::cast_slice(weight.table().bytes()).to_vec();
        let trained = weight.scale().filter(|scale| scale.values.dtype() != DType::U8);
        let scale = trained.map(|scale| {
            let count = scale.values.len();
            let per_row = weight.scales_per_row().max(1);
            let value = |i: usize| weight.scale_of(i / per_row, i % per_row * scale.group);
            Parameter::factors((0..count).map(value).collect())
        });
        PaletteParameters { table: Parameter::terms(table), scale }
    }

    pub fn step(&mut self, rate: f64) {
        self.table.step(rate);
        self.scale.iter_mut().for_each(|scale| scale.step(rate));
    }

    /// `old`, whose codes stay.
    pub fn rebuilt(&self, old: &Palette) -> Result<Palette> {
        let table = Tensor::new(old.table().shape(), &self.table.values)?;
        let scale = match (old.scale(), &self.scale) {
            (Some(scale), Some(trained)) => Some(Scale { group: scale.group, values: as_before(scale, trained)? }),
            (scale, _) => scale.cloned(),
        };
        let shape = old.shape().into();
        Palette::with(shape, old.bits(), old.rows_per_table(), old.dim(), old.codes().clone(), table, scale)
    }
}

/// Scales in the type that they had.
fn as_before(scale: &Scale, trained: &Parameter) -> Result<Tensor> {
    let shape = scale.values.shape();
    match scale.values.dtype() {
        DType::F16 => {
            let halves: Vec<f16> = trained.values.iter().map(|&v| f16::from_f32(v)).collect();
            Tensor::new(shape, &halves)
        }
        _ => Tensor::new(shape, &trained.values),
    }
}

/// What a thread sums up: some rows.
struct Task<'a> {
    first: usize,
    /// `[rows, cols]`.
    gradient: &'a [f32],
    /// `[rows, scales per row]`, or empty.
    scale: &'a mut [f32],
    table: &'a mut Vec<f32>,
}

/// Adds the gradient `[rows, cols]` of a weight to those of its table and scales: `W = scale · table[code]`.
pub fn add(weight: &Palette, parameters: &mut PaletteParameters, gradient: &[f32], threads: &Threads) {
    let cols: usize = weight.shape()[1..].iter().product();
    let PaletteParameters { table, scale } = parameters;
    let mut none = Vec::new();
    let scales = scale.as_mut().map_or(&mut none, |s| &mut s.gradient);
    let per_row = if scales.is_empty() { 0 } else { weight.scales_per_row() };
    let rows = gradient.len() / cols.max(1);
    let high = rows.div_ceil(threads.count()).clamp(1, rows.max(1)).max(ROWS);
    let mut sums = vec![vec![0f32; table.values.len()]; rows.div_ceil(high)];
    let mut rest = scales.as_mut_slice();
    let mut tasks = Vec::with_capacity(sums.len());
    for (i, (gradient, table)) in gradient.chunks(high * cols.max(1)).zip(&mut sums).enumerate() {
        let (scale, behind) = std::mem::take(&mut rest).split_at_mut(gradient.len() / cols * per_row);
        rest = behind;
        tasks.push(Task { first: i * high, gradient, scale, table });
    }
    threads.for_each(tasks, |task| sum(weight, cols, per_row, task));
    for sum in sums {
        table.gradient.iter_mut().zip(sum).for_each(|(g, s)| *g += s);
    }
}

fn sum(weight: &Palette, cols: usize, per_row: usize, task: Task) {
    let (dim, bits) = (weight.dim(), weight.bits());
    let group = weight.scale().map_or(cols, |scale| scale.group).max(1);
    for (i, gradient) in task.gradient.chunks_exact(cols).enumerate() {
        let row = task.first + i;
        let codes = weight.row_codes(row);
        let entries = weight.row_table(row);
        let from = row / weight.rows_per_table() * entries.len();
        let sums = &mut task.table[from..][..entries.len()];
        for (g, gradient) in gradient.chunks(group).enumerate() {
            let factor = weight.scale_of(row, g * group);
            let mut slope = 0f32;
            for (c, v) in gradient.iter().enumerate() {
                let at = usize::from(bits::get(codes, g * group + c, bits)) * dim + row % dim;
                sums[at] += factor * v;
                slope += entries[at] * v;
            }
            if per_row > 0 {
                task.scale[i * per_row + g] += slope;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Encoded;

    /// With every layout, the gradient of `Σ G · W` is its slope: the sum is linear in tables, and in scales.
    #[test]
    fn gradients_are_slopes() {
        let mut state = 9u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        for (rows, cols, bits, dim, tables, group) in [
            (6usize, 11usize, 3u32, 1usize, 1usize, Some(11)),
            (7, 10, 4, 2, 2, Some(4)),
            (130, 9, 2, 1, 1, None),
            (8, 5, 6, 4, 1, Some(2)),
        ] {
            let per_table = rows.div_ceil(tables * dim) * dim;
            let codes: Vec<u8> = (0..cols).map(|_| ((next() + 0.5) * (1 << bits) as f32) as u8).collect();
            let line = bits::pack(&codes, bits);
            let stride = (cols * bits as usize).div_ceil(32) * 4;
            let mut bytes = vec![0u8; rows.div_ceil(dim) * stride];
            bytes.chunks_mut(stride).for_each(|row| row[..line.len()].copy_from_slice(&line));
            let codes = Tensor::new([rows.div_ceil(dim), stride], &bytes).unwrap();
            let shape = [rows.div_ceil(per_table), 1 << bits, dim];
            let entries: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
            let table = Tensor::new(if dim == 1 { &shape[..2] } else { &shape[..] }, &entries).unwrap();
            let scale = group.map(|group| {
                let values: Vec<f32> = (0..rows * cols.div_ceil(group)).map(|_| 1.0 + next()).collect();
                Scale { group, values: Tensor::new([rows, cols.div_ceil(group)], &values).unwrap() }
            });
            let weight = Palette::with(vec![rows, cols], bits, per_table, dim, codes, table, scale).unwrap();
            let gradient: Vec<f32> = (0..rows * cols).map(|_| next()).collect();
            let product = |weight: Palette| {
                let dense = Encoded::from(weight).to_dense().unwrap();
                dense.slice::<f32>().unwrap().iter().zip(&gradient).map(|(w, g)| f64::from(w * g)).sum::<f64>()
            };
            let mut parameters = PaletteParameters::new(&weight);
            let threads = Threads::new(3).unwrap();
            add(&weight, &mut parameters, &gradient, &threads);
            let before = product(weight.clone());
            let check = |change: &dyn Fn(&mut PaletteParameters, f32), slope: f32| {
                let mut moved = PaletteParameters::new(&weight);
                change(&mut moved, 1.0);
                let seen = product(moved.rebuilt(&weight).unwrap()) - before;
                assert!((seen - f64::from(slope)).abs() < 1e-4, "{rows}×{cols}: {seen} against {slope}");
            };
            for i in 0..parameters.table.values.len() {
                check(&|p, by| p.table.values[i] += by, parameters.table.gradient[i]);
            }
            let count = parameters.scale.as_ref().map_or(0, |s| s.values.len());
            for i in 0..count {
                let slope = parameters.scale.as_ref().map_or(0.0, |s| s.gradient[i]);
                check(&|p, by| p.scale.iter_mut().for_each(|s| s.values[i] += by), slope);
            }
        }
    }
}
