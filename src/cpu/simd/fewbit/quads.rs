//! Words of a code stream as quads: four codes of one byte each, in the order that costs least.
//!
//! A unit is the shortest run of whole words that holds whole codes. In a quad, bytes lie 8 bits apart, so it takes
//! its codes from equal bit offsets of the bytes, after one shift for all: with 4 bits the even codes of a word, then
//! the odd ones. With 3, 5 and 6 bits no word has codes at four such offsets, but the unit's words together have: each
//! byte comes from the word where a code begins at it.

use super::super::lanes::Lanes;
use super::super::unroll::unroll;

/// The most quads that a unit has.
pub const MAX_QUADS: usize = 8;

/// How a unit of codes of `BITS` bits falls apart.
pub struct Unit<const BITS: usize>;

impl<const BITS: usize> Unit<BITS> {
    pub const WORDS: usize = match BITS {
        3 | 6 => 3,
        5 => 5,
        _ => 1,
    };
    pub const CODES: usize = 32 * Self::WORDS / BITS;
    pub const QUADS: usize = Self::CODES / 4;
    /// The bit of its byte at which each code of a quad begins.
    const OFFSET: [usize; MAX_QUADS] = {
        let mut offset = [0; MAX_QUADS];
        let mut q = 0;
        while q < Self::QUADS {
            offset[q] = q * 8 / Self::QUADS;
            q += 1;
        }
        offset
    };
    /// The word that each byte of a quad comes from: there a code begins at bit `8·i + OFFSET`.
    const WORD: [[usize; 4]; MAX_QUADS] = {
        let mut word = [[0; 4]; MAX_QUADS];
        let mut i = 0;
        while i < 4 * Self::QUADS {
            let (q, byte) = (i / 4, i % 4);
            while (32 * word[q][byte] + 8 * byte + Self::OFFSET[q]) % BITS != 0 {
                word[q][byte] += 1;
            }
            i += 1;
        }
        word
    };
    /// Which code of the unit each byte of a quad is.
    pub const POSITION: [[usize; 4]; MAX_QUADS] = {
        let mut position = [[0; 4]; MAX_QUADS];
        let mut i = 0;
        while i < 4 * Self::QUADS {
            let (q, byte) = (i / 4, i % 4);
            position[q][byte] = (32 * Self::WORD[q][byte] + 8 * byte + Self::OFFSET[q]) / BITS;
            i += 1;
        }
        position
    };

    /// Quad `q` of the units in `words`, one per lane. Without `clean`, bits above a code are arbitrary.
    ///
    /// # Safety
    /// That of `Lanes`.
    #[inline(always)]
    pub unsafe fn quad<S: Lanes>(words: &[S::I; 5], q: usize, clean: bool) -> S::I {
        let from = Self::OFFSET[q];
        // SAFETY: the caller's.
        unsafe {
            let quad = if Self::WORDS == 1 {
                shift::<S>(words[0], from)
            } else if from + BITS <= 8 {
                shift::<S>(Self::mix::<S>(words, q), from)
            } else {
                // Codes reach into the next byte, which may be another word's: shift the words first.
                let mut shifted = *words;
                unroll!(w in Self::WORDS, 5 => { shifted[w] = shift::<S>(words[w], from); });
                let last = Self::WORD[q][3];
                shifted[last] = S::or(shifted[last], S::shl(words[last + 1], 32 - from as u32));
                Self::mix::<S>(&shifted, q)
            };
            if clean && BITS < 8 { S::and(quad, ((1 << BITS) - 1) * 0x0101_0101) } else { quad }
        }
    }

    /// Each byte from its word.
    #[inline(always)]
    unsafe fn mix<S: Lanes>(words: &[S::I; 5], q: usize) -> S::I {
        let last = Self::WORD[q][3];
        let mut mixed = words[last];
        unroll!(i in 3 => {
            let word = Self::WORD[q][i];
            if word != last {
                // SAFETY: the caller's.
                mixed = unsafe { S::select(0xff << (8 * i), words[word], mixed) };
            }
        });
        mixed
    }
}

#[inline(always)]
unsafe fn shift<S: Lanes>(word: S::I, count: usize) -> S::I {
    // SAFETY: the caller's.
    if count == 0 { word } else { unsafe { S::shr(word, count as u32) } }
}

/// `Unit::POSITION` of a width known at run time, with the unit's codes.
pub fn order(bits: usize) -> (usize, [[usize; 4]; MAX_QUADS]) {
    match bits {
        1 => (Unit::<1>::CODES, Unit::<1>::POSITION),
        2 => (Unit::<2>::CODES, Unit::<2>::POSITION),
        3 => (Unit::<3>::CODES, Unit::<3>::POSITION),
        4 => (Unit::<4>::CODES, Unit::<4>::POSITION),
        5 => (Unit::<5>::CODES, Unit::<5>::POSITION),
        6 => (Unit::<6>::CODES, Unit::<6>::POSITION),
        _ => (Unit::<8>::CODES, Unit::<8>::POSITION),
    }
}
