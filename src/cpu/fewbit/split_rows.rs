//! Products of a few rows of x with integer codes in WebAssembly: two rows of the weight with two of x at a time.

use std::borrow::Cow;

use super::source::{Every, Extras, Source, center};
use super::sums::group_sums;
use crate::cpu::gemm::epilogue::{Epilogue, finish};
use crate::cpu::simd::Level;
use crate::cpu::simd::codes::{Layout, Line, Row, STEP, needed, split_dots};
use crate::cpu::simd::decoding::Decoding;

/// Rows of the weight whose scales are widened at once, an even number.
const BLOCK: usize = 16;

/// `out = epilogue(x · Wᵀ)`; `false` for a weight with tables and for numbers that are not finite: nothing was done.
pub fn product(level: Level, x: &[f32], source: &Source, epilogue: &Epilogue, out: &mut [f32]) -> bool {
    let (n, k, groups) = (source.rows, source.cols, source.groups());
    let layout = Layout::new(source.bits);
    let lines: Option<Vec<Line>> = x.chunks_exact(k).map(|x| Line::new(x, &layout)).collect();
    let Some(lines) = lines.filter(|_| source.decoding == Decoding::Convert) else { return false };
    let x_sums: Vec<Vec<f32>> = match source.extras {
        Extras::Offsets => x.chunks_exact(k).map(|x| group_sums(x, source.group).collect()).collect(),
        _ => Vec::new(),
    };
    let steps = k.div_ceil(STEP);
    let group = if groups > 1 { source.group } else { k.next_multiple_of(STEP) };
    let (mut scales, mut extras) = (vec![0f32; BLOCK * groups], vec![0f32; BLOCK * groups]);
    let middle = vec![-center(source.bits); groups];
    for first in (0..n).step_by(BLOCK) {
        let count = BLOCK.min(n - first);
        let every = Every { first, count, step: 1 };
        source.params(level, every, 0..groups, groups, &mut scales, &mut extras);
        // The last rows of a weight may have too few bytes behind them.
        let padded = (first..first + count).map(|row| padded(source.codes_from(row), needed(&layout, steps)));
        let codes: Vec<Cow<[u8]>> = padded.collect();
        let row = |i: usize| Row {
            codes: &codes[i],
            layout: &layout,
            planes: None,
            scales: &scales[i * groups..][..groups],
            shifts: if source.extras == Extras::Zeros { &extras[i * groups..][..groups] } else { &middle },
            group,
        };
        for i in (0..count).step_by(2) {
            for (l, lines) in lines.chunks(2).enumerate() {
                let mut put = |r: usize, line: usize, sum: f32| {
                    let line = 2 * l + line;
                    let offset =
                        x_sums.get(line).map_or(0.0, |sums| inner(sums, &extras[(i + r) * groups..][..groups]));
                    out[line * n + first + i + r] = sum + offset;
                };
                match (i + 1 < count, lines) {
                    (true, [a, b]) => {
                        let sums = split_dots([&row(i), &row(i + 1)], [a, b]);
                        (0..4).for_each(|at| put(at / 2, at % 2, sums[at / 2][at % 2]));
                    }
                    (true, [a]) => {
                        let sums = split_dots([&row(i), &row(i + 1)], [a]);
                        (0..2).for_each(|r| put(r, 0, sums[r][0]));
                    }
                    (_, lines) => {
                        let row = row(i);
                        lines.iter().enumerate().for_each(|(l, line)| put(0, l, split_dots([&row], [line])[0][0]));
                    }
                }
            }
        }
    }
    for (index, out) in out.chunks_exact_mut(n).enumerate() {
        finish(level, out, index, 0, n, epilogue);
    }
    true
}

/// `Σ a · b` in four sums: additions need not wait for each other.
fn inner(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    let mut sums = [0f32; 4];
    for (a, b) in a.iter().zip(b) {
        (0..4).for_each(|i| sums[i] += a[i] * b[i]);
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

fn padded(bytes: &[u8], len: usize) -> Cow<'_, [u8]> {
    if bytes.len() >= len {
        return Cow::Borrowed(bytes);
    }
    let mut padded = bytes.to_vec();
    padded.resize(len, 0);
    Cow::Owned(padded)
}
