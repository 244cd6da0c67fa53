//! WebAssembly.

use std::arch::wasm32::*;

#[cfg(feature = "full")]
use super::vector::Integers;
use super::vector::Vector;

// SAFETY of all blocks: the trait's.
impl Vector for v128 {
    #[inline(always)]
    unsafe fn load(from: *const u8) -> v128 {
        unsafe { v128_load(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        unsafe { v128_store(to.cast(), self) }
    }

    #[inline(always)]
    unsafe fn splat_bytes(x: u8) -> v128 {
        u8x16_splat(x)
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> v128 {
        f32x4_splat(x)
    }

    #[inline(always)]
    unsafe fn and(self, other: v128) -> v128 {
        v128_and(self, other)
    }

    #[inline(always)]
    unsafe fn lookup(self, index: v128) -> v128 {
        u8x16_swizzle(self, index)
    }

    #[inline(always)]
    unsafe fn zip_bytes(self, other: v128) -> [v128; 2] {
        [
            u8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(self, other),
            u8x16_shuffle::<8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31>(self, other),
        ]
    }

    #[inline(always)]
    unsafe fn zip_words(self, other: v128) -> [v128; 2] {
        [
            u16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(self, other),
            u16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(self, other),
        ]
    }

    #[inline(always)]
    unsafe fn multiply(self, other: v128) -> v128 {
        u16x8_mul(self, other)
    }

    #[inline(always)]
    unsafe fn shift(self, count: u32) -> v128 {
        u16x8_shr(self, count)
    }

    #[inline(always)]
    unsafe fn upper_bytes(self, other: v128) -> v128 {
        u8x16_shuffle::<1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31>(self, other)
    }

    #[inline(always)]
    unsafe fn add(self, other: v128) -> v128 {
        f32x4_add(self, other)
    }

    #[inline(always)]
    unsafe fn multiply_add(self, other: v128, sum: v128) -> v128 {
        f32x4_add(sum, f32x4_mul(self, other))
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        f32x4_extract_lane::<0>(self)
            + f32x4_extract_lane::<1>(self)
            + (f32x4_extract_lane::<2>(self) + f32x4_extract_lane::<3>(self))
    }
}

#[cfg(feature = "full")]
impl Integers for v128 {
    #[inline(always)]
    unsafe fn splat_word(x: i16) -> v128 {
        i16x8_splat(x)
    }

    #[inline(always)]
    unsafe fn add_words(self, other: v128) -> v128 {
        i16x8_add(self, other)
    }

    #[inline(always)]
    unsafe fn dot_words(self, other: v128) -> v128 {
        i32x4_dot_i16x8(self, other)
    }

    #[inline(always)]
    unsafe fn add_integers(self, other: v128) -> v128 {
        i32x4_add(self, other)
    }

    #[inline(always)]
    unsafe fn to_floats(self) -> v128 {
        f32x4_convert_i32x4(self)
    }
}
