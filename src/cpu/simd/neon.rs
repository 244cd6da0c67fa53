//! NEON, which every aarch64 processor has.

use std::arch::aarch64::*;

use super::tile_kernel::tile_kernel;

// 16 sums, 2 columns and a broadcast: 19 of 32 registers.
tile_kernel! {
    #[target_feature(enable = "neon")]
    tile, rows = 8 [1 2 3 4 5 6 7 8], lanes = 4,
    zero = vdupq_n_f32(0.0), load = vld1q_f32, splat = vdupq_n_f32,
    fma = |x, y, sum| vfmaq_f32(sum, x, y), store = vst1q_f32,
}
