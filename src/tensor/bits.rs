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

/// Like `pack`, into bytes that have room for the codes. What is behind the last code in its byte becomes 0.
pub fn pack_into(codes: &[u8], bits: u32, bytes: &mut [u8]) {
    // Eight codes are whole bytes.
    let (eights, rest) = codes.as_chunks::<8>();
    let (whole, last) = bytes.split_at_mut(eights.len() * bits as usize);
    match bits {
        1 => pack_eights::<1>(eights, whole),
        2 => pack_eights::<2>(eights, whole),
        3 => pack_eights::<3>(eights, whole),
        4 => pack_eights::<4>(eights, whole),
        5 => pack_eights::<5>(eights, whole),
        6 => pack_eights::<6>(eights, whole),
        7 => pack_eights::<7>(eights, whole),
        _ => whole.copy_from_slice(eights.as_flattened()),
    }
    let mut eight = [0; 8];
    eight[..rest.len()].copy_from_slice(rest);
    let len = packed_len(rest.len(), bits);
    last[..len].copy_from_slice(&word(eight, bits).to_le_bytes()[..len]);
}

fn pack_eights<const BITS: usize>(eights: &[[u8; 8]], bytes: &mut [u8]) {
    for (&codes, bytes) in eights.iter().zip(bytes.as_chunks_mut::<BITS>().0) {
        let word = word(codes, BITS as u32).to_le_bytes();
        bytes.copy_from_slice(&word[..BITS]);
    }
}

/// Eight codes next to each other: pairs, then fours, then all.
fn word(codes: [u8; 8], bits: u32) -> u64 {
    let word = u64::from_le_bytes(codes);
    if bits == 8 {
        return word;
    }
    let joined = |word: u64, mask: u64, lane: u32, bits: u32| word & mask | (word >> lane & mask) << bits;
    let pairs = joined(word, 0x00ff_00ff_00ff_00ff, 8, bits);
    let fours = joined(pairs, 0x0000_ffff_0000_ffff, 16, 2 * bits);
    joined(fours, 0xffff_ffff, 32, 4 * bits)
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

/// The eight codes from position `index` on, the first in the lowest bits; zeros past the end.
#[inline]
pub fn eight(bytes: &[u8], index: usize, bits: u32) -> u64 {
    let bit = index * bits as usize;
    let rest = bytes.get(bit / 8..).unwrap_or(&[]);
    let word = match rest.first_chunk() {
        Some(&whole) => u64::from_le_bytes(whole),
        None => rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    };
    // Codes of 8 bits begin with bytes; seven bits and eight narrower codes fit.
    word >> (bit % 8)
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
            for from in 0..codes.len() + 9 {
                let word = eight(&bytes, from, bits);
                for i in 0..8 {
                    let code = (word >> (i as u32 * bits)) as u8 & (0xff >> (8 - bits));
                    assert_eq!(code, codes.get(from + i).copied().unwrap_or(0), "{from} + {i}, {bits} bits");
                }
            }
            // Nothing that was there before stays, and nothing behind is touched.
            let mut used = vec![0xa5; bytes.len() + 2];
            pack_into(&codes, bits, &mut used);
            assert_eq!(used, [bytes, vec![0xa5; 2]].concat());
        }
    }
}
