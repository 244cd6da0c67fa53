//! Blocks of 256 weights with two levels of scales.

use half::f16;

use super::simple::{nibbles, pairs};

/// 16 bytes of scale and minimum, 64 bytes of two-bit fields, d, dmin.
pub fn q2(block: &[u8], codes: &mut [u8]) {
    pairs(&block[16..80], codes);
}

pub fn q2_scales(block: &[u8], scales: &mut [u8]) {
    for (pair, byte) in scales.chunks_exact_mut(2).zip(&block[..16]) {
        pair.copy_from_slice(&[byte & 15, byte >> 4]);
    }
}

/// 32 bytes of third bits, 64 bytes of two-bit fields, 12 bytes of scales, d. A weight counts from −4.
pub fn q3(block: &[u8], codes: &mut [u8]) {
    pairs(&block[32..96], codes);
    for (i, code) in codes.iter_mut().enumerate() {
        *code |= (block[i % 32] >> (i / 32) & 1) << 2;
    }
}

/// Low four bits of 16 scales in 8 bytes, high two in 4 bytes.
pub fn q3_scales(block: &[u8], scales: &mut [u8]) {
    let bytes = &block[96..108];
    for (i, scale) in scales.iter_mut().enumerate() {
        let low = bytes[i % 8] >> (4 * (i / 8)) & 15;
        let high = bytes[8 + i % 4] >> (2 * (i / 4)) & 3;
        *scale = low | high << 4;
    }
}

/// d, dmin, 12 bytes of scales and minima, then 32 bytes of nibbles for each 64 weights.
pub fn q4(block: &[u8], codes: &mut [u8]) {
    for (bytes, codes) in block[16..144].chunks_exact(32).zip(codes.chunks_exact_mut(64)) {
        nibbles(bytes, codes);
    }
}

/// Six bits each: of the first four scales and minima in a byte of their own, whose top two bits belong to the last four.
pub fn q4_scales(block: &[u8], scales: &mut [u8]) {
    let bytes = &block[4..16];
    for (i, pair) in scales.chunks_exact_mut(2).enumerate() {
        let (scale, min) = match i {
            0..4 => (bytes[i] & 63, bytes[i + 4] & 63),
            _ => (bytes[i + 4] & 15 | bytes[i - 4] >> 6 << 4, bytes[i + 4] >> 4 | bytes[i] >> 6 << 4),
        };
        pair.copy_from_slice(&[scale, min]);
    }
}

/// As `q4`, with 32 bytes of fifth bits before the nibbles.
pub fn q5(block: &[u8], codes: &mut [u8]) {
    for (bytes, codes) in block[48..176].chunks_exact(32).zip(codes.chunks_exact_mut(64)) {
        nibbles(bytes, codes);
    }
    for (i, code) in codes.iter_mut().enumerate() {
        *code |= (block[16 + i % 32] >> (i / 32) & 1) << 4;
    }
}

/// For each 128 weights 64 bytes of low nibbles, and 32 bytes of two-bit fields above them; 16 int8 scales, d.
pub fn q6(block: &[u8], codes: &mut [u8]) {
    for (half, codes) in codes.chunks_exact_mut(128).enumerate() {
        nibbles(&block[64 * half..][..64], codes);
    }
    let mut high = [0; 256];
    pairs(&block[128..192], &mut high);
    codes.iter_mut().zip(high).for_each(|(code, high)| *code |= high << 4);
}

/// Scales count from −128.
pub fn q6_scales(block: &[u8], scales: &mut [u8]) {
    for (scale, byte) in scales.iter_mut().zip(&block[192..208]) {
        *scale = byte ^ 0x80;
    }
}

/// d, 8 bytes of scales, then 16 bytes of nibbles for each 32 weights.
pub fn iq4_xs(block: &[u8], codes: &mut [u8]) {
    for (bytes, codes) in block[8..136].chunks_exact(16).zip(codes.chunks_exact_mut(32)) {
        nibbles(bytes, codes);
    }
}

/// d times six bits that count from −32: the high two of all in a u16, the low four in 4 bytes. The product of an f16 and
/// six bits is exact in f32.
pub fn iq4_xs_scales(block: &[u8], scales: &mut [f32]) {
    let d = f16::from_le_bytes([block[0], block[1]]).to_f32();
    let high = u16::from_le_bytes([block[2], block[3]]);
    for (i, scale) in scales.iter_mut().enumerate() {
        let low = block[4 + i / 2] >> (4 * (i % 2)) & 15;
        let six = u16::from(low) | (high >> (2 * i) & 3) << 4;
        *scale = d * (f32::from(six) - 32.0);
    }
}
