//! AVX2 and AVX-512.

use std::arch::x86_64::*;

use super::tile_kernel::tile_kernel;

/// `is_x86_feature_detected!` takes only literals.
pub fn detected(feature: &str) -> bool {
    match feature {
        "avx512f" => is_x86_feature_detected!("avx512f"),
        "avx512bw" => is_x86_feature_detected!("avx512bw"),
        "avx512vl" => is_x86_feature_detected!("avx512vl"),
        "avx512dq" => is_x86_feature_detected!("avx512dq"),
        _ => false,
    }
}

// 24 sums, 2 columns and a broadcast: 27 of 32 registers.
tile_kernel! {
    #[target_feature(enable = "avx512f")]
    tile_avx512, rows = 12 [1 2 3 4 5 6 7 8 9 10 11 12], lanes = 16,
    zero = _mm512_setzero_ps(), load = _mm512_loadu_ps, splat = _mm512_set1_ps, fma = _mm512_fmadd_ps,
    store = _mm512_storeu_ps,
}

// 12 sums, 2 columns and a broadcast: 15 of 16 registers.
tile_kernel! {
    #[target_feature(enable = "avx2,fma")]
    tile_avx2, rows = 6 [1 2 3 4 5 6], lanes = 8,
    zero = _mm256_setzero_ps(), load = _mm256_loadu_ps, splat = _mm256_set1_ps, fma = _mm256_fmadd_ps,
    store = _mm256_storeu_ps,
}
