//! Contiguous, LSB-first streams of 1–8 bit codes: the order coremltools, GPTQ and compressed-tensors 0.20 share.

/// Bytes that hold `count` codes of `bits` bits.
pub fn packed_len(count: usize, bits: u32) -> usize {
    (count * bits as usize).div_ceil(8)
}

/// Packs codes (each < 2^bits) into bytes; code 0 starts at bit 0 of byte 0.
pub fn pack(codes: &[u8], bits: u32) -> Vec<u8> {
    let mut bytes = vec![0u8; packed_len(codes.len(), bits)];
    pack_into(codes, bits, &mut bytes);
    bytes
}

/// Like `pack`, into zeros that have room for the codes.
pub fn pack_into(codes: &[u8], bits: u32, bytes: &mut [u8]) {
    for (i, &code) in codes.iter().enumerate() {
        let bit = i * bits as usize;
        let wide = u16::from(code) << (bit % 8);
        bytes[bit / 8] |= wide as u8;
        if wide > 0xff {
            bytes[bit / 8 + 1] |= (wide >> 8) as u8;
        }
    }
}

/// The code at position `index` of a stream; 0 past the end.
#[inline]
pub fn get(bytes: &[u8], index: usize, bits: u32) -> u8 {
    let bit = index * bits as usize;
    let low = bytes.get(bit / 8).copied().unwrap_or(0);
    let high = bytes.get(bit / 8 + 1).copied().unwrap_or(0);
    let wide = u16::from_le_bytes([low, high]) >> (bit % 8);
    (wide & ((1u16 << bits) - 1)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_bit_stream_is_the_published_one() {
        assert_eq!(pack(&[1, 2, 3, 4, 5, 6, 7, 0], 3), [0xd1, 0x58, 0x1f]);
    }

    #[test]
    fn every_width_round_trips() {
        for bits in 1..=8 {
            let codes: Vec<u8> = (0..101u32).map(|i| ((i * 37 + 11) % (1 << bits)) as u8).collect();
            let bytes = pack(&codes, bits);
            assert_eq!(bytes.len(), packed_len(codes.len(), bits));
            let back: Vec<u8> = (0..codes.len()).map(|i| get(&bytes, i, bits)).collect();
            assert_eq!(back, codes);
        }
    }
}
