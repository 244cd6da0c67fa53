//! Rows of activations of 8 bits in the order in which the kernels meet the codes of a weight.

use super::bytes::quantise;
use super::source::Source;
use crate::cpu::Threads;
use crate::cpu::simd::fewbit::order;

/// Rows of x as integers.
pub struct Quantised {
    /// `[m, k]`
    pub values: Vec<i8>,
    /// `[m, blocks]`: what an integer stands for.
    pub scales: Vec<f32>,
    /// `[m, groups]`: sums of what the integers stand for.
    pub sums: Vec<f32>,
}

impl Quantised {
    pub fn new(threads: &Threads, source: &Source, block: usize, x: &[f32]) -> Self {
        let (k, level) = (source.cols, threads.level());
        let (m, blocks, groups) = (x.len() / k, k.div_ceil(block), source.groups());
        let mut rows = Quantised { values: vec![0; m * k], scales: vec![0.0; m * blocks], sums: vec![0.0; m * groups] };
        let values = rows.values.chunks_exact_mut(k);
        let parts = values.zip(rows.scales.chunks_exact_mut(blocks)).zip(rows.sums.chunks_exact_mut(groups));
        threads.for_each(parts.zip(x.chunks_exact(k)).collect(), |(((values, scales), sums), x)| {
            let mut of_integers = vec![0f32; blocks];
            quantise(level, x, block, values, scales, &mut of_integers);
            for (i, (scale, sum)) in scales.iter().zip(of_integers).enumerate() {
                sums[i * block / source.group] += scale * sum;
            }
        });
        rows
    }

    /// The integers of unit `at` of row `row`: fewer at the end of a row of `k`, none behind the last row.
    pub fn unit(&self, k: usize, row: usize, at: usize, unit: usize) -> &[i8] {
        let row = self.values.get(row * k..(row + 1) * k).unwrap_or(&[]);
        &row[(at * unit).min(row.len())..((at + 1) * unit).min(row.len())]
    }
}

/// Words `[lines, quads, width]` of the integers that `unit` names for a line and one of `width` neighbours, zeros where
/// there are none.
pub fn arrange<'a>(bits: usize, width: usize, out: &mut [u32], unit: impl Fn(usize, usize) -> &'a [i8]) {
    let (codes, position) = order(bits);
    let position = &position[..codes / 4];
    for (line, out) in out.chunks_exact_mut(position.len() * width).enumerate() {
        for i in 0..width {
            let mut own = [0u8; 32];
            let values = unit(line, i);
            own[..values.len()].copy_from_slice(bytemuck::cast_slice(values));
            for (out, place) in out[i..].iter_mut().step_by(width).zip(position) {
                *out = u32::from_le_bytes(place.map(|at| own[at % 32]));
            }
        }
    }
}
