//! NEON, which every aarch64 processor has.

use std::arch::aarch64::*;

use super::depthwise_kernel::depthwise_kernel;
use super::tile_kernel::tile_kernel;
use super::unroll::unroll;

// 16 sums, 2 columns and a broadcast: 19 of 32 registers.
tile_kernel! {
    #[target_feature(enable = "neon")]
    tile of f32, rows = 8 [1 2 3 4 5 6 7 8], lanes = 4,
    vector = float32x4_t, load = vld1q_f32, splat = vdupq_n_f32,
    fma = |x, y, sum| vfmaq_f32(sum, x, y), clamp = |v, min, max| vminq_f32(max, vmaxq_f32(min, v)),
    store = vst1q_f32,
}

// Each word is a pair of 16-bit integers; a step adds both products.
tile_kernel! {
    #[target_feature(enable = "neon")]
    pairs of i32, rows = 8 [1 2 3 4 5 6 7 8], lanes = 4,
    vector = int32x4_t, load = vld1q_s32, splat = vdupq_n_s32,
    fma = |x, y, sum| {
        let (x, y) = (vreinterpretq_s16_s32(x), vreinterpretq_s16_s32(y));
        let low = vmull_s16(vget_low_s16(x), vget_low_s16(y));
        vaddq_s32(sum, vpaddq_s32(low, vmull_high_s16(x, y)))
    },
    clamp = |v, _, _| v, store = vst1q_s32,
}

// 8 sums, a weight and a value. A NaN stays.
depthwise_kernel! {
    #[target_feature(enable = "neon")]
    depthwise, lanes = 4, vector = float32x4_t, load = vld1q_f32, splat = vdupq_n_f32, fma = |x, y, sum| vfmaq_f32(sum, x, y),
    max = vmaxq_f32, min = vminq_f32, store = vst1q_f32,
}

/// One byte shuffle per byte of the values; the store interleaves them.
pub fn lookup(codes: &[u8], table: &[f32; 256], out: &mut [f32]) {
    let planes = super::table::planes(table);
    let (codes, codes_rest) = codes.as_chunks::<16>();
    let (out, rest) = out.as_chunks_mut::<16>();
    for (out, codes) in out.iter_mut().zip(codes) {
        // SAFETY: NEON is part of aarch64; all loads are of 16 bytes from arrays of 16, the store fills 16 values.
        unsafe {
            let index = vld1q_u8(codes.as_ptr());
            let byte = |plane: &[u8; 16]| vqtbl1q_u8(vld1q_u8(plane.as_ptr()), index);
            let bytes = uint8x16x4_t(byte(&planes[0]), byte(&planes[1]), byte(&planes[2]), byte(&planes[3]));
            vst4q_u8(out.as_mut_ptr().cast(), bytes);
        }
    }
    super::table::plain(codes_rest, table, rest);
}
