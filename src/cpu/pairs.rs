//! The packed product of 8-bit integers: zero points come off first, which leaves 9 bits, and pairs of 16-bit integers
//! multiply and add in one instruction on every processor. Exact up to a depth of 2¹⁵.

use super::Threads;
use super::gemm::{transpose_words, with_scratch};
use super::simd::tile;
use crate::graph::Node;
use crate::tensor::{DType, View};
use crate::{Error, Result};

/// An i8 or u8 tensor and its zero points: none, one, or one per row (of A) or column (of B).
#[derive(Clone, Copy)]
pub struct Bytes<'a> {
    values: Values<'a>,
    zeros: Option<Values<'a>>,
    /// Rows of A after which its zero points repeat.
    pub period: usize,
}

#[derive(Clone, Copy)]
enum Values<'a> {
    Signed(&'a [i8]),
    Unsigned(&'a [u8]),
}

impl<'a> Values<'a> {
    fn new(node: &Node, view: View<'a>) -> Result<Self> {
        match view.dtype {
            DType::I8 => Ok(Values::Signed(view.slice()?)),
            DType::U8 => Ok(Values::Unsigned(view.slice()?)),
            other => Err(Error::Unsupported(format!("{} of {}", node.op, other.name()))),
        }
    }

    fn len(self) -> usize {
        match self {
            Values::Signed(v) => v.len(),
            Values::Unsigned(v) => v.len(),
        }
    }

    fn part(self, start: usize, len: usize) -> Self {
        match self {
            Values::Signed(v) => Values::Signed(&v[start..][..len]),
            Values::Unsigned(v) => Values::Unsigned(&v[start..][..len]),
        }
    }

    /// `out[i] = self[start + i] − zero`.
    fn centre(self, start: usize, zero: i16, out: &mut [i16]) {
        match self {
            Values::Signed(v) => {
                out.iter_mut().zip(&v[start..]).for_each(|(o, &v)| *o = i16::from(v) - zero);
            }
            Values::Unsigned(v) => {
                out.iter_mut().zip(&v[start..]).for_each(|(o, &v)| *o = i16::from(v) - zero);
            }
        }
    }
}

impl<'a> Bytes<'a> {
    pub fn new(node: &Node, values: View<'a>, zeros: Option<View<'a>>) -> Result<Self> {
        let zeros = zeros.map(|z| Values::new(node, z)).transpose()?.filter(|z| z.len() > 0);
        Ok(Bytes { values: Values::new(node, values)?, zeros, period: usize::MAX })
    }

    /// Elements `start .. start + len`, with the same zero points.
    pub fn part(&self, start: usize, len: usize) -> Self {
        Bytes { values: self.values.part(start, len), ..*self }
    }

    fn zero(&self, i: usize) -> i16 {
        let mut zero = [0];
        if let Some(zeros) = self.zeros {
            zeros.centre(if zeros.len() == 1 { 0 } else { i % zeros.len() }, 0, &mut zero);
        }
        zero[0]
    }
}

/// B `[k, n]` in panels of pairs along k.
pub struct PairPanels {
    k: usize,
    n: usize,
    words: Vec<i32>,
}

impl PairPanels {
    pub fn new(threads: &Threads, k: usize, n: usize, b: &Bytes) -> Self {
        let (width, pairs) = (threads.level().tile_cols(), k.div_ceil(2));
        let mut words = vec![0i32; n.div_ceil(width) * width * pairs];
        let zeros: Vec<i16> = (0..n).map(|j| b.zero(j)).collect();
        threads.for_chunks(&mut words, width * pairs, |panel, words| {
            let first = panel * width;
            let lanes = width.min(n - first);
            let mut rows = [[0i16; tile::MAX_COLS]; 2];
            for (pair, words) in words.chunks_exact_mut(width).enumerate() {
                for (half, row) in rows.iter_mut().enumerate() {
                    let index = 2 * pair + half;
                    row.fill(0);
                    if index < k {
                        b.values.centre(index * n + first, 0, &mut row[..lanes]);
                        row.iter_mut().zip(&zeros[first..]).for_each(|(v, zero)| *v -= zero);
                    }
                }
                for (j, word) in words[..lanes].iter_mut().enumerate() {
                    *word = i32::from(rows[1][j]) << 16 | i32::from(rows[0][j] as u16);
                }
            }
        });
        PairPanels { k, n, words }
    }
}

/// `c[m, n] = (a − zeros) · (b − zeros)`.
pub fn product(threads: &Threads, m: usize, a: &Bytes, b: &PairPanels, c: &mut [i32]) {
    let (k, n, level) = (b.k, b.n, threads.level());
    let (mr, nr) = (level.tile_rows(), level.tile_cols());
    let pairs = k.div_ceil(2);
    if m * n == 0 {
        return;
    }
    let height = m.div_ceil(if threads.count() == 1 { 1 } else { 2 * threads.count() }).next_multiple_of(mr);
    threads.for_chunks(c, height * n, |block, c| {
        let (top, rows) = (block * height, c.len() / n);
        let packed = rows.next_multiple_of(mr) * pairs;
        with_scratch(packed + mr * pairs, |scratch| {
            let (panels, row_words) = bytemuck::cast_slice_mut::<f32, u32>(scratch).split_at_mut(packed);
            for first in (0..rows).step_by(mr) {
                let lanes = mr.min(rows - first);
                for (i, words) in row_words.chunks_exact_mut(pairs.max(1)).take(lanes).enumerate() {
                    let row = top + first + i;
                    let values = &mut bytemuck::cast_slice_mut::<u32, i16>(words);
                    values[k..].fill(0);
                    a.values.centre(row * k, a.zero(row % a.period), &mut values[..k]);
                }
                let panel = &mut panels[first * pairs..][..mr * pairs];
                transpose_words(level, row_words, pairs, lanes, pairs, mr, panel);
            }
            let panels: &[i32] = bytemuck::cast_slice(panels);
            let mut sums = [0i32; tile::MAX_ROWS * tile::MAX_COLS];
            for left in (0..n).step_by(nr) {
                let cols = nr.min(n - left);
                let b = &b.words[left * pairs..][..nr * pairs];
                for first in (0..rows).step_by(mr) {
                    let lanes = mr.min(rows - first);
                    let a = &panels[first * pairs..][..mr * pairs];
                    let a = tile::Lanes::new(a, 1, mr, pairs);
                    tile::multiply_pairs(level, lanes, cols, a, b, &mut sums);
                    for (i, sums) in sums.chunks_exact(nr).take(lanes).enumerate() {
                        c[(first + i) * n + left..][..cols].copy_from_slice(&sums[..cols]);
                    }
                }
            }
        });
    });
}
