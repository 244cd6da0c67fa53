//! Codes of 1–8 bits spread to one byte each.

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

/// Eight codes are `BITS` bytes; `spread` turns them into eight bytes.
#[inline(always)]
pub(super) fn each_word<const BITS: usize>(bytes: &[u8], out: &mut [u8], spread: impl Fn(u64) -> u64) {
    let (groups, rest) = out.as_chunks_mut::<8>();
    // While eight bytes can be read at once; the surplus ones are masked away.
    let whole = bytes.len().saturating_sub(8) / BITS;
    let whole = whole.min(groups.len());
    let (fast, slow) = groups.split_at_mut(whole);
    for (i, out) in fast.iter_mut().enumerate() {
        let Some(word) = bytes[i * BITS..].first_chunk::<8>() else { break };
        *out = spread(u64::from_le_bytes(*word)).to_le_bytes();
    }
    let tail = |i: usize| {
        let mut word = [0u8; 8];
        let own = bytes.get(i * BITS..).unwrap_or(&[]);
        let n = own.len().min(BITS);
        word[..n].copy_from_slice(&own[..n]);
        spread(u64::from_le_bytes(word)).to_le_bytes()
    };
    let groups = whole + slow.len();
    slow.iter_mut().enumerate().for_each(|(i, out)| *out = tail(whole + i));
    let last = tail(groups);
    rest.copy_from_slice(&last[..rest.len()]);
}

/// Moves 8 codes of `BITS` bits to 8 bytes: first halves apart, then quarters, then single codes.
#[inline(always)]
fn spread<const BITS: u32>(word: u64) -> u64 {
    let ones = |n: u32| (1u64 << n) - 1;
    // Keeps the lower part of each lane, and moves the upper part `shift` bits up to the start of the next lane.
    let split = |x: u64, lower: u64, lane: u32, shift: u32| (x & lower) | ((x << shift) & (lower << lane));
    let x = split(word, ones(4 * BITS), 32, 32 - 4 * BITS);
    let x = split(x, ones(2 * BITS) * 0x1_0000_0001, 16, 16 - 2 * BITS);
    split(x, ones(BITS) * 0x0001_0001_0001_0001, 8, 8 - BITS)
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
