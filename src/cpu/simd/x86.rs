//! AVX2 and AVX-512.

use std::arch::x86_64::*;

use super::depthwise_kernel::depthwise_kernel;
use super::tile_kernel::tile_kernel;
use super::unroll::unroll;

// 24 sums, 2 columns and a broadcast: 27 of 32 registers. Where one operand of `max` or `min` is NaN, the second is the
// result.
tile_kernel! {
    #[target_feature(enable = "avx512f")]
    tile_avx512 of f32, rows = 12 [1 2 3 4 5 6 7 8 9 10 11 12], lanes = 16,
    vector = __m512, load = _mm512_loadu_ps, splat = _mm512_set1_ps, fma = _mm512_fmadd_ps,
    clamp = |v, min, max| _mm512_min_ps(max, _mm512_max_ps(min, v)), store = _mm512_storeu_ps,
}

// 12 sums, 2 columns and a broadcast: 15 of 16 registers.
tile_kernel! {
    #[target_feature(enable = "avx2,fma")]
    tile_avx2 of f32, rows = 6 [1 2 3 4 5 6], lanes = 8,
    vector = __m256, load = _mm256_loadu_ps, splat = _mm256_set1_ps, fma = _mm256_fmadd_ps,
    clamp = |v, min, max| _mm256_min_ps(max, _mm256_max_ps(min, v)), store = _mm256_storeu_ps,
}

// Each word is a pair of 16-bit integers; a step adds both products.
tile_kernel! {
    #[target_feature(enable = "avx512f,avx512bw")]
    pairs_avx512 of i32, rows = 12 [1 2 3 4 5 6 7 8 9 10 11 12], lanes = 16,
    vector = __m512i, load = |p: *const i32| _mm512_loadu_si512(p.cast()), splat = _mm512_set1_epi32,
    fma = |x, y, sum| _mm512_add_epi32(sum, _mm512_madd_epi16(x, y)), clamp = |v, _, _| v,
    store = |p: *mut i32, v| _mm512_storeu_si512(p.cast(), v),
}

tile_kernel! {
    #[target_feature(enable = "avx2")]
    pairs_avx2 of i32, rows = 6 [1 2 3 4 5 6], lanes = 8,
    vector = __m256i, load = |p: *const i32| _mm256_loadu_si256(p.cast()), splat = _mm256_set1_epi32,
    fma = |x, y, sum| _mm256_add_epi32(sum, _mm256_madd_epi16(x, y)), clamp = |v, _, _| v,
    store = |p: *mut i32, v| _mm256_storeu_si256(p.cast(), v),
}

// 8 sums, a weight and a value.
depthwise_kernel! {
    #[target_feature(enable = "avx512f")]
    depthwise_avx512, lanes = 16, vector = __m512, load = _mm512_loadu_ps, splat = _mm512_set1_ps, fma = _mm512_fmadd_ps,
    max = _mm512_max_ps, min = _mm512_min_ps, store = _mm512_storeu_ps,
}

depthwise_kernel! {
    #[target_feature(enable = "avx2,fma")]
    depthwise_avx2, lanes = 8, vector = __m256, load = _mm256_loadu_ps, splat = _mm256_set1_ps, fma = _mm256_fmadd_ps,
    max = _mm256_max_ps, min = _mm256_min_ps, store = _mm256_storeu_ps,
}

/// Bit deposit spreads eight codes at once; every processor with AVX-512 has a fast one.
pub fn unpack_bmi2(bytes: &[u8], bits: u32, out: &mut [u8]) {
    #[target_feature(enable = "bmi2")]
    fn spread<const BITS: usize>(bytes: &[u8], out: &mut [u8]) {
        let mask = ((1u64 << BITS) - 1) * 0x0101_0101_0101_0101;
        super::spread::each_word::<BITS>(bytes, out, |word| _pdep_u64(word, mask));
    }
    // SAFETY: `Level::available` asks for BMI2 before it offers AVX-512.
    unsafe {
        match bits {
            1 => spread::<1>(bytes, out),
            2 => spread::<2>(bytes, out),
            3 => spread::<3>(bytes, out),
            4 => spread::<4>(bytes, out),
            5 => spread::<5>(bytes, out),
            _ => spread::<6>(bytes, out),
        }
    }
}

pub fn lookup_avx512(codes: &[u8], table: &[f32; 256], entries: usize, out: &mut [f32]) {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn body(codes: &[u8], table: &[f32; 256], entries: usize, out: &mut [f32]) {
        // SAFETY: four times 16 of 256 values.
        let tables: [__m512; 4] = std::array::from_fn(|i| unsafe { _mm512_loadu_ps(table.as_ptr().add(16 * i)) });
        let (codes, codes_rest) = codes.as_chunks::<16>();
        let (out, rest) = out.as_chunks_mut::<16>();
        for (out, codes) in out.iter_mut().zip(codes) {
            // SAFETY: `codes` holds 16 bytes.
            let index = _mm512_cvtepu8_epi32(unsafe { _mm_loadu_si128(codes.as_ptr().cast()) });
            let values = if entries <= 16 {
                _mm512_permutexvar_ps(index, tables[0])
            } else {
                let low = _mm512_permutex2var_ps(tables[0], index, tables[1]);
                let high = _mm512_permutex2var_ps(tables[2], index, tables[3]);
                let upper = _mm512_test_epi32_mask(index, _mm512_set1_epi32(32));
                _mm512_mask_blend_ps(upper, low, high)
            };
            // SAFETY: `out` holds 16 values.
            unsafe { _mm512_storeu_ps(out.as_mut_ptr(), values) };
        }
        super::table::plain(codes_rest, table, rest);
    }
    // SAFETY: called for `Level::Avx512` only.
    unsafe { body(codes, table, entries, out) }
}

pub fn lookup_avx2(codes: &[u8], table: &[f32; 256], out: &mut [f32]) {
    #[target_feature(enable = "avx2")]
    fn body(codes: &[u8], table: &[f32; 256], out: &mut [f32]) {
        // SAFETY: twice 8 of 256 values.
        let (low, high) = unsafe { (_mm256_loadu_ps(table.as_ptr()), _mm256_loadu_ps(table.as_ptr().add(8))) };
        let (codes, codes_rest) = codes.as_chunks::<8>();
        let (out, rest) = out.as_chunks_mut::<8>();
        for (out, codes) in out.iter_mut().zip(codes) {
            let index = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(*codes)));
            // Bit 3 of the code, moved to the sign, picks the half of the table.
            let upper = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(index));
            let values =
                _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, index), _mm256_permutevar8x32_ps(high, index), upper);
            // SAFETY: `out` holds 8 values.
            unsafe { _mm256_storeu_ps(out.as_mut_ptr(), values) };
        }
        super::table::plain(codes_rest, table, rest);
    }
    // SAFETY: called for `Level::Avx2` only.
    unsafe { body(codes, table, out) }
}
