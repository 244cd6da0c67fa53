//! Codes of 1–8 bits spread to one byte each.

use super::Level;

/// `out[i]` = code `i` of the LSB-first stream `bytes`, which starts at a whole byte. Codes past the end are 0.
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
pub fn unpack(level: Level, bytes: &[u8], bits: u32, out: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    super::unpack_words::unpack(level, bytes, bits, out);
    #[cfg(not(target_arch = "x86_64"))]
    super::codes::unpack(bytes, bits as usize, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::bits;

    #[test]
    fn codes_come_out_as_they_went_in() {
        for level in Level::available() {
            for width in [1, 2, 3, 4, 5, 6, 8] {
                for len in [0, 1, 7, 8, 9, 31, 200] {
                    let codes: Vec<u8> = (0..len).map(|i| ((i * 37 + 11) % (1 << width)) as u8).collect();
                    let mut out = vec![0xff; len];
                    unpack(level, &bits::pack(&codes, width), width, &mut out);
                    assert_eq!(out, codes, "{} {width} bits", level.name());
                }
            }
        }
    }
}
