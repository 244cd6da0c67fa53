//! Codes of 1–8 bits spread to one byte each.

use super::spread::{each_word, spread};
use super::{Level, multiversion};

/// `out[i]` = code `i` of the LSB-first stream `bytes`, which starts at a whole byte. Codes past the end are 0.
pub fn unpack(level: Level, bytes: &[u8], bits: u32, out: &mut [u8]) {
    match (level, bits) {
        (_, 8) => {
            let n = bytes.len().min(out.len());
            out[..n].copy_from_slice(&bytes[..n]);
            out[n..].fill(0);
        }
        #[cfg(target_arch = "x86_64")]
        (Level::Avx512, _) => super::x86::unpack_bmi2(bytes, bits, out),
        (_, 1) => unpack1(level, bytes, out),
        (_, 2) => unpack2(level, bytes, out),
        (_, 3) => unpack3(level, bytes, out),
        (_, 4) => unpack4(level, bytes, out),
        (_, 5) => unpack5(level, bytes, out),
        _ => unpack6(level, bytes, out),
    }
}

macro_rules! widths {
    ($($name:ident = $body:ident($bits:literal))*) => { $(
        multiversion! { fn $name = $body(bytes: &[u8], out: &mut [u8]) }

        #[inline(always)]
        fn $body<const FMA: bool>(bytes: &[u8], out: &mut [u8]) {
            each_word::<$bits>(bytes, out, spread::<$bits>);
        }
    )* };
}
widths! {
    unpack1 = body1(1) unpack2 = body2(2) unpack3 = body3(3) unpack4 = body4(4) unpack5 = body5(5) unpack6 = body6(6)
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
