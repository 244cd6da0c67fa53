//! A row of activations of 8 bits as `block_dot` reads it.

use std::arch::x86_64::*;

use super::block_steps::{Step, available};

pub const LANES: usize = 16;

/// A row of x in blocks that share a scale.
pub struct BlockLine {
    /// Elements of a block, a multiple of 32.
    pub block: usize,
    pub blocks: usize,
    pub steps: usize,
    /// `[steps, 2 + vectors, lanes]`: which of 16 blocks each lane belongs to; minus the middle of all codes times the sum
    /// of the lane's x; x in the order of codes.
    pub words: Vec<u32>,
    /// `[blocks]`, with zeros up to a multiple of 16: what an integer stands for.
    pub scales: Vec<f32>,
    /// Likewise: sums of integers.
    pub sums: Vec<f32>,
}

impl BlockLine {
    /// `values`: integers of x; `middle`: the byte that stands for 0. The processor has what `block_dot` needs.
    pub fn new(bits: usize, block: usize, middle: i32, values: &[i8], scales: Vec<f32>, sums: Vec<f32>) -> Self {
        assert!(available() && block > 0 && block.is_multiple_of(32));
        let (blocks, padded) = (values.len().div_ceil(block), |mut values: Vec<f32>| {
            values.resize(values.len().next_multiple_of(LANES), 0.0);
            values
        });
        assert!(scales.len() == blocks && sums.len() == blocks);
        // SAFETY: asserted above.
        let (steps, words) = unsafe {
            match bits {
                1 => arranged::<1>(block, middle, values),
                2 => arranged::<2>(block, middle, values),
                3 => arranged::<3>(block, middle, values),
                4 => arranged::<4>(block, middle, values),
                5 => arranged::<5>(block, middle, values),
                6 => arranged::<6>(block, middle, values),
                _ => arranged::<8>(block, middle, values),
            }
        };
        BlockLine { block, blocks, steps, words, scales: padded(scales), sums: padded(sums) }
    }
}

/// The steps and their words.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vbmi,avx2")]
fn arranged<const BITS: usize>(block: usize, middle: i32, values: &[i8]) -> (usize, Vec<u32>) {
    let (codes, vectors) = (Step::<BITS>::CODES, Step::<BITS>::VECTORS);
    let steps = values.len().div_ceil(codes);
    let mut words = vec![0u32; steps * (2 + vectors) * LANES];
    // The block that lanes belong to and what is left of it.
    let (mut at, mut left) = (0, block);
    for (values, words) in values.chunks(codes).zip(words.chunks_exact_mut((2 + vectors) * LANES)) {
        let (words, _) = words.as_chunks_mut::<LANES>();
        for blocks in words[0].chunks_exact_mut(Step::<BITS>::MIXED) {
            blocks.fill(at % LANES as u32);
            left -= Step::<BITS>::MIXED * codes / LANES;
            if left == 0 {
                (at, left) = (at + 1, block);
            }
        }
        let mut own = [[0i8; 128]; 4];
        own.as_flattened_mut()[..values.len()].copy_from_slice(values);
        let mut start = _mm512_setzero_si512();
        for v in 0..vectors {
            // SAFETY: the constants have 64 bytes, pairs of vectors 128, and `words` 16 of 32 bits.
            unsafe {
                let from = _mm512_loadu_si512(Step::<BITS>::FROM[v].as_ptr().cast());
                let mut x = _mm512_setzero_si512();
                for (own, mask) in own.iter().zip(Step::<BITS>::PAIR[v]).take(vectors.div_ceil(2)) {
                    let (low, high) =
                        (_mm512_loadu_si512(own.as_ptr().cast()), _mm512_loadu_si512(own[64..].as_ptr().cast()));
                    x = _mm512_mask_blend_epi8(mask, x, _mm512_permutex2var_epi8(low, from, high));
                }
                start = _mm512_dpbusd_epi32(start, _mm512_set1_epi8(1), x);
                _mm512_storeu_si512(words[2 + v].as_mut_ptr().cast(), x);
            }
        }
        start = _mm512_mullo_epi32(start, _mm512_set1_epi32(-middle));
        // SAFETY: as above.
        unsafe { _mm512_storeu_si512(words[1].as_mut_ptr().cast(), start) };
    }
    (steps, words)
}
