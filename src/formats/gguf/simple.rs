//! Blocks with one level of scales.

/// Bytes of nibbles, a multiple of eight: the low ones are the first half of a run of weights, the high ones the second. Eight at
/// once, because the browser's build is one for size, which makes no vectors of loops.
pub(super) fn nibbles(bytes: &[u8], codes: &mut [u8]) {
    const LOW: u64 = 0x0f0f_0f0f_0f0f_0f0f;
    let (low, high) = codes.split_at_mut(bytes.len());
    let halves = low.as_chunks_mut().0.iter_mut().zip(high.as_chunks_mut().0);
    for (&eight, (low, high)) in bytes.as_chunks::<8>().0.iter().zip(halves) {
        let word = u64::from_le_bytes(eight);
        (*low, *high) = ((word & LOW).to_le_bytes(), (word >> 4 & LOW).to_le_bytes());
    }
}

/// f16 scale, 16 bytes of nibbles.
pub fn q4_0(block: &[u8], codes: &mut [u8]) {
    nibbles(&block[2..18], codes);
}

/// f16 scale and offset, 16 bytes of nibbles.
pub fn q4_1(block: &[u8], codes: &mut [u8]) {
    nibbles(&block[4..20], codes);
}

/// Adds the fifth bits: 32, the first weight's lowest.
fn fifth_bits(bytes: &[u8], codes: &mut [u8]) {
    for (i, code) in codes.iter_mut().enumerate() {
        *code |= (bytes[i / 8] >> (i % 8) & 1) << 4;
    }
}

/// f16 scale, the fifth bits, 16 bytes of nibbles.
pub fn q5_0(block: &[u8], codes: &mut [u8]) {
    nibbles(&block[6..22], codes);
    fifth_bits(&block[2..6], codes);
}

/// f16 scale and offset, the fifth bits, 16 bytes of nibbles.
pub fn q5_1(block: &[u8], codes: &mut [u8]) {
    nibbles(&block[8..24], codes);
    fifth_bits(&block[4..8], codes);
}

/// f16 scale, 32 int8; their codes count from −128.
pub fn q8_0(block: &[u8], codes: &mut [u8]) {
    for (codes, &eight) in codes.as_chunks_mut().0.iter_mut().zip(block[2..34].as_chunks::<8>().0) {
        *codes = (u64::from_le_bytes(eight) ^ 0x8080_8080_8080_8080).to_le_bytes();
    }
}

/// E8M0 scale, 16 bytes of nibbles.
pub fn mxfp4(block: &[u8], codes: &mut [u8]) {
    nibbles(&block[1..17], codes);
}

/// Four scales, then 8 bytes of nibbles for each 16 weights.
pub fn nvfp4(block: &[u8], codes: &mut [u8]) {
    for (bytes, codes) in block[4..36].chunks_exact(8).zip(codes.chunks_exact_mut(16)) {
        nibbles(bytes, codes);
    }
}

/// Unsigned E4M3: four bits of exponent (bias 7), three of mantissa; all ones count as 0.
pub fn nvfp4_scales(block: &[u8], scales: &mut [f32]) {
    for (scale, &byte) in scales.iter_mut().zip(&block[..4]) {
        let (exponent, mantissa) = (i32::from(byte >> 3 & 15), f32::from(byte & 7));
        *scale = match (byte, exponent) {
            (0x7f, _) => 0.0,
            (_, 0) => mantissa * 2f32.powi(-9),
            _ => (1.0 + mantissa / 8.0) * 2f32.powi(exponent - 7),
        };
    }
}

/// Digits of base 3, five in a byte that holds them as a fraction of 256, in three runs of 32, 16 and 4 bytes (the last
/// with four digits); f16 scale.
pub fn tq1_0(block: &[u8], codes: &mut [u8]) {
    let mut at = 0;
    for (from, len, digits) in [(0, 32, 5), (32, 16, 5), (48, 4, 4)] {
        for digit in 0..digits {
            for &byte in &block[from..from + len] {
                let rest = byte.wrapping_mul(3u8.pow(digit));
                codes[at] = ((u16::from(rest) * 3) >> 8) as u8;
                at += 1;
            }
        }
    }
}

/// 64 bytes of two-bit fields, f16 scale.
pub fn tq2_0(block: &[u8], codes: &mut [u8]) {
    pairs(&block[..64], codes);
}

/// Bytes of two-bit fields: each 32 bytes hold 128 weights, the lowest fields the first 32.
pub(super) fn pairs(bytes: &[u8], codes: &mut [u8]) {
    for (bytes, codes) in bytes.chunks_exact(32).zip(codes.chunks_exact_mut(128)) {
        for (i, code) in codes.iter_mut().enumerate() {
            *code = bytes[i % 32] >> (2 * (i / 32)) & 3;
        }
    }
}
