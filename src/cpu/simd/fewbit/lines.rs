//! Rows of a weight with a unit per lane, four at a time: where their codes lie, and which group each lane belongs to.

use super::super::lanes::{Lanes, MAX_LANES};
use super::super::unroll::unroll;
use super::quads::Unit;

/// Rows of the weight at a time: they share the loads of x.
pub const ROWS: usize = 4;

/// What some rows of a weight have in common.
#[derive(Clone, Copy)]
pub struct Lines<'a> {
    /// Steps in which every lane has a whole unit of every row.
    pub whole: usize,
    /// Whether a ragged step follows.
    pub tail: bool,
    /// `dim` tables serve that many rows.
    pub rows_per_table: usize,
    /// Neighbouring rows that share their codes.
    pub dim: usize,
    /// Number of the first row, a multiple of `dim`.
    pub first: usize,
    /// `[rows, groups]`, each row followed by zeros up to `stride`, so that a vector can be read from any group on.
    pub scales: &'a [f32],
    /// Likewise: what is added to the values, or to the weights, of a group.
    pub extras: &'a [f32],
    pub stride: usize,
    /// Lanes of a group, a divisor or a multiple of all lanes; `None`: a row is one group.
    pub group_lanes: Option<usize>,
    /// Sums of x over groups, padded with zeros, if `extras` are added to weights.
    pub x_sums: &'a [f32],
}

impl Lines<'_> {
    pub fn steps(&self) -> usize {
        self.whole + usize::from(self.tail)
    }

    /// Which of `count` tables serves row `index`.
    #[inline(always)]
    pub fn table(&self, index: usize, count: usize) -> usize {
        let row = self.first + index;
        if count > 1 { row / self.rows_per_table * self.dim + row % self.dim } else { 0 }
    }

    /// The first group of a step.
    #[inline(always)]
    pub fn group<S: Lanes>(&self, step: usize) -> usize {
        self.group_lanes.map_or(0, |lanes| step * S::LANES / lanes)
    }

    /// Whether scales and extras have what `rows` rows read.
    pub fn hold<S: Lanes>(&self, rows: usize) -> bool {
        let groups = self.group::<S>(self.steps().saturating_sub(1)) + S::LANES;
        let len = rows.saturating_sub(1) * self.stride + groups.max(self.x_sums.len());
        self.scales.len() >= len && self.extras.len() >= len
    }

    /// Adds what the offsets of all groups contribute, in any lanes.
    ///
    /// # Safety
    /// That of `Lanes`; `hold` is true.
    #[inline(always)]
    pub unsafe fn add_offsets<S: Lanes>(&self, four: &Four, sums: &mut [S::F; ROWS]) {
        for group in (0..self.x_sums.len() / S::LANES * S::LANES).step_by(S::LANES) {
            // SAFETY: the caller's.
            unsafe {
                let x = S::load(self.x_sums.as_ptr().add(group));
                unroll!(r in ROWS, 4 => {
                    let offsets = S::load(self.extras.as_ptr().add(four.index[r] * self.stride + group));
                    sums[r] = S::fma(offsets, x, sums[r]);
                });
            }
        }
    }

    /// Which group each lane of a step belongs to, counted from the step's first.
    pub fn groups_of_lanes<S: Lanes>(&self) -> [u32; MAX_LANES] {
        let lanes = self.group_lanes.unwrap_or(MAX_LANES);
        std::array::from_fn(|lane| (lane % S::LANES / lanes) as u32)
    }
}

/// The codes of four rows; rows behind the last are the last.
pub struct Four {
    pub index: [usize; ROWS],
    rows: [*const u32; ROWS],
    /// Words from a row to the one that is used after it.
    next: usize,
    /// Ragged steps, padded with zeros.
    rest: [[u32; 5 * MAX_LANES]; ROWS],
}

impl Four {
    pub const EMPTY: Four =
        Four { index: [0; ROWS], rows: [std::ptr::null(); ROWS], next: 0, rest: [[0; 5 * MAX_LANES]; ROWS] };

    /// Rows `first .. first + count` of `codes`, `row_words` words each.
    #[inline(always)]
    pub fn take<S: Lanes, const BITS: usize>(
        &mut self,
        lines: &Lines,
        codes: &[u8],
        row_words: usize,
        first: usize,
        count: usize,
    ) {
        let whole = lines.whole * Unit::<BITS>::WORDS * S::LANES;
        assert!(count > 0 && count <= ROWS && whole <= row_words);
        self.next = ROWS * row_words;
        for r in 0..ROWS {
            self.index[r] = first + r.min(count - 1);
            let row = &codes[4 * row_words * (self.index[r] / lines.dim)..][..4 * row_words];
            self.rows[r] = row.as_ptr().cast();
            if lines.tail {
                let rest = &row[4 * whole..];
                bytemuck::cast_slice_mut(&mut self.rest[r])[..rest.len()].copy_from_slice(rest);
            }
        }
    }

    /// The words of row `r` in a step, a unit per lane.
    ///
    /// # Safety
    /// That of `Lanes`; `take` was called with the same `lines`, whose codes still live, and `step < lines.steps()`.
    #[inline(always)]
    pub unsafe fn words<S: Lanes, const BITS: usize>(&self, lines: &Lines, r: usize, step: usize) -> [S::I; 5] {
        let from = match step < lines.whole {
            true => self.rows[r].wrapping_add(step * Unit::<BITS>::WORDS * S::LANES),
            false => self.rest[r].as_ptr(),
        };
        // Rows are short for the processor to foresee the next ones.
        S::prefetch(from.wrapping_add(self.next));
        // SAFETY: whole steps lie within a row, which `take` asserts; a ragged one has room for a step.
        unsafe {
            match Unit::<BITS>::WORDS {
                1 => S::load_strided::<1>(from),
                3 => S::load_strided::<3>(from),
                _ => S::load_strided::<5>(from),
            }
        }
    }
}
