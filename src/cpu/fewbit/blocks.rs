//! Products with activations of 8 bits whose blocks are the groups of the weight, or whose weight has one group a row.

use super::bytes::{ByteSource, ZERO, quantise};
use super::parts::divide;
use super::source::{Every, Extras, Source, center};
use crate::cpu::Threads;
use crate::cpu::simd::Level;
use crate::cpu::simd::fewbit::{BlockDot, BlockLine, block_dot, has_block_dot};

/// Rows of the weight whose factors are widened at once.
const ROWS: usize = 256;

/// Whether there is a kernel for this weight, of which blocks of x have `block` elements.
pub fn takes(level: Level, source: &Source, block: usize) -> bool {
    let direct = source.group == block && source.stored_params().is_some_and(|stored| !stored.scales.is_empty());
    level == Level::Avx512 && has_block_dot() && (source.groups() <= 1 || direct)
}

/// `out = x · Wᵀ`, row by row of x.
pub fn product(threads: &Threads, block: usize, x: &[f32], source: &Source, out: &mut [f32]) {
    // What bytes stand for; x knows their middle.
    let bytes = ByteSource::new(source, 0.0);
    let lines: Vec<_> = x.chunks_exact(source.cols).map(|x| Line::new(threads.level(), source, block, x)).collect();
    let tables: Vec<[u8; 64]> = match bytes.lookup {
        true => bytes.tables.iter().map(|table| std::array::from_fn(|i| table[i % 16])).collect(),
        false => vec![],
    };
    let stored = source.stored_params().filter(|_| source.groups() > 1).unwrap_or_default();
    divide(threads, source.rows, 1, out, |first, rows| {
        for (line, out) in lines.iter().zip(rows) {
            let job = BlockDot {
                codes: source.codes_from(0),
                row_words: source.row_words,
                dim: source.dim,
                tables: &tables,
                rows_per_table: source.rows_per_table,
                scales: stored.scales,
                zeros: stored.zeros,
                offsets: stored.offsets,
                x: &line.bytes,
            };
            block_dot(source.bits, &job, first, out);
            if source.groups() <= 1 && !source.plain() {
                scale_rows(threads.level(), source, line.sum, first, out);
            }
            match bytes.steps[..] {
                _ if !bytes.lookup => {}
                [step] => out.iter_mut().for_each(|out| *out *= step),
                _ => {
                    for (i, out) in out.iter_mut().enumerate() {
                        *out *= bytes.steps[source.table_index(first + i)];
                    }
                }
            }
        }
    });
}

/// Applies what rows of one group have to sums of `(code − middle) · x`, of which `sum` is the sum of x.
fn scale_rows(level: Level, source: &Source, sum: f32, first: usize, out: &mut [f32]) {
    let (mut scales, mut extras) = ([0f32; ROWS], [0f32; ROWS]);
    for (first, out) in (first..).step_by(ROWS).zip(out.chunks_mut(ROWS)) {
        let rows = Every { first, count: out.len(), step: 1 };
        source.params(level, rows, 0..1, 1, &mut scales, &mut extras);
        for ((out, scale), extra) in out.iter_mut().zip(&scales).zip(&extras) {
            *out = match source.extras {
                Extras::Nothing => *out * scale,
                Extras::Zeros => (*out + (center(source.bits) + extra) * sum) * scale,
                Extras::Offsets => *out * scale + extra * sum,
            };
        }
    }
}

struct Line {
    bytes: BlockLine,
    /// Of what the integers stand for.
    sum: f32,
}

impl Line {
    fn new(level: Level, source: &Source, block: usize, x: &[f32]) -> Self {
        let (mut values, blocks) = (vec![0i8; x.len()], x.len().div_ceil(block));
        let (mut scales, mut sums) = (vec![0f32; blocks], vec![0f32; blocks]);
        quantise(level, x, block, &mut values, &mut scales, &mut sums);
        let middle = if source.palette() { ZERO } else { center(source.bits) };
        let sum = scales.iter().zip(&sums).map(|(scale, sum)| scale * sum).sum();
        Line { bytes: BlockLine::new(source.bits, block, middle as i32, &values, scales, sums), sum }
    }
}
