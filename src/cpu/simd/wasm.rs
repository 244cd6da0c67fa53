//! The 128-bit vectors of WebAssembly, chosen when the module is compiled.

use std::arch::wasm32::*;

use super::depthwise_kernel::depthwise_kernel;
use super::tile_kernel::tile_kernel;
use super::unroll::unroll;

// 8 sums, 2 columns, a broadcast and a product: 12 of the 16 registers that a browser on x86 has. `pmax(a, b)` is
// `a < b ? b : a`: a NaN as the first operand stays.
tile_kernel! {
    tile of f32, rows = 4 [1 2 3 4], lanes = 4,
    vector = v128, load = |p: *const f32| v128_load(p.cast()), splat = f32x4_splat,
    fma = |x, y, sum| f32x4_add(sum, f32x4_mul(x, y)), clamp = |v, min, max| f32x4_pmin(f32x4_pmax(v, min), max),
    store = |p: *mut f32, v| v128_store(p.cast(), v),
}

// Each word is a pair of 16-bit integers; a step adds both products.
tile_kernel! {
    pairs of i32, rows = 4 [1 2 3 4], lanes = 4,
    vector = v128, load = |p: *const i32| v128_load(p.cast()), splat = i32x4_splat,
    fma = |x, y, sum| i32x4_add(sum, i32x4_dot_i16x8(x, y)), clamp = |v, _, _| v,
    store = |p: *mut i32, v| v128_store(p.cast(), v),
}

// 8 sums, a weight, a value and a product.
depthwise_kernel! {
    depthwise, lanes = 4, vector = v128, load = |p: *const f32| v128_load(p.cast()), splat = f32x4_splat,
    fma = |x, y, sum| f32x4_add(sum, f32x4_mul(x, y)), max = |a, b| f32x4_pmax(b, a), min = |a, b| f32x4_pmin(b, a),
    store = |p: *mut f32, v| v128_store(p.cast(), v),
}

pub fn scale_lanes(scales: &[f32], out: &mut [f32]) {
    let scales = scales.as_chunks::<4>().0;
    for (out, scale) in out.as_chunks_mut::<4>().0.iter_mut().zip(scales.iter().cycle()) {
        // SAFETY: both arrays hold a vector.
        unsafe {
            let scaled = f32x4_mul(v128_load(out.as_ptr().cast()), v128_load(scale.as_ptr().cast()));
            v128_store(out.as_mut_ptr().cast(), scaled);
        }
    }
}

/// Widens halves by eights, as `lookup::widen_body` does one; gives what is left.
#[cfg(feature = "full")]
pub fn widen<'a, 'b>(halves: &'a [u16], out: &'b mut [f32]) -> (&'a [u16], &'b mut [f32]) {
    let len = halves.len().min(out.len());
    let ((halves, halves_rest), (out, rest)) = (halves[..len].as_chunks::<8>(), out[..len].as_chunks_mut::<8>());
    let wide = |half: v128| {
        let magnitude = v128_and(half, i32x4_splat(0x7fff));
        let value = f32x4_mul(i32x4_shl(magnitude, 13), f32x4_splat(f32::from_bits(0x7780_0000)));
        let special = v128_and(i32x4_gt(magnitude, i32x4_splat(0x7bff)), i32x4_splat(0x7f80_0000));
        v128_or(v128_or(value, special), v128_and(half, i32x4_splat(i32::MIN)))
    };
    for (out, halves) in out.iter_mut().zip(halves) {
        // SAFETY: both arrays hold what is read and written: 16 and 32 bytes. Signs are extended into the upper words.
        unsafe {
            let halves = v128_load(halves.as_ptr().cast());
            v128_store(out.as_mut_ptr().cast(), wide(i32x4_extend_low_i16x8(halves)));
            v128_store(out.as_mut_ptr().add(4).cast(), wide(i32x4_extend_high_i16x8(halves)));
        }
    }
    (halves_rest, rest)
}

/// One byte shuffle per byte of the values, then two rounds of interleaving.
pub fn lookup(codes: &[u8], table: &[f32; 256], out: &mut [f32]) {
    // SAFETY: all loads are of 16 bytes from arrays of 16, each store fills 4 of 16 values.
    let planes = super::table::planes(table).map(|p| unsafe { v128_load(p.as_ptr().cast()) });
    let (codes, codes_rest) = codes.as_chunks::<16>();
    let (out, rest) = out.as_chunks_mut::<16>();
    for (out, codes) in out.iter_mut().zip(codes) {
        // SAFETY: as above.
        let index = unsafe { v128_load(codes.as_ptr().cast()) };
        let [a, b, c, d] = planes.map(|p| i8x16_swizzle(p, index));
        let low = i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(a, b);
        let low_end = i8x16_shuffle::<8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31>(a, b);
        let high = i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(c, d);
        let high_end = i8x16_shuffle::<8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31>(c, d);
        let values = [
            i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(low, high),
            i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(low, high),
            i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(low_end, high_end),
            i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(low_end, high_end),
        ];
        for (out, values) in out.as_chunks_mut::<4>().0.iter_mut().zip(values) {
            // SAFETY: as above.
            unsafe { v128_store(out.as_mut_ptr().cast(), values) };
        }
    }
    super::table::plain(codes_rest, table, rest);
}
