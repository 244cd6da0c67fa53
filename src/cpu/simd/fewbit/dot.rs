//! One row of activations: a lane holds a unit of one weight row, so codes are used as they lie in memory.

use super::super::lanes::Lanes;
use super::super::unroll::unroll;
use super::lines::{Four, Lines, ROWS};
use super::quads::Unit;
use super::values::Values;

/// Weights are values of codes.
pub const PLAIN: u8 = 0;
/// Values are scaled; weights may have offsets.
pub const SCALED: u8 = 1;
/// Values are shifted, then scaled.
pub const ZEROS: u8 = 2;

pub struct Dot<'a> {
    pub lines: Lines<'a>,
    /// `[steps, quads, 4, lanes]`: x in the order of codes, with zeros behind its end.
    pub x: &'a [f32],
    /// Values of all codes, repeated to 64.
    pub tables: &'a [[f32; 64]],
    /// Whether `extras` are added to values; else to weights.
    pub zeros: bool,
}

/// The sums of all rows of `codes`, `row_words` words each.
///
/// # Safety
/// That of `Lanes`.
#[inline(always)]
pub unsafe fn dot<S: Lanes, const BITS: usize, const LOOKUP: bool, const KIND: u8>(
    job: &Dot,
    codes: &[u8],
    row_words: usize,
    out: &mut [f32],
) {
    assert!(job.x.len() >= job.lines.steps() * 4 * Unit::<BITS>::QUADS * S::LANES);
    assert!(KIND == PLAIN || job.lines.hold::<S>(out.len()));
    let mut four = Four::EMPTY;
    for (first, out) in (0..).step_by(ROWS).zip(out.chunks_mut(ROWS)) {
        four.take::<S, BITS>(&job.lines, codes, row_words, first, out.len());
        let mut sums = [0f32; ROWS];
        // SAFETY: the caller's, and the assertions above.
        unsafe { sum_four::<S, BITS, LOOKUP, KIND>(job, &four, &mut sums) };
        out.copy_from_slice(&sums[..out.len()]);
    }
}

/// # Safety
/// That of `Lanes`; x and scales have what the rows need.
#[inline(always)]
unsafe fn sum_four<S: Lanes, const BITS: usize, const LOOKUP: bool, const KIND: u8>(
    job: &Dot,
    four: &Four,
    out: &mut [f32; ROWS],
) {
    let lines = &job.lines;
    let at = lines.groups_of_lanes::<S>();
    // SAFETY: the caller's.
    unsafe {
        let mut values = [Values::<S>::new::<BITS>(&job.tables[0]); ROWS];
        if job.tables.len() > 1 {
            unroll!(r in ROWS, 4 => {
                values[r] = Values::new::<BITS>(&job.tables[lines.table(four.index[r], job.tables.len())]);
            });
        }
        let mut sums = [S::zero(); ROWS];
        let mut x = job.x.as_ptr();
        for step in 0..lines.steps() {
            let mut words = [[S::splat_word(0); 5]; ROWS];
            unroll!(r in ROWS, 4 => { words[r] = four.words::<S, BITS>(lines, r, step); });
            let group = lines.group::<S>(step);
            if KIND == ZEROS {
                unroll!(r in ROWS, 4 => {
                    let zeros = lines.extras.as_ptr().add(four.index[r] * lines.stride + group);
                    values[r] = values[r].shifted(S::pick(zeros, at.as_ptr()));
                });
            }
            let mut parts = if KIND != PLAIN { [S::zero(); ROWS] } else { sums };
            unroll!(q in Unit::<BITS>::QUADS, 8 => {
                let xs = [
                    S::load(x.add(4 * q * S::LANES)),
                    S::load(x.add((4 * q + 1) * S::LANES)),
                    S::load(x.add((4 * q + 2) * S::LANES)),
                    S::load(x.add((4 * q + 3) * S::LANES)),
                ];
                unroll!(r in ROWS, 4 => {
                    let quad = Unit::<BITS>::quad::<S>(&words[r], q, !(LOOKUP && S::IGNORES_HIGH_BITS));
                    let weights = match KIND {
                        ZEROS => values[r].of::<BITS, LOOKUP, true>(quad),
                        _ => values[r].of::<BITS, LOOKUP, false>(quad),
                    };
                    unroll!(i in 4 => { parts[r] = S::fma(weights[i], xs[i], parts[r]); });
                });
            });
            x = x.add(4 * Unit::<BITS>::QUADS * S::LANES);
            if KIND != PLAIN {
                unroll!(r in ROWS, 4 => {
                    let scales = lines.scales.as_ptr().add(four.index[r] * lines.stride + group);
                    sums[r] = S::fma(parts[r], S::pick(scales, at.as_ptr()), sums[r]);
                });
            } else {
                sums = parts;
            }
        }
        lines.add_offsets::<S>(four, &mut sums);
        unroll!(r in ROWS, 4 => { out[r] = S::sum(sums[r]); });
    }
}
