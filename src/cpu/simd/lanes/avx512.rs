//! AVX-512: 16 lanes. A permutation looks up 16 values and ignores all but four bits of its indices.

use std::arch::x86_64::*;

use super::super::unroll::unroll;
use super::instructions::{Bytes, Lanes, MAX_LANES};
use super::strided::Strided;

#[derive(Clone, Copy)]
pub struct Avx512;

/// Words `4 · index ..` of a row.
#[inline(always)]
unsafe fn part(row: *const u32, index: usize) -> __m128i {
    // SAFETY: the caller's.
    unsafe { _mm_loadu_si128(row.add(4 * index).cast()) }
}

// SAFETY of all blocks: the trait's.
impl Lanes for Avx512 {
    const LANES: usize = 16;
    type F = __m512;
    type I = __m512i;
    type Table = [__m512; 4];

    #[inline(always)]
    unsafe fn zero() -> __m512 {
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m512 {
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_halves(from: *const u16) -> __m512 {
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, x: __m512) {
        unsafe { _mm512_storeu_ps(to, x) }
    }

    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn prefetch(from: *const u32) {
        // SAFETY: a prefetch of any address does nothing but that.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
    }

    #[inline(always)]
    unsafe fn sum(x: __m512) -> f32 {
        unsafe { _mm512_reduce_add_ps(x) }
    }

    #[inline(always)]
    unsafe fn pick(from: *const f32, at: *const u32) -> __m512 {
        unsafe { _mm512_permutexvar_ps(_mm512_loadu_si512(at.cast()), _mm512_loadu_ps(from)) }
    }

    #[inline(always)]
    unsafe fn load_words(from: *const u32) -> __m512i {
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store_words(to: *mut u32, x: __m512i) {
        unsafe { _mm512_storeu_si512(to.cast(), x) }
    }

    #[inline(always)]
    unsafe fn splat_word(x: u32) -> __m512i {
        unsafe { _mm512_set1_epi32(x as i32) }
    }

    #[inline(always)]
    unsafe fn and(x: __m512i, mask: u32) -> __m512i {
        unsafe { _mm512_and_si512(x, _mm512_set1_epi32(mask as i32)) }
    }

    #[inline(always)]
    unsafe fn or(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_or_si512(a, b) }
    }

    #[inline(always)]
    unsafe fn shr(x: __m512i, count: u32) -> __m512i {
        unsafe { _mm512_srl_epi32(x, _mm_cvtsi32_si128(count as i32)) }
    }

    #[inline(always)]
    unsafe fn shl(x: __m512i, count: u32) -> __m512i {
        unsafe { _mm512_sll_epi32(x, _mm_cvtsi32_si128(count as i32)) }
    }

    #[inline(always)]
    unsafe fn select(mask: u32, a: __m512i, b: __m512i) -> __m512i {
        // mask ? a : b
        unsafe { _mm512_ternarylogic_epi32::<0xca>(_mm512_set1_epi32(mask as i32), a, b) }
    }

    #[inline(always)]
    unsafe fn load_strided<const STRIDE: usize>(from: *const u32) -> [__m512i; 5] {
        unsafe {
            let mut all = [_mm512_setzero_si512(); 5];
            unroll!(v in STRIDE, 5 => { all[v] = _mm512_loadu_si512(from.add(16 * v).cast()); });
            if STRIDE == 1 {
                return all;
            }
            let mut words = all;
            unroll!(w in STRIDE, 5 => {
                let mut mixed = all[0];
                unroll!(v in STRIDE, 5 => {
                    mixed = _mm512_mask_mov_epi32(mixed, Strided::<16, STRIDE>::FROM[w][v] as u16, all[v]);
                });
                let at = _mm512_loadu_si512(Strided::<16, STRIDE>::AT[w].as_ptr().cast());
                words[w] = _mm512_permutexvar_epi32(at, mixed);
            });
            words
        }
    }

    #[inline(always)]
    unsafe fn transpose(rows: &[*const u32; MAX_LANES], to: *mut u32) {
        unsafe {
            // Lane 4b + i of vector i of a quarter is row 4b + i: quarters of 128 bits go to their place as they are
            // loaded, and words are transposed within quarters.
            unroll!(quarter in 4 => {
                let mut squares = [_mm512_setzero_si512(); 4];
                unroll!(i in 4 => {
                    let low = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(part(rows[i], quarter)), part(rows[4 + i], quarter));
                    let high = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(part(rows[8 + i], quarter)), part(rows[12 + i], quarter));
                    squares[i] = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high);
                });
                let [a, b, c, d] = squares;
                let (ab, ab_high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
                let (cd, cd_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
                let to = to.add(64 * quarter);
                _mm512_storeu_si512(to.cast(), _mm512_unpacklo_epi64(ab, cd));
                _mm512_storeu_si512(to.add(16).cast(), _mm512_unpackhi_epi64(ab, cd));
                _mm512_storeu_si512(to.add(32).cast(), _mm512_unpacklo_epi64(ab_high, cd_high));
                _mm512_storeu_si512(to.add(48).cast(), _mm512_unpackhi_epi64(ab_high, cd_high));
            });
        }
    }

    const IGNORES_HIGH_BITS: bool = true;
    const TABLE_BITS: usize = 6;

    #[inline(always)]
    unsafe fn table(values: &[f32; 64]) -> [__m512; 4] {
        unsafe {
            let values = values.as_ptr();
            [
                _mm512_loadu_ps(values),
                _mm512_loadu_ps(values.add(16)),
                _mm512_loadu_ps(values.add(32)),
                _mm512_loadu_ps(values.add(48)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn lookup<const BITS: usize>(table: [__m512; 4], quad: __m512i) -> [__m512; 4] {
        unsafe {
            let mut out = [_mm512_setzero_ps(); 4];
            unroll!(i in 4 => {
                let at = if i == 0 { quad } else { Self::shr(quad, 8 * i as u32) };
                out[i] = if BITS <= 4 {
                    _mm512_permutexvar_ps(at, table[0])
                } else {
                    let low = _mm512_permutex2var_ps(table[0], at, table[1]);
                    let high = _mm512_permutex2var_ps(table[2], at, table[3]);
                    _mm512_mask_blend_ps(_mm512_test_epi32_mask(at, _mm512_set1_epi32(32)), low, high)
                };
            });
            out
        }
    }

    #[inline(always)]
    unsafe fn convert(quad: __m512i) -> [__m512; 4] {
        unsafe {
            [
                _mm512_cvtepi32_ps(Self::and(quad, 0xff)),
                _mm512_cvtepi32_ps(Self::and(Self::shr(quad, 8), 0xff)),
                _mm512_cvtepi32_ps(Self::and(Self::shr(quad, 16), 0xff)),
                _mm512_cvtepi32_ps(Self::shr(quad, 24)),
            ]
        }
    }
}

// SAFETY of all blocks: the trait's. For these the processor has AVX512_VNNI too.
impl Bytes for Avx512 {
    const WIDE_SHIFT: f32 = 0.0;

    #[inline(always)]
    unsafe fn dot<const WIDE: bool>(sum: __m512i, codes: __m512i, x: __m512i) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(sum, codes, x) }
    }

    #[inline(always)]
    unsafe fn lookup_bytes(table: __m512i, quad: __m512i) -> __m512i {
        unsafe { _mm512_shuffle_epi8(table, quad) }
    }

    #[inline(always)]
    unsafe fn byte_table(values: &[u8; 16]) -> __m512i {
        unsafe { _mm512_broadcast_i32x4(_mm_loadu_si128(values.as_ptr().cast())) }
    }

    #[inline(always)]
    unsafe fn to_float(x: __m512i) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(x) }
    }
}
