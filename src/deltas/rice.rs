//! Gaps between the positions of kept values, in Rice codes (Rice & Plaunt 1971): Golomb's codes with a power of two, which for
//! gaps of chance are within 2 % of their entropy.
//!
//! A gap `g` with parameter `k` is `g >> k` ones and a zero, then the low `k` bits. Streams are LSB-first: bit i is bit
//! `i % 8` of byte `i / 8`.

/// Largest parameter: gaps of tensors of 2^32 values and beyond keep their quotients short with it.
pub const MAX_PARAMETER: u32 = 31;

/// Bits that are there at once, at whatever bit of a byte they begin.
const WINDOW: u32 = 56;

/// The parameter with the shortest codes.
pub fn best_parameter(gaps: &[u32]) -> u32 {
    let bits = |k: u32| gaps.iter().map(|&gap| u64::from(gap >> k) + 1 + u64::from(k)).sum::<u64>();
    (0..=MAX_PARAMETER).min_by_key(|&k| bits(k)).unwrap_or(0)
}

#[derive(Default)]
pub struct Writer {
    bytes: Vec<u8>,
    /// Bits of the last byte that are taken; 0: it is full, or there is none.
    used: u32,
}

impl Writer {
    pub fn bit(&mut self, bit: bool) {
        if self.used == 0 {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit) << self.used;
        }
        self.used = (self.used + 1) % 8;
    }

    pub fn gap(&mut self, gap: u32, k: u32) {
        (0..gap >> k).for_each(|_| self.bit(true));
        self.bit(false);
        (0..k).for_each(|i| self.bit(gap >> i & 1 == 1));
    }

    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads a stream. Behind its end are zeros; `within` says whether what was read lay in it.
pub struct Reader<'a> {
    bytes: &'a [u8],
    /// The next bit.
    at: u64,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    /// The next bits, at least `WINDOW` of them.
    #[inline]
    fn window(&self) -> u64 {
        let (byte, bit) = ((self.at / 8) as usize, self.at % 8);
        let rest = self.bytes.get(byte..).unwrap_or(&[]);
        let word = match rest.first_chunk() {
            Some(word) => u64::from_le_bytes(*word),
            None => rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
        };
        word >> bit
    }

    #[inline]
    pub fn bit(&mut self) -> bool {
        let bit = self.window() & 1;
        self.at += 1;
        bit == 1
    }

    /// The next gap; `k` up to `MAX_PARAMETER`. Saturates, so that an absurd one lies beyond any tensor.
    #[inline]
    pub fn gap(&mut self, k: u32) -> u64 {
        let word = self.window();
        let ones = word.trailing_ones();
        if ones + 1 + k > WINDOW {
            return self.long_gap(k);
        }
        self.at += u64::from(ones + 1 + k);
        u64::from(ones) << k | word >> (ones + 1) & ((1 << k) - 1)
    }

    /// One that a window may not hold.
    fn long_gap(&mut self, k: u32) -> u64 {
        let mut quotient = 0u64;
        loop {
            let ones = self.window().trailing_ones().min(WINDOW);
            quotient += u64::from(ones);
            self.at += u64::from(ones);
            if ones < WINDOW {
                break;
            }
        }
        self.at += 1;
        let low = self.window() & ((1 << k) - 1);
        self.at += u64::from(k);
        quotient.saturating_mul(1 << k).saturating_add(low)
    }

    /// Whether everything so far lay in the stream, and nothing but the rest of its last byte is left.
    pub fn is_at_end(&self) -> bool {
        self.at.div_ceil(8) == self.bytes.len() as u64
    }

    /// Whether everything so far lay in the stream.
    pub fn within(&self) -> bool {
        self.at <= 8 * self.bytes.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_code() {
        // 18 with k = 4: quotient 1, remainder 2 → ones 1, then 0, then 0010 from its low bit.
        let mut writer = Writer::default();
        writer.gap(18, 4);
        assert_eq!(writer.finish(), [0b00_1001]);
    }

    #[test]
    fn every_gap_comes_back() {
        let gaps: Vec<u32> = (0..400u32).map(|i| i.wrapping_mul(2_654_435_761) >> (i % 27 + 4)).collect();
        for k in [12, 20, MAX_PARAMETER] {
            let mut writer = Writer::default();
            for (i, &gap) in gaps.iter().enumerate() {
                writer.gap(gap, k);
                writer.bit(i % 3 == 0);
            }
            let bytes = writer.finish();
            let mut reader = Reader::new(&bytes);
            for (i, &gap) in gaps.iter().enumerate() {
                assert_eq!((reader.gap(k), reader.bit()), (gap.into(), i % 3 == 0));
            }
            assert!(reader.is_at_end() && reader.within());
            assert_eq!(reader.gap(k), 0);
            assert!(!reader.within());
        }
    }

    #[test]
    fn the_best_parameter_is_the_shortest() {
        let gaps: Vec<u32> = (0..1000u32).map(|i| i * 7919 % 41).collect();
        let bits = |k| {
            let mut writer = Writer::default();
            gaps.iter().for_each(|&gap| writer.gap(gap, k));
            writer.finish().len()
        };
        let best = best_parameter(&gaps);
        assert!((0..12).all(|k| bits(best) <= bits(k)));
    }

    #[test]
    fn ones_without_end_are_no_loop() {
        let mut reader = Reader::new(&[0xff; 1000]);
        assert_eq!(reader.gap(3), 8000 * 8);
        assert!(!reader.within());
    }
}
