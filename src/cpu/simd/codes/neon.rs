//! NEON.

use std::arch::aarch64::*;

use super::vector::Vector;

// SAFETY of all blocks: the trait's.
impl Vector for uint8x16_t {
    #[inline(always)]
    unsafe fn load(from: *const u8) -> uint8x16_t {
        unsafe { vld1q_u8(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        unsafe { vst1q_u8(to, self) }
    }

    #[inline(always)]
    unsafe fn splat_bytes(x: u8) -> uint8x16_t {
        unsafe { vdupq_n_u8(x) }
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> uint8x16_t {
        unsafe { vreinterpretq_u8_f32(vdupq_n_f32(x)) }
    }

    #[inline(always)]
    unsafe fn and(self, other: uint8x16_t) -> uint8x16_t {
        unsafe { vandq_u8(self, other) }
    }

    #[inline(always)]
    unsafe fn lookup(self, index: uint8x16_t) -> uint8x16_t {
        unsafe { vqtbl1q_u8(self, index) }
    }

    #[inline(always)]
    unsafe fn zip_bytes(self, other: uint8x16_t) -> [uint8x16_t; 2] {
        unsafe { [vzip1q_u8(self, other), vzip2q_u8(self, other)] }
    }

    #[inline(always)]
    unsafe fn zip_words(self, other: uint8x16_t) -> [uint8x16_t; 2] {
        unsafe {
            let (a, b) = (vreinterpretq_u16_u8(self), vreinterpretq_u16_u8(other));
            [vreinterpretq_u8_u16(vzip1q_u16(a, b)), vreinterpretq_u8_u16(vzip2q_u16(a, b))]
        }
    }

    #[inline(always)]
    unsafe fn multiply(self, other: uint8x16_t) -> uint8x16_t {
        unsafe { vreinterpretq_u8_u16(vmulq_u16(vreinterpretq_u16_u8(self), vreinterpretq_u16_u8(other))) }
    }

    #[inline(always)]
    unsafe fn shift(self, count: u32) -> uint8x16_t {
        unsafe { vreinterpretq_u8_u16(vshlq_u16(vreinterpretq_u16_u8(self), vdupq_n_s16(-(count as i16)))) }
    }

    #[inline(always)]
    unsafe fn upper_bytes(self, other: uint8x16_t) -> uint8x16_t {
        unsafe { vuzp2q_u8(self, other) }
    }

    #[inline(always)]
    unsafe fn add(self, other: uint8x16_t) -> uint8x16_t {
        unsafe { vreinterpretq_u8_f32(vaddq_f32(vreinterpretq_f32_u8(self), vreinterpretq_f32_u8(other))) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, other: uint8x16_t, sum: uint8x16_t) -> uint8x16_t {
        unsafe {
            let (a, b) = (vreinterpretq_f32_u8(self), vreinterpretq_f32_u8(other));
            vreinterpretq_u8_f32(vfmaq_f32(vreinterpretq_f32_u8(sum), a, b))
        }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        unsafe { vaddvq_f32(vreinterpretq_f32_u8(self)) }
    }
}
