//! AVX2: 8 lanes. A permutation looks up 8 values and ignores all but three bits of its indices.

use std::arch::x86_64::*;

use super::super::unroll::unroll;
use super::instructions::{Bytes, Lanes, MAX_LANES};
use super::strided::Strided;

#[derive(Clone, Copy)]
pub struct Avx2;

/// Words `4 · index ..` of a row.
#[inline(always)]
unsafe fn part(row: *const u32, index: usize) -> __m128i {
    // SAFETY: the caller's.
    unsafe { _mm_loadu_si128(row.add(4 * index).cast()) }
}

// SAFETY of all blocks: the trait's.
impl Lanes for Avx2 {
    const LANES: usize = 8;
    type F = __m256;
    type I = __m256i;
    type Table = [__m256; 2];

    #[inline(always)]
    unsafe fn zero() -> __m256 {
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m256 {
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_halves(from: *const u16) -> __m256 {
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, x: __m256) {
        unsafe { _mm256_storeu_ps(to, x) }
    }

    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn prefetch(from: *const u32) {
        // SAFETY: a prefetch of any address does nothing but that.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
    }

    #[inline(always)]
    unsafe fn sum(x: __m256) -> f32 {
        unsafe {
            let halves = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let pairs = _mm_add_ps(halves, _mm_movehl_ps(halves, halves));
            _mm_cvtss_f32(_mm_add_ss(pairs, _mm_shuffle_ps::<1>(pairs, pairs)))
        }
    }

    #[inline(always)]
    unsafe fn pick(from: *const f32, at: *const u32) -> __m256 {
        unsafe { _mm256_permutevar8x32_ps(_mm256_loadu_ps(from), _mm256_loadu_si256(at.cast())) }
    }

    #[inline(always)]
    unsafe fn load_words(from: *const u32) -> __m256i {
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store_words(to: *mut u32, x: __m256i) {
        unsafe { _mm256_storeu_si256(to.cast(), x) }
    }

    #[inline(always)]
    unsafe fn splat_word(x: u32) -> __m256i {
        unsafe { _mm256_set1_epi32(x as i32) }
    }

    #[inline(always)]
    unsafe fn and(x: __m256i, mask: u32) -> __m256i {
        unsafe { _mm256_and_si256(x, _mm256_set1_epi32(mask as i32)) }
    }

    #[inline(always)]
    unsafe fn or(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_or_si256(a, b) }
    }

    #[inline(always)]
    unsafe fn shr(x: __m256i, count: u32) -> __m256i {
        unsafe { _mm256_srl_epi32(x, _mm_cvtsi32_si128(count as i32)) }
    }

    #[inline(always)]
    unsafe fn shl(x: __m256i, count: u32) -> __m256i {
        unsafe { _mm256_sll_epi32(x, _mm_cvtsi32_si128(count as i32)) }
    }

    #[inline(always)]
    unsafe fn select(mask: u32, a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_or_si256(Self::and(a, mask), Self::and(b, !mask)) }
    }

    #[inline(always)]
    unsafe fn load_strided<const STRIDE: usize>(from: *const u32) -> [__m256i; 5] {
        unsafe {
            let mut all = [_mm256_setzero_si256(); 5];
            unroll!(v in STRIDE, 5 => { all[v] = _mm256_loadu_si256(from.add(8 * v).cast()); });
            if STRIDE == 1 {
                return all;
            }
            let mut words = all;
            unroll!(w in STRIDE, 5 => {
                let mut mixed = all[0];
                unroll!(v in STRIDE, 5 => {
                    let mask = _mm256_loadu_si256(Strided::<8, STRIDE>::MASKS[w][v].as_ptr().cast());
                    mixed = _mm256_blendv_epi8(mixed, all[v], mask);
                });
                let at = _mm256_loadu_si256(Strided::<8, STRIDE>::AT[w].as_ptr().cast());
                words[w] = _mm256_permutevar8x32_epi32(mixed, at);
            });
            words
        }
    }

    #[inline(always)]
    unsafe fn transpose(rows: &[*const u32; MAX_LANES], to: *mut u32) {
        unsafe {
            // As with 16 lanes: halves of 128 bits go to their place as they are loaded.
            unroll!(half in 2 => {
                let mut squares = [_mm256_setzero_si256(); 4];
                unroll!(i in 4 => {
                    squares[i] = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(part(rows[i], half)), part(rows[4 + i], half));
                });
                let [a, b, c, d] = squares;
                let (ab, ab_high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
                let (cd, cd_high) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
                let to = to.add(32 * half);
                _mm256_storeu_si256(to.cast(), _mm256_unpacklo_epi64(ab, cd));
                _mm256_storeu_si256(to.add(8).cast(), _mm256_unpackhi_epi64(ab, cd));
                _mm256_storeu_si256(to.add(16).cast(), _mm256_unpacklo_epi64(ab_high, cd_high));
                _mm256_storeu_si256(to.add(24).cast(), _mm256_unpackhi_epi64(ab_high, cd_high));
            });
        }
    }

    const IGNORES_HIGH_BITS: bool = true;
    const TABLE_BITS: usize = 4;

    #[inline(always)]
    unsafe fn table(values: &[f32; 64]) -> [__m256; 2] {
        unsafe { [_mm256_loadu_ps(values.as_ptr()), _mm256_loadu_ps(values.as_ptr().add(8))] }
    }

    #[inline(always)]
    unsafe fn lookup<const BITS: usize>(table: [__m256; 2], quad: __m256i) -> [__m256; 4] {
        unsafe {
            let mut out = [_mm256_setzero_ps(); 4];
            unroll!(i in 4 => {
                let at = if i == 0 { quad } else { Self::shr(quad, 8 * i as u32) };
                let low = _mm256_permutevar8x32_ps(table[0], at);
                out[i] = if BITS <= 3 {
                    low
                } else {
                    // Bit 3 of the code, moved to the sign, picks the half of the table.
                    let upper = _mm256_castsi256_ps(Self::shl(quad, 28 - 8 * i as u32));
                    _mm256_blendv_ps(low, _mm256_permutevar8x32_ps(table[1], at), upper)
                };
            });
            out
        }
    }

    #[inline(always)]
    unsafe fn convert(quad: __m256i) -> [__m256; 4] {
        unsafe {
            [
                _mm256_cvtepi32_ps(Self::and(quad, 0xff)),
                _mm256_cvtepi32_ps(Self::and(Self::shr(quad, 8), 0xff)),
                _mm256_cvtepi32_ps(Self::and(Self::shr(quad, 16), 0xff)),
                _mm256_cvtepi32_ps(Self::shr(quad, 24)),
            ]
        }
    }
}

// SAFETY of all blocks: the trait's.
impl Bytes for Avx2 {
    const WIDE_SHIFT: f32 = 128.0;

    #[inline(always)]
    unsafe fn dot<const WIDE: bool>(sum: __m256i, codes: __m256i, x: __m256i) -> __m256i {
        unsafe {
            // Two products of 6 and 7 bits fit 16 bits; those of 8 and 7 bits fit if both are signed.
            let pairs = if WIDE {
                let codes = _mm256_xor_si256(codes, _mm256_set1_epi8(-128));
                _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes))
            } else {
                _mm256_maddubs_epi16(codes, x)
            };
            _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }

    #[inline(always)]
    unsafe fn lookup_bytes(table: __m256i, quad: __m256i) -> __m256i {
        unsafe { _mm256_shuffle_epi8(table, quad) }
    }

    #[inline(always)]
    unsafe fn byte_table(values: &[u8; 16]) -> __m256i {
        unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(values.as_ptr().cast())) }
    }

    #[inline(always)]
    unsafe fn to_float(x: __m256i) -> __m256 {
        unsafe { _mm256_cvtepi32_ps(x) }
    }
}
