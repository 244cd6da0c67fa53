//! Few rows of activations: lanes along the rows of the weight.

use super::parts::divide;
use super::rows::by_lane;
use super::source::{Every, Extras, Source};
use super::sums::group_sums;
use crate::cpu::Threads;
use crate::cpu::gemm::with_scratch;
use crate::cpu::simd::fewbit::{Dot, Lines, dot, lanes};

/// Rows of the weight whose scales are widened at once; a multiple of every `dim`.
const BLOCK: usize = 16;

/// Whether no lane holds parts of two groups, and lanes meet groups in a regular way.
pub fn takes(source: &Source, lanes: usize) -> bool {
    let unit = source.unit();
    let per_group = source.group / unit;
    let regular = || lanes.is_multiple_of(per_group) || per_group.is_multiple_of(lanes);
    source.groups() <= 1 || source.group.is_multiple_of(unit) && regular()
}

/// `out = x · Wᵀ`, row by row of x.
pub fn product(threads: &Threads, x: &[f32], source: &Source, out: &mut [f32]) {
    let (k, level) = (source.cols, threads.level());
    let frame = Frame::new(source, lanes(level));
    let arranged: Vec<_> = x
        .chunks_exact(k)
        .map(|x| {
            let mut sums = vec![0f32; if source.extras == Extras::Offsets { frame.padded_groups } else { 0 }];
            sums.iter_mut().zip(group_sums(x, source.group)).for_each(|(sum, x)| *sum = x);
            let mut line = vec![0f32; frame.steps * source.unit() * frame.lanes];
            by_lane(source, frame.lanes, x, &mut line);
            (line, sums)
        })
        .collect();
    let params = |rows: Every, stride: usize, scales: &mut [f32], extras: &mut [f32]| {
        source.params(level, rows, 0..source.groups(), stride, scales, extras);
    };
    frame.run(threads, source.plain(), out, params, |i, lines, out| {
        let (x, x_sums) = &arranged[i];
        let codes = source.codes_from(lines.first);
        let job =
            Dot { lines: Lines { x_sums, ..lines }, x, tables: &source.tables, zeros: source.extras == Extras::Zeros };
        dot(level, source.bits, source.decoding, &job, codes, source.row_words, out);
    });
}

/// How the rows of a weight fall into steps.
pub struct Frame<'a> {
    source: &'a Source<'a>,
    pub lanes: usize,
    pub steps: usize,
    /// Steps in which all lanes have whole units.
    whole: usize,
    /// Groups, and so much more that a vector can be read from any group on.
    stride: usize,
    /// Groups in whole vectors.
    pub padded_groups: usize,
}

impl<'a> Frame<'a> {
    pub fn new(source: &'a Source<'a>, lanes: usize) -> Self {
        let steps = source.cols.div_ceil(source.unit() * lanes);
        let whole = source.row_words / (source.unit_words() * lanes);
        let padded_groups = source.groups().next_multiple_of(lanes);
        Frame { source, lanes, steps, whole: whole.min(steps), stride: padded_groups + lanes, padded_groups }
    }

    /// For some rows of the weight at a time: `params` of them, `stride` apart, unless weights are `plain`, then `sums` of them with
    /// each row of x.
    pub fn run(
        &self,
        threads: &Threads,
        plain: bool,
        out: &mut [f32],
        params: impl Fn(Every, usize, &mut [f32], &mut [f32]) + Send + Sync,
        sums: impl Fn(usize, Lines, &mut [f32]) + Send + Sync,
    ) {
        let &Frame { source, steps, whole, stride, .. } = self;
        let groups = source.groups();
        divide(threads, source.rows, BLOCK, out, |first, rows| {
            let width = rows.first().map_or(0, |row| row.len());
            with_scratch(2 * BLOCK * stride, |scratch| {
                scratch.fill(0.0);
                let (scales, extras) = scratch.split_at_mut(BLOCK * stride);
                for at in (0..width).step_by(BLOCK) {
                    let count = BLOCK.min(width - at);
                    if !plain {
                        params(Every { first: first + at, count, step: 1 }, stride, scales, extras);
                    }
                    let lines = Lines {
                        whole,
                        tail: whole < steps,
                        rows_per_table: source.rows_per_table,
                        dim: source.dim,
                        first: first + at,
                        scales: if plain { &[] } else { scales },
                        extras,
                        stride,
                        group_lanes: (groups > 1).then_some(source.group / source.unit()),
                        x_sums: &[],
                    };
                    for (i, row) in rows.iter_mut().enumerate() {
                        sums(i, lines, &mut row[at..][..count]);
                    }
                }
            });
        });
    }
}
