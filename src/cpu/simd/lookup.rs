//! Table lookups by shuffles: a palette of up to 16 values fits the registers.

use super::{Level, multiversion};

/// `out[i] = table[codes[i]]`; all codes are below `entries`, and only that much of the table is read.
#[allow(unused_variables, reason = "targets without vectors look at neither")]
pub fn lookup(level: Level, codes: &[u8], table: &[f32; 256], entries: usize, out: &mut [f32]) {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 if entries <= 64 => super::x86::lookup_avx512(codes, table, entries, out),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 if entries <= 16 => super::x86::lookup_avx2(codes, table, out),
        #[cfg(target_arch = "aarch64")]
        Level::Neon if entries <= 16 => super::neon::lookup(codes, table, out),
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        Level::Simd128 if entries <= 16 => super::wasm::lookup(codes, table, out),
        _ => super::table::plain(codes, table, out),
    }
}

/// `out[k, i] *= scales[i]`, `scales` being a whole number of vectors.
pub fn scale_lanes(level: Level, scales: &[f32], out: &mut [f32]) {
    match level {
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        Level::Simd128 => super::wasm::scale_lanes(scales, out),
        _ => scale_rows(level, scales, out),
    }
}

multiversion! {
    fn scale_rows = scale_rows_body(scales: &[f32], out: &mut [f32])
}

#[inline(always)]
fn scale_rows_body<const FMA: bool>(scales: &[f32], out: &mut [f32]) {
    for out in out.chunks_exact_mut(scales.len()) {
        for (out, scale) in out.iter_mut().zip(scales) {
            *out *= scale;
        }
    }
}

multiversion! {
    /// `out[i] = (codes[i] − zero) · scale`.
    pub fn dequantise = dequantise_body(codes: &[u8], zero: f32, scale: f32, out: &mut [f32])
}

#[inline(always)]
fn dequantise_body<const FMA: bool>(codes: &[u8], zero: f32, scale: f32, out: &mut [f32]) {
    for (out, &code) in out.iter_mut().zip(codes) {
        *out = (f32::from(code) - zero) * scale;
    }
}

multiversion! {
    /// `(codes[i] − zero) · scale` with one zero and scale per `group` codes; `group` is a multiple of 8 and the
    /// stretch starts with a group.
    pub fn dequantise_groups = groups_body(
        codes: &[u8], group: usize, zeros: &[f32], scales: &[f32], out: &mut [f32],
    )
}

#[inline(always)]
fn groups_body<const FMA: bool>(codes: &[u8], group: usize, zeros: &[f32], scales: &[f32], out: &mut [f32]) {
    let groups = out.chunks_mut(group).zip(codes.chunks(group));
    for ((out, codes), (&zero, &scale)) in groups.zip(zeros.iter().zip(scales)) {
        let ((out, rest), (codes, codes_rest)) = (out.as_chunks_mut::<8>(), codes.as_chunks::<8>());
        for (out, codes) in out.iter_mut().zip(codes) {
            for (out, &code) in out.iter_mut().zip(codes) {
                *out = (f32::from(code) - zero) * scale;
            }
        }
        for (out, &code) in rest.iter_mut().zip(codes_rest) {
            *out = (f32::from(code) - zero) * scale;
        }
    }
}

multiversion! {
    /// IEEE half precision bits to f32, exactly.
    pub fn widen = widen_body(halves: &[u16], out: &mut [f32])
}

/// `widen` for whoever is compiled per instruction set.
#[inline(always)]
pub fn widen_body<const FMA: bool>(halves: &[u16], out: &mut [f32]) {
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128", feature = "full"))]
    let (halves, out) = super::wasm::widen(halves, out);
    for (out, &half) in out.iter_mut().zip(halves) {
        let half = u32::from(half);
        // The product moves the exponent's bias from 15 to 127, and makes half's denormals normal.
        let magnitude = f32::from_bits((half & 0x7fff) << 13) * f32::from_bits(0x7780_0000);
        let special = if half & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
        *out = f32::from_bits(magnitude.to_bits() | special | (half & 0x8000) << 16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_widens_exactly() {
        let halves: Vec<u16> = (0..=u16::MAX).collect();
        for level in Level::available() {
            let mut out = vec![0f32; halves.len()];
            widen(level, &halves, &mut out);
            for (&h, &v) in halves.iter().zip(&out) {
                let want = half::f16::from_bits(h).to_f32();
                assert!(v == want || (v.is_nan() && want.is_nan()), "{h:#x}");
            }
        }
    }
}
