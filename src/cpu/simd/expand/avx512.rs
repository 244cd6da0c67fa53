//! AVX-512. An instruction of its own spreads the elements of a vector over the ones of a mask.

use std::arch::asm;
use std::arch::x86_64::*;

use super::row::{MAX_ROWS, ROOM, Row, by_rows, word};

/// How far ahead of the values that are used others are fetched, in elements: rows are short, and the processor does not
/// foresee loads that cross cache lines.
const AHEAD: usize = 1024;

/// A vector as it is. The compiler would join load and expansion, and expansion from memory is ten times slower on
/// some processors (Zen 4 and 5) than from a register.
#[inline]
#[target_feature(enable = "avx512f")]
fn loaded(mut x: __m512i) -> __m512i {
    // SAFETY: there is no instruction.
    unsafe { asm!("/* {0} */", inout(zmm_reg) x, options(pure, nomem, nostack, preserves_flags)) };
    x
}

pub fn dots(row: Row<f32>, x: &[f32], stride: usize) -> [f32; MAX_ROWS] {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,popcnt,bmi2")]
    fn body<const M: usize>(row: Row<f32>, x: &[f32], stride: usize) -> [f32; MAX_ROWS] {
        let mut sums = [[_mm512_setzero_ps(); 4]; M];
        let mut at = 0;
        for i in 0..row.mask.len().div_ceil(8) {
            let bits = word(row.mask, i);
            let end = at + bits.count_ones() as usize;
            let from = &row.values[at..end + ROOM];
            for part in 0..4 {
                let before = (bits & ((1 << (16 * part)) - 1)).count_ones() as usize;
                // SAFETY: `before` is at most `end − at`, and behind `end` there is a vector. x has `STEP` columns for
                // each word of the mask.
                unsafe {
                    let values = loaded(_mm512_loadu_si512(from.as_ptr().add(before).cast()));
                    let mask = (bits >> (16 * part)) as __mmask16;
                    let weights = _mm512_maskz_expand_ps(mask, _mm512_castsi512_ps(values));
                    for m in 0..M {
                        let x = _mm512_loadu_ps(x.as_ptr().add(m * stride + 64 * i + 16 * part));
                        sums[m][part] = _mm512_fmadd_ps(weights, x, sums[m][part]);
                    }
                }
            }
            at = end;
        }
        total(sums)
    }
    // SAFETY: called for `Level::Avx512` only, and of processors with that all have the others.
    unsafe { by_rows!(body(row, x, stride)) }
}

pub fn half_dots(row: Row<u16>, x: &[f32], stride: usize) -> [f32; MAX_ROWS] {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi2,avx2,fma,f16c,popcnt,bmi2")]
    fn body<const M: usize>(row: Row<u16>, x: &[f32], stride: usize) -> [f32; MAX_ROWS] {
        let mut sums = [[_mm512_setzero_ps(); 4]; M];
        let mut at = 0;
        for i in 0..row.mask.len().div_ceil(8) {
            let bits = word(row.mask, i);
            let end = at + bits.count_ones() as usize;
            let from = &row.values[at..end + ROOM];
            _mm_prefetch::<_MM_HINT_T0>(from.as_ptr().wrapping_add(AHEAD).cast());
            for part in 0..2 {
                let before = (bits & ((1 << (32 * part)) - 1)).count_ones() as usize;
                // SAFETY: as above; a vector has 32 halves.
                unsafe {
                    let values = loaded(_mm512_loadu_si512(from.as_ptr().add(before).cast()));
                    let halves = _mm512_maskz_expand_epi16((bits >> (32 * part)) as __mmask32, values);
                    let low = _mm512_cvtph_ps(_mm512_castsi512_si256(halves));
                    let high = _mm512_cvtph_ps(_mm512_extracti64x4_epi64::<1>(halves));
                    for m in 0..M {
                        let x = x.as_ptr().add(m * stride + 64 * i + 32 * part);
                        let sums = &mut sums[m][2 * part..];
                        sums[0] = _mm512_fmadd_ps(low, _mm512_loadu_ps(x), sums[0]);
                        sums[1] = _mm512_fmadd_ps(high, _mm512_loadu_ps(x.add(16)), sums[1]);
                    }
                }
            }
            at = end;
        }
        total(sums)
    }
    // SAFETY: called for `Level::Avx512` with VBMI2 only, and of processors with that all have the others.
    unsafe { by_rows!(body(row, x, stride)) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn total<const M: usize>(sums: [[__m512; 4]; M]) -> [f32; MAX_ROWS] {
    let mut out = [0.0; MAX_ROWS];
    for (out, [a, b, c, d]) in out.iter_mut().zip(sums) {
        *out = _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d)));
    }
    out
}
