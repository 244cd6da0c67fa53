//! Rows of codes as numbers, multiplied with a row of activations.

use super::super::unroll::unroll;
use super::spread::{Layout, REACH, STEP, Spread};
use super::vector::Vector;

/// A row of a weight: `value(code) · scale` or `(code + shift) · scale`, with a scale and a shift per group.
pub struct Row<'a> {
    /// From the first code on; what lies behind the row is multiplied with zeros.
    pub codes: &'a [u8],
    pub layout: &'a Layout,
    /// Bytes of the values by significance. None: codes are integers.
    pub planes: Option<&'a [[u8; 16]; 4]>,
    pub scales: &'a [f32],
    /// Whole numbers, not looked at if there are `planes`.
    pub shifts: &'a [f32],
    /// Weights of a group, a multiple of `STEP`.
    pub group: usize,
}

/// A float with these upper bits is 2²³ and the integer in its lower bits.
const UPPER: [u8; 2] = [0x00, 0x4b];
const LOWEST: f32 = 8_388_608.0;

/// `Σ x · w`; `x` is padded with zeros to a multiple of `STEP`.
///
/// # Safety
/// That of `Vector`.
#[inline(always)]
pub unsafe fn dot<V: Vector, const LOOKUP: bool>(row: &Row, x: &[f32]) -> f32 {
    let (step_bytes, mut at) = (row.layout.step_bytes(), 0);
    // SAFETY: the caller's; codes are read from slices of `REACH` bytes, values of x from arrays of `STEP`.
    unsafe {
        let spread = Spread::<V>::new(row.layout);
        let nothing = V::splat_bytes(0);
        let upper = V::splat_bytes(UPPER[0]).zip_bytes(V::splat_bytes(UPPER[1]))[0];
        let mut planes = [nothing; 4];
        if let Some(from) = row.planes {
            unroll!(i in 4 => { planes[i] = V::load(from[i].as_ptr()); });
        }
        let mut total = nothing;
        for ((x, &scale), &shift) in x.chunks(row.group).zip(row.scales).zip(row.shifts) {
            let shift = V::splat(shift - LOWEST);
            let mut sums = [nothing; 4];
            for x in x.as_chunks::<STEP>().0 {
                let mut rest = [0u8; REACH];
                let bytes = match row.codes.get(at..at + REACH) {
                    Some(bytes) => bytes.as_ptr(),
                    None => end(row.codes, at, &mut rest),
                };
                at += step_bytes;
                let codes = spread.codes(bytes);
                unroll!(half in 2 => {
                    let x = x.as_ptr().add(16 * half);
                    let (low, high) = if LOOKUP {
                        let low = planes[0].lookup(codes[half]).zip_bytes(planes[1].lookup(codes[half]));
                        (low, planes[2].lookup(codes[half]).zip_bytes(planes[3].lookup(codes[half])))
                    } else {
                        (codes[half].zip_bytes(nothing), [upper; 2])
                    };
                    unroll!(part in 2 => {
                        let mut values = low[part].zip_words(high[part]);
                        unroll!(i in 2 => {
                            if !LOOKUP {
                                values[i] = values[i].add(shift);
                            }
                            let at = 2 * part + i;
                            sums[at] = values[i].multiply_add(V::load(x.add(4 * at).cast()), sums[at]);
                        });
                    });
                });
            }
            let sum = sums[0].add(sums[1]).add(sums[2].add(sums[3]));
            total = sum.multiply_add(V::splat(scale), total);
        }
        total.sum()
    }
}

/// What is left of `bytes` from `at` on, with zeros behind it.
#[cold]
pub fn end(bytes: &[u8], at: usize, out: &mut [u8; REACH]) -> *const u8 {
    let own = bytes.get(at..).unwrap_or(&[]);
    let len = own.len().min(REACH);
    out[..len].copy_from_slice(&own[..len]);
    out.as_ptr()
}

/// `out[i]` = code `i` of `bytes`; codes past the end are 0.
///
/// # Safety
/// That of `Vector`.
#[inline(always)]
pub unsafe fn unpack<V: Vector>(bytes: &[u8], layout: &Layout, out: &mut [u8]) {
    // SAFETY: the caller's; both sides of a step are arrays of its size.
    unsafe {
        let spread = Spread::<V>::new(layout);
        for (i, out) in out.chunks_mut(STEP).enumerate() {
            let (at, mut rest) = (i * layout.step_bytes(), [0u8; REACH]);
            let from = match bytes.get(at..at + REACH) {
                Some(bytes) => bytes.as_ptr(),
                None => end(bytes, at, &mut rest),
            };
            let mut codes = [0u8; STEP];
            let halves = spread.codes(from);
            unroll!(half in 2 => { halves[half].store(codes.as_mut_ptr().add(16 * half)); });
            out.copy_from_slice(&codes[..out.len()]);
        }
    }
}
