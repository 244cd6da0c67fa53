//! `dot` with activations of 8 bits: products of bytes, added as integers.

use super::super::lanes::Bytes;
use super::super::unroll::unroll;
use super::lines::{Four, Lines, ROWS};
use super::quads::Unit;

/// Weights are `byte · scale + offset`, the offsets being the extras of `lines`.
pub struct ByteDot<'a> {
    pub lines: Lines<'a>,
    /// `[steps, quads, lanes]`: four integers a word, in the order of codes, with zeros behind the end of x.
    pub x: &'a [u32],
    /// `[steps, lanes]`: what an integer of x stands for.
    pub x_scales: &'a [f32],
    /// Bytes that codes stand for, for a lookup.
    pub tables: &'a [[u8; 16]],
}

/// The sums of all rows of `codes`, `row_words` words each.
///
/// # Safety
/// That of `Lanes`.
#[inline(always)]
pub unsafe fn byte_dot<S: Bytes, const BITS: usize, const LOOKUP: bool>(
    job: &ByteDot,
    codes: &[u8],
    row_words: usize,
    out: &mut [f32],
) {
    let steps = job.lines.steps();
    assert!(job.x.len() >= steps * Unit::<BITS>::QUADS * S::LANES && job.x_scales.len() >= steps * S::LANES);
    assert!(job.lines.hold::<S>(out.len()));
    let mut four = Four::EMPTY;
    for (first, out) in (0..).step_by(ROWS).zip(out.chunks_mut(ROWS)) {
        four.take::<S, BITS>(&job.lines, codes, row_words, first, out.len());
        let mut sums = [0f32; ROWS];
        // SAFETY: the caller's, and the assertions above.
        unsafe { sum_four::<S, BITS, LOOKUP>(job, &four, &mut sums) };
        out.copy_from_slice(&sums[..out.len()]);
    }
}

/// # Safety
/// That of `Lanes`; x and scales have what the rows need.
#[inline(always)]
unsafe fn sum_four<S: Bytes, const BITS: usize, const LOOKUP: bool>(job: &ByteDot, four: &Four, out: &mut [f32; ROWS]) {
    let lines = &job.lines;
    let at = lines.groups_of_lanes::<S>();
    // SAFETY: the caller's.
    unsafe {
        let mut tables = [S::splat_word(0); ROWS];
        if LOOKUP {
            unroll!(r in ROWS, 4 => {
                tables[r] = S::byte_table(&job.tables[lines.table(four.index[r], job.tables.len())]);
            });
        }
        let mut sums = [S::zero(); ROWS];
        let mut x = job.x.as_ptr();
        for step in 0..lines.steps() {
            let x_scale = S::load(job.x_scales.as_ptr().add(step * S::LANES));
            let group = lines.group::<S>(step);
            unroll!(r in ROWS, 4 => {
                let words = four.words::<S, BITS>(lines, r, step);
                let mut part = S::splat_word(0);
                unroll!(q in Unit::<BITS>::QUADS, 8 => {
                    let quad = Unit::<BITS>::quad::<S>(&words, q, true);
                    let bytes = if LOOKUP { S::lookup_bytes(tables[r], quad) } else { quad };
                    let x = S::load_words(x.add(q * S::LANES));
                    part = match LOOKUP || BITS > 6 {
                        true => S::dot::<true>(part, bytes, x),
                        false => S::dot::<false>(part, bytes, x),
                    };
                });
                let scale = S::pick(lines.scales.as_ptr().add(four.index[r] * lines.stride + group), at.as_ptr());
                sums[r] = S::fma(S::to_float(part), S::mul(scale, x_scale), sums[r]);
            });
            x = x.add(Unit::<BITS>::QUADS * S::LANES);
        }
        lines.add_offsets::<S>(four, &mut sums);
        unroll!(r in ROWS, 4 => { out[r] = S::sum(sums[r]); });
    }
}
