//! Some rows of activations: a lane per row of the weight.

use super::parts::divide;
use super::rows::by_row;
use super::source::{Every, Extras, Source};
use super::sums::group_sums;
use crate::cpu::Threads;
use crate::cpu::gemm::{transpose, with_scratch};
use crate::cpu::simd::Level;
use crate::cpu::simd::fewbit::{Columns, MAX_TILE, Rows, lanes, tile, turn};
use crate::cpu::simd::lanes::MAX_LANES;

/// Whether the rows that lie in lanes share a table, and groups begin with units.
pub fn takes(source: &Source, lanes: usize) -> bool {
    (source.groups() <= 1 || source.group.is_multiple_of(source.unit()))
        && (source.rows_per_table >= source.rows || source.rows_per_table.is_multiple_of(lanes * source.dim))
}

/// Rows of x that tiles take at once, when there are `m`.
pub fn width(m: usize) -> usize {
    if m <= MAX_TILE / 2 { MAX_TILE / 2 } else { MAX_TILE }
}

/// `out = x · Wᵀ` for some rows of x.
pub fn product(threads: &Threads, x: &[f32], source: &Source, out: &mut [f32]) {
    let (k, level, groups) = (source.cols, threads.level(), source.groups());
    let m = x.len() / k;
    let (width, units) = (width(m), k.div_ceil(source.unit()));
    let (line, sums_line) = (units * source.unit() * width, groups * width);
    let blocks = m.div_ceil(width);
    let (mut xs, mut sums) = (vec![0f32; blocks * line], vec![0f32; blocks * sums_line]);
    by_row(threads, source, width, x, &mut xs);
    for (i, x) in x.chunks_exact(k).enumerate() {
        let sums = sums[i / width * sums_line + i % width..].iter_mut().step_by(width);
        sums.zip(group_sums(x, source.group)).for_each(|(sum, x)| *sum = x);
    }
    let params = |rows: Every, scales: &mut [f32], extras: &mut [f32]| {
        source.params(level, rows, 0..groups, groups, scales, extras);
    };
    run(threads, level, source, width, out, params, |block, words, lined, row, out| {
        let columns = lined.columns(source, words, row);
        let (x, sums) = (&xs[block * line..][..line], &sums[block * sums_line..][..sums_line]);
        tile(level, source.bits, source.decoding, &columns, &Rows { x, sums, units }, width, out);
    });
}

/// Brings `lanes` rows of the weight at a time into lanes, their codes and what `params` says of them, and calls
/// `tile` for each block of `width` rows of x with: its number, the words, scales and extras, one of the rows, and
/// where the sums `[width, lanes]` go.
pub fn run(
    threads: &Threads,
    level: Level,
    source: &Source,
    width: usize,
    out: &mut [f32],
    params: impl Fn(Every, &mut [f32], &mut [f32]) + Send + Sync,
    tile: impl Fn(usize, &[u32], &Lined, usize, &mut [f32]) + Send + Sync,
) {
    let (lanes, groups, dim) = (lanes(level), source.groups(), source.dim);
    let words_len = lanes * source.cols.div_ceil(source.unit()) * source.unit_words();
    divide(threads, source.rows, lanes * dim, out, |first, rows| {
        let count = rows.first().map_or(0, |row| row.len());
        with_scratch(words_len + lanes * 4 * groups, |scratch| {
            let (words, scratch) = scratch.split_at_mut(words_len);
            let words: &mut [u32] = bytemuck::cast_slice_mut(words);
            for at in (0..count).step_by(lanes * dim) {
                let lines = (count - at).div_ceil(dim).min(lanes);
                turn(level, source.codes_from(first + at), source.row_words, lines, 0, words);
                for lane in 0..dim {
                    // The rows of this lane of the codes' vectors.
                    let number = |i: usize| at + i * dim + lane;
                    let present = (0..lines).take_while(|&i| number(i) < count).count();
                    if present == 0 {
                        continue;
                    }
                    let every = Every { first: first + number(0), count: present, step: dim };
                    let lined = Lined::new(level, lanes, groups, scratch, |scales, extras| {
                        params(every, scales, extras);
                    });
                    for (block, rows) in rows.chunks_mut(width).enumerate() {
                        let mut sums = [0f32; MAX_TILE * MAX_LANES];
                        tile(block, words, &lined, first + number(0), &mut sums);
                        for (row, sums) in rows.iter_mut().zip(sums.chunks_exact(lanes)) {
                            for (i, sum) in sums.iter().enumerate().take(present) {
                                row[number(i)] = *sum;
                            }
                        }
                    }
                }
            }
        });
    });
}

/// Scales and extras of some groups, `[groups, lanes]`.
pub struct Lined<'s> {
    pub scales: &'s [f32],
    pub extras: &'s [f32],
}

impl<'s> Lined<'s> {
    /// What `params` says of the lanes' rows, one row after the other; a lane without a row has any numbers. `scratch`
    /// holds four times the scales.
    pub fn new(
        level: Level,
        lanes: usize,
        groups: usize,
        scratch: &'s mut [f32],
        params: impl Fn(&mut [f32], &mut [f32]),
    ) -> Self {
        let len = lanes * groups;
        let (by_row, by_lane) = scratch[..4 * len].split_at_mut(2 * len);
        let (scales, extras) = by_row.split_at_mut(len);
        params(scales, extras);
        let (scales_out, extras_out) = by_lane.split_at_mut(len);
        transpose(level, scales, groups, lanes, groups, lanes, scales_out);
        transpose(level, extras, groups, lanes, groups, lanes, extras_out);
        Lined { scales: scales_out, extras: extras_out }
    }

    /// With the codes in lanes; `row` is any of the rows.
    pub fn columns<'a>(&'a self, source: &'a Source, words: &'a [u32], row: usize) -> Columns<'a> {
        Columns {
            words,
            table: &source.tables[source.table_index(row)],
            scales: self.scales,
            zeros: if source.extras == Extras::Zeros { self.extras } else { &[] },
            offsets: if source.extras == Extras::Offsets { self.extras } else { &[] },
            group_units: source.group.div_ceil(source.unit()),
        }
    }
}
