//! Rows of codes multiplied with rows of activations in integers of 30 bits, half by half: as exact as in f32, and with a
//! third fewer instructions where vectors hold four floats.

use super::super::unroll::unroll;
use super::product::Row;
use super::spread::{Layout, REACH, STEP, Spread};
use super::vector::Integers;

/// Bits of the lower halves.
const LOW_BITS: u32 = 15;
/// Bits of an integer without its sign: two less than the halves have, so that none is rounded beyond them.
const BITS: i32 = 29;

/// A row of x: `(2¹⁵ · high + low) · scale`, a power of two for every `STEP` elements.
pub struct Line {
    /// High and low halves of a step, in the order of `Spread::codes_apart`.
    halves: Vec<[[i16; STEP]; 2]>,
    scales: Vec<f32>,
}

impl Line {
    /// `None` for a row with numbers that are not finite. What is missing of the last step is 0.
    pub fn new(x: &[f32], layout: &Layout) -> Option<Line> {
        let steps = x.len().div_ceil(STEP);
        let mut line = Line { halves: Vec::with_capacity(steps), scales: Vec::with_capacity(steps) };
        for x in x.chunks(STEP) {
            let largest = x.iter().fold(0u32, |most, v| most.max(v.to_bits() & 0x7fff_ffff));
            if largest >= f32::INFINITY.to_bits() {
                return None;
            }
            // All are below 2^exponent, which has a limit so that the factor is finite.
            let exponent = ((largest >> 23) as i32 - 126).max(-96);
            let power = |exponent: i32| f32::from_bits(((exponent + 127) as u32) << 23);
            let factor = power(BITS - exponent);
            let mut halves = [[0i16; STEP]; 2];
            for (i, v) in x.iter().enumerate() {
                let whole = (v * factor).round_ties_even() as i32;
                let high = (whole + (1 << (LOW_BITS - 1))) >> LOW_BITS;
                let at = if layout.bits() == 4 { i / 2 + i % 2 * (STEP / 2) } else { i };
                (halves[0][at], halves[1][at]) = (high as i16, (whole - (high << LOW_BITS)) as i16);
            }
            line.halves.push(halves);
            line.scales.push(power(exponent - BITS));
        }
        Some(line)
    }
}

/// `Σ x · w` of every row with every line. Rows have the same layout and group and no `planes`; their codes go on for
/// `REACH` bytes from where the last step begins.
///
/// # Safety
/// That of `Vector`.
#[inline(always)]
pub unsafe fn dots<V: Integers, const ROWS: usize, const LINES: usize>(
    rows: [&Row; ROWS],
    lines: [&Line; LINES],
) -> [[f32; LINES]; ROWS] {
    let (layout, per_group, steps) = (rows[0].layout, rows[0].group / STEP, lines[0].halves.len());
    let (step_bytes, groups) = (layout.step_bytes(), steps.div_ceil(per_group));
    assert!(rows.iter().all(|row| row.codes.len() >= needed(layout, steps)));
    assert!(rows.iter().all(|row| row.scales.len() >= groups && row.shifts.len() >= groups));
    assert!(lines.iter().all(|line| line.halves.len() == steps && line.scales.len() == steps));
    // SAFETY: the caller's; the assertions hold what is read of rows and lines.
    unsafe {
        let spread = Spread::<V>::new(layout);
        let nothing = V::splat_bytes(0);
        let high_unit = V::splat((1 << LOW_BITS) as f32);
        let mut totals = [[nothing; LINES]; ROWS];
        let (mut step, mut at) = (0, 0);
        for group in 0..groups {
            let mut shifts = [nothing; ROWS];
            unroll!(r in ROWS, 5 => { shifts[r] = V::splat_word(*rows[r].shifts.get_unchecked(group) as i16); });
            while step < steps.min((group + 1) * per_group) {
                let mut codes = [[nothing; 4]; ROWS];
                unroll!(r in ROWS, 5 => {
                    let [a, b] = spread.codes_apart(rows[r].codes.as_ptr().add(at));
                    let ([a0, a1], [b0, b1], shift) = (a.zip_bytes(nothing), b.zip_bytes(nothing), shifts[r]);
                    codes[r] = [a0.add_words(shift), a1.add_words(shift), b0.add_words(shift), b1.add_words(shift)];
                });
                unroll!(l in LINES, 5 => {
                    let halves = lines[l].halves.get_unchecked(step);
                    let (high, low) = (words::<V>(&halves[0]), words::<V>(&halves[1]));
                    unroll!(r in ROWS, 5 => {
                        let sum = four::<V>(codes[r], high).to_floats();
                        let sum = sum.multiply_add(high_unit, four::<V>(codes[r], low).to_floats());
                        let scale = rows[r].scales.get_unchecked(group) * lines[l].scales.get_unchecked(step);
                        totals[r][l] = sum.multiply_add(V::splat(scale), totals[r][l]);
                    });
                });
                (step, at) = (step + 1, at + step_bytes);
            }
        }
        let mut sums = [[0.0; LINES]; ROWS];
        unroll!(r in ROWS, 5 => { unroll!(l in LINES, 5 => { sums[r][l] = totals[r][l].sum(); }); });
        sums
    }
}

/// Bytes of codes that `dots` reads for a row.
pub fn needed(layout: &Layout, steps: usize) -> usize {
    steps.saturating_sub(1) * layout.step_bytes() + REACH
}

/// # Safety
/// That of `Vector`.
#[inline(always)]
unsafe fn words<V: Integers>(half: &[i16; STEP]) -> [V; 4] {
    let from = half.as_ptr().cast::<u8>();
    // SAFETY: the caller's; an array of 64 bytes.
    unsafe { [V::load(from), V::load(from.add(16)), V::load(from.add(32)), V::load(from.add(48))] }
}

/// Eight products of words in each 32-bit integer. A code less its zero has 9 bits, a half 15: 27 bits are the most.
///
/// # Safety
/// That of `Vector`.
#[inline(always)]
unsafe fn four<V: Integers>(a: [V; 4], b: [V; 4]) -> V {
    // SAFETY: the caller's.
    unsafe {
        let (first, second) = (a[0].dot_words(b[0]), a[1].dot_words(b[1]));
        let (third, fourth) = (a[2].dot_words(b[2]), a[3].dot_words(b[3]));
        first.add_integers(second).add_integers(third.add_integers(fourth))
    }
}
