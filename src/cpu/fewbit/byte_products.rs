//! Products with activations of 8 bits.

use super::byte_rows::{Quantised, arrange};
use super::bytes::{ByteSource, block};
use super::source::{Every, Source};
use super::{dots, tiles};
use crate::cpu::Threads;
use crate::cpu::simd::Level;
use crate::cpu::simd::fewbit::{
    ByteColumns, ByteDot, ByteRows, Lines, byte_level, byte_shift, dot_bytes, takes_bytes, tile_bytes,
};

/// The level whose kernels take this weight and the length of the blocks of x, if there are such kernels.
pub fn takes(level: Level, source: &Source) -> Option<(Level, usize)> {
    let level = byte_level(level).filter(|_| takes_bytes(source.bits, source.palette()))?;
    Some((level, block(source)?))
}

fn byte_source<'a>(level: Level, source: &'a Source<'a>) -> ByteSource<'a> {
    ByteSource::new(source, byte_shift(level, source.bits, source.palette()))
}

/// `out = x · Wᵀ`, row by row of x.
pub fn by_dots(threads: &Threads, level: Level, block: usize, x: &[f32], source: &Source, out: &mut [f32]) {
    let (k, unit, groups, bytes) = (source.cols, source.unit(), source.groups(), byte_source(level, source));
    let frame = dots::Frame::new(source, crate::cpu::simd::fewbit::lanes(level));
    let (lanes, blocks) = (frame.lanes, k.div_ceil(block));
    let rows = Quantised::new(threads, source, block, x);
    let arranged: Vec<_> = (0..x.len() / k)
        .map(|row| {
            let mut words = vec![0u32; frame.steps * unit / 4 * lanes];
            arrange(source.bits, lanes, &mut words, |step, lane| rows.unit(k, row, step * lanes + lane, unit));
            let scales = &rows.scales[row * blocks..][..blocks];
            let per_block = block / unit;
            let scales = scales.iter().flat_map(|&scale| std::iter::repeat_n(scale, per_block));
            let scales = scales.chain(std::iter::repeat(0.0)).take(frame.steps * lanes);
            let mut sums = vec![0f32; frame.padded_groups];
            sums[..groups].copy_from_slice(&rows.sums[row * groups..][..groups]);
            (words, scales.collect::<Vec<_>>(), sums)
        })
        .collect();
    let params = |rows: Every, stride: usize, scales: &mut [f32], offsets: &mut [f32]| {
        bytes.params(threads.level(), rows, stride, scales, offsets);
    };
    frame.run(threads, false, out, params, |i, lines, out| {
        let (x, x_scales, x_sums) = &arranged[i];
        let codes = source.codes_from(lines.first);
        let job = ByteDot { lines: Lines { x_sums, ..lines }, x, x_scales, tables: &bytes.tables };
        dot_bytes(level, source.bits, bytes.lookup, &job, codes, source.row_words, out);
    });
}

/// `out = x · Wᵀ` for some rows of x.
pub fn by_tiles(threads: &Threads, level: Level, block: usize, x: &[f32], source: &Source, out: &mut [f32]) {
    let (k, unit, groups, bytes) = (source.cols, source.unit(), source.groups(), byte_source(level, source));
    let (m, units, blocks) = (x.len() / k, k.div_ceil(unit), k.div_ceil(block));
    let width = tiles::width(m);
    let rows = Quantised::new(threads, source, block, x);
    let line = units * unit / 4 * width;
    let mut words = vec![0u32; m.div_ceil(width) * line];
    threads.for_chunks(&mut words, line, |i, words| {
        arrange(source.bits, width, words, |at, row| rows.unit(k, i * width + row, at, unit));
    });
    // `[m, count]` as blocks `[count, width]`.
    let turned = |values: &[f32], count: usize| {
        let mut out = vec![0f32; m.div_ceil(width) * count * width];
        for (i, value) in values.iter().enumerate() {
            let (row, at) = (i / count, i % count);
            out[(row / width * count + at) * width + row % width] = *value;
        }
        out
    };
    let (x_scales, x_sums) = (turned(&rows.scales, blocks), turned(&rows.sums, groups));
    let params = |rows: Every, scales: &mut [f32], offsets: &mut [f32]| {
        bytes.params(threads.level(), rows, groups, scales, offsets);
    };
    tiles::run(threads, level, source, width, out, params, |i, codes, lined, row, out| {
        let columns =
            ByteColumns { words: codes, table: bytes.table(row), scales: lined.scales, offsets: lined.extras };
        let rows = ByteRows {
            x: &words[i * line..][..line],
            scales: &x_scales[i * blocks * width..][..blocks * width],
            sums: &x_sums[i * groups * width..][..groups * width],
            units,
            block_units: block / unit,
            blocks_per_group: if groups > 1 { source.group / block } else { blocks },
        };
        tile_bytes(level, source.bits, bytes.lookup, &columns, &rows, width, out);
    });
}
