//! `unpack` where words are shifted: eight codes at a time.

use super::spread::{each_word, spread};
use super::{Level, multiversion};

/// `out[i]` = code `i` of `bytes`. Codes past the end are 0.
pub fn unpack(level: Level, bytes: &[u8], bits: u32, out: &mut [u8]) {
    match (level, bits) {
        (_, 8) => {
            let n = bytes.len().min(out.len());
            out[..n].copy_from_slice(&bytes[..n]);
            out[n..].fill(0);
        }
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
