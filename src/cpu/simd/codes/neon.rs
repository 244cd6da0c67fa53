//! NEON.

use std::arch::aarch64::*;

use super::vector::{ByteVector, Vector};

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

// SAFETY of all blocks: the trait's.
impl ByteVector for uint8x16_t {
    #[inline(always)]
    unsafe fn flip(self, bits: uint8x16_t) -> uint8x16_t {
        unsafe { veorq_u8(self, bits) }
    }

    #[inline(always)]
    unsafe fn dot<const FAST: bool>(self, other: uint8x16_t, sum: uint8x16_t) -> uint8x16_t {
        unsafe {
            if FAST {
                let mut sum = sum;
                // There is no stable intrinsic for it.
                std::arch::asm!(
                    "sdot {sum:v}.4s, {a:v}.16b, {b:v}.16b",
                    sum = inout(vreg) sum, a = in(vreg) self, b = in(vreg) other,
                    options(pure, nomem, nostack, preserves_flags),
                );
                return sum;
            }
            let (a, b) = (vreinterpretq_s8_u8(self), vreinterpretq_s8_u8(other));
            // Two products of 8 bits fit 16, unless all factors are −128.
            let pairs = vmlal_high_s8(vmull_s8(vget_low_s8(a), vget_low_s8(b)), a, b);
            vreinterpretq_u8_s32(vpadalq_s16(vreinterpretq_s32_u8(sum), pairs))
        }
    }

    #[inline(always)]
    unsafe fn floats([a, b]: [uint8x16_t; 2]) -> uint8x16_t {
        unsafe { vreinterpretq_u8_f32(vcvtq_f32_s32(vaddq_s32(vreinterpretq_s32_u8(a), vreinterpretq_s32_u8(b)))) }
    }
}
