//! AVX2, which has no instruction for it: tables of 256 permutations, one for each byte of a mask.

use std::arch::x86_64::*;

use super::row::{MAX_ROWS, ROOM, Row, by_rows, plain, word};

/// For each byte: where lane `i` finds its value, with the sign bit set; 0 for lanes that have none.
static PLACES: [[i8; 8]; 256] = places();

const fn places() -> [[i8; 8]; 256] {
    let mut all = [[0; 8]; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut lane, mut next) = (0, 0);
        while lane < 8 {
            if byte >> lane & 1 == 1 {
                all[byte][lane] = next | i8::MIN;
                next += 1;
            }
            lane += 1;
        }
        byte += 1;
    }
    all
}

/// The weights of eight columns.
///
/// # Safety
/// `from` leads to eight values.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn eight(byte: u8, from: *const f32) -> __m256 {
    let places = _mm_cvtsi64_si128(i64::from_ne_bytes(PLACES[usize::from(byte)].map(|b| b as u8)));
    let places = _mm256_cvtepi8_epi32(places);
    // SAFETY: the caller's.
    let values = unsafe { _mm256_loadu_ps(from) };
    // A permutation looks at three bits of its indices, a blend at the sign.
    let there = _mm256_permutevar8x32_ps(values, places);
    _mm256_blendv_ps(_mm256_setzero_ps(), there, _mm256_castsi256_ps(places))
}

pub fn expand(row: Row<f32>, out: &mut [f32]) {
    #[target_feature(enable = "avx2,popcnt")]
    fn body(row: Row<f32>, out: &mut [f32]) {
        let (whole, rest) = out.as_chunks_mut::<8>();
        let mut at = 0;
        for (out, &byte) in whole.iter_mut().zip(row.mask) {
            let from = &row.values[at..][..8];
            // SAFETY: both are eight values.
            unsafe { _mm256_storeu_ps(out.as_mut_ptr(), eight(byte, from.as_ptr())) };
            at += byte.count_ones() as usize;
        }
        plain(&row.mask[whole.len()..], &row.values[at..], rest);
    }
    // SAFETY: called for levels with AVX2 only, and all processors with it count bits.
    unsafe { body(row, out) }
}

pub fn dots(row: Row<f32>, x: &[f32], stride: usize) -> [f32; MAX_ROWS] {
    #[target_feature(enable = "avx2,fma,popcnt")]
    fn body<const M: usize>(row: Row<f32>, x: &[f32], stride: usize) -> [f32; MAX_ROWS] {
        // 8 sums, and of each column a weight and an x: 16 registers are enough.
        let mut sums = [[_mm256_setzero_ps(); 2]; M];
        let mut at = 0;
        for i in 0..row.mask.len().div_ceil(8) {
            let bits = word(row.mask, i);
            let end = at + bits.count_ones() as usize;
            let mut from = row.values[at..end + ROOM].as_ptr();
            for (part, byte) in bits.to_le_bytes().into_iter().enumerate() {
                // SAFETY: `from` has gone as far as the bits before it have ones, and behind `end` there is a vector. x
                // has `STEP` columns for each word of the mask.
                unsafe {
                    let weights = eight(byte, from);
                    for m in 0..M {
                        let x = _mm256_loadu_ps(x.as_ptr().add(m * stride + 64 * i + 8 * part));
                        sums[m][part % 2] = _mm256_fmadd_ps(weights, x, sums[m][part % 2]);
                    }
                    from = from.add(byte.count_ones() as usize);
                }
            }
            at = end;
        }
        total(sums)
    }
    // SAFETY: called for levels with AVX2 only, and all processors with it count bits.
    unsafe { by_rows!(body(row, x, stride)) }
}

/// For each byte: the bytes of the half that lane `i` takes; 0x80, which gives 0, for lanes that have none.
static HALF_PLACES: [[u8; 16]; 256] = half_places();

const fn half_places() -> [[u8; 16]; 256] {
    let mut all = [[0x80; 16]; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut lane = 0;
        while lane < 8 {
            if PLACES[byte][lane] < 0 {
                let from = 2 * (PLACES[byte][lane] & 7) as u8;
                all[byte][2 * lane] = from;
                all[byte][2 * lane + 1] = from + 1;
            }
            lane += 1;
        }
        byte += 1;
    }
    all
}

pub fn half_dots(row: Row<u16>, x: &[f32], stride: usize) -> [f32; MAX_ROWS] {
    #[target_feature(enable = "avx2,fma,f16c,popcnt")]
    fn body<const M: usize>(row: Row<u16>, x: &[f32], stride: usize) -> [f32; MAX_ROWS] {
        let mut sums = [[_mm256_setzero_ps(); 2]; M];
        let mut at = 0;
        for i in 0..row.mask.len().div_ceil(8) {
            let bits = word(row.mask, i);
            let end = at + bits.count_ones() as usize;
            let mut from = row.values[at..end + ROOM].as_ptr();
            for (part, byte) in bits.to_le_bytes().into_iter().enumerate() {
                // SAFETY: as above; a vector has eight halves, and a row of the table as many bytes.
                unsafe {
                    let places = _mm_loadu_si128(HALF_PLACES[usize::from(byte)].as_ptr().cast());
                    let weights = _mm256_cvtph_ps(_mm_shuffle_epi8(_mm_loadu_si128(from.cast()), places));
                    for m in 0..M {
                        let x = _mm256_loadu_ps(x.as_ptr().add(m * stride + 64 * i + 8 * part));
                        sums[m][part % 2] = _mm256_fmadd_ps(weights, x, sums[m][part % 2]);
                    }
                    from = from.add(byte.count_ones() as usize);
                }
            }
            at = end;
        }
        total(sums)
    }
    // SAFETY: as above; these levels have F16C.
    unsafe { by_rows!(body(row, x, stride)) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn total<const M: usize>(sums: [[__m256; 2]; M]) -> [f32; MAX_ROWS] {
    let mut out = [0.0; MAX_ROWS];
    for (out, [a, b]) in out.iter_mut().zip(sums) {
        let mut lanes = [0f32; 8];
        // SAFETY: eight lanes.
        unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), _mm256_add_ps(a, b)) };
        *out = lanes.iter().sum();
    }
    out
}
