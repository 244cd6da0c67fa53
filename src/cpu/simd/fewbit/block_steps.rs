//! A step of a code stream as bytes, with AVX-512 VBMI and GFNI: 64 codes in one or two instructions.

use std::arch::x86_64::*;

use super::super::unroll::unroll;

/// Whether the processor has what the kernels by blocks need.
pub fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vnni")
        && is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("gfni")
        && is_x86_feature_detected!("f16c")
        && is_x86_feature_detected!("fma")
}

/// The codes that a row is read by: one vector of bytes or part of one.
pub struct Step<const BITS: usize>;

impl<const BITS: usize> Step<BITS> {
    /// Codes that lie in whole bytes without filling them: each run goes to eight bytes, from where any bits can be taken.
    const RUN: Option<usize> = match BITS {
        3 => Some(16),
        5 | 6 => Some(8),
        _ => None,
    };
    /// Vectors of codes, one a byte.
    pub const VECTORS: usize = match Self::RUN {
        Some(run) => run / 8,
        None => 8 / BITS,
    };
    pub const CODES: usize = 64 * Self::VECTORS;
    /// Words of a row.
    pub const WORDS: usize = Self::CODES * BITS / 32;
    /// Neighbouring lanes of 32 bits whose codes are mixed.
    pub const MIXED: usize = if Self::RUN.is_some() { 2 } else { 1 };

    /// Which code of the step is byte `i` of vector `v`.
    const fn place(v: usize, i: usize) -> usize {
        match Self::RUN {
            Some(run) => i / 8 * run + 8 * v + i % 8,
            None => i * Self::VECTORS + v,
        }
    }

    /// The same within 128 codes.
    pub const FROM: [[u8; 64]; 8] = {
        let mut from = [[0; 64]; 8];
        let mut i = 0;
        while i < 64 * Self::VECTORS {
            from[i / 64][i % 64] = (Self::place(i / 64, i % 64) % 128) as u8;
            i += 1;
        }
        from
    };
    /// Which bytes of a vector are of which 128 codes.
    pub const PAIR: [[u64; 4]; 8] = {
        let mut pair = [[0; 4]; 8];
        let mut i = 0;
        while i < 64 * Self::VECTORS {
            pair[i / 64][Self::place(i / 64, i % 64) / 128] |= 1 << (i % 64);
            i += 1;
        }
        pair
    };

    /// Where runs go.
    const SPREAD: [u8; 64] = {
        let mut spread = [0; 64];
        let mut i = 0;
        while let Some(run) = Self::RUN
            && i < 64
        {
            spread[i] = (i / 8 * run * BITS / 8 + i % 8) as u8;
            i += 1;
        }
        spread
    };

    /// The bit of its run at which each code begins.
    const BEGIN: [[u8; 64]; 2] = {
        let mut begin = [[0; 64]; 2];
        let mut i = 0;
        while i < 128 {
            begin[i / 64][i % 64] = (i / 64 * 8 + i % 8) as u8 * BITS as u8;
            i += 1;
        }
        begin
    };

    /// Takes the bits of vector `v` out of each byte: row `7 − i` of a matrix of bits is what becomes bit `i`.
    const fn matrix(v: usize) -> i64 {
        let (mut matrix, mut i) = (0u64, 0);
        while i < BITS {
            matrix |= 1 << (8 * (7 - i) + v * BITS + i);
            i += 1;
        }
        matrix as i64
    }

    /// The vectors of a step, from its words. Without `clean`, bits above a code are arbitrary.
    ///
    /// # Safety
    /// The processor has AVX-512 BW, VBMI and GFNI, and the caller is compiled for them.
    #[inline(always)]
    pub unsafe fn vectors(words: __m512i, clean: bool) -> [__m512i; 8] {
        // SAFETY: the caller's; the constants are of 64 bytes.
        unsafe {
            let mask = _mm512_set1_epi8(((1u32 << BITS) - 1) as u8 as i8);
            let mut vectors = [words; 8];
            if Self::RUN.is_some() {
                let runs = _mm512_permutexvar_epi8(_mm512_loadu_si512(Self::SPREAD.as_ptr().cast()), words);
                unroll!(v in 2 => {
                    if v < Self::VECTORS {
                        let begin = _mm512_loadu_si512(Self::BEGIN[v].as_ptr().cast());
                        let codes = _mm512_multishift_epi64_epi8(begin, runs);
                        vectors[v] = if clean { _mm512_and_si512(codes, mask) } else { codes };
                    }
                });
            } else {
                if clean && BITS < 8 {
                    vectors[0] = _mm512_and_si512(words, mask);
                }
                unroll!(v in Self::VECTORS, 8 => {
                    if v > 0 {
                        vectors[v] = _mm512_gf2p8affine_epi64_epi8::<0>(words, _mm512_set1_epi64(Self::matrix(v)));
                    }
                });
            }
            vectors
        }
    }
}
