//! One row of activations of 8 bits with AVX-512 VNNI, VBMI and GFNI, where its blocks are the groups of the weight or a
//! row of the weight is one group. Scales are read as they are stored, 16 at a time, and sums start at what the middle of
//! all codes is worth: nothing is prepared for a row of the weight.

use std::arch::x86_64::*;

use super::super::unroll::unroll;
use super::block_line::{BlockLine, LANES};
use super::block_steps::{Step, available};

/// Rows of the weight at a time: they share the loads of x.
const ROWS: usize = 4;

/// Rows of a weight: `W = (byte − zero) · scale + offset`.
pub struct BlockDot<'a> {
    /// `[rows / dim, row_words]` words.
    pub codes: &'a [u8],
    pub row_words: usize,
    pub dim: usize,
    /// Bytes that codes stand for, repeated: `dim` tables for every `rows_per_table` rows. None: codes are the bytes.
    pub tables: &'a [[u8; 64]],
    pub rows_per_table: usize,
    /// `[rows, blocks]` in half precision; none: all are 1.
    pub scales: &'a [u16],
    /// `[rows, blocks]`, of integers with scales; none: all are the middle that `x` knows.
    pub zeros: &'a [u8],
    /// `[rows, blocks]` in half precision, of integers with scales and without zeros; none: all are 0.
    pub offsets: &'a [u16],
    pub x: &'a BlockLine,
}

/// The sums of rows `first ..`, as many as `out` has.
pub fn block_dot(bits: usize, job: &BlockDot, first: usize, out: &mut [f32]) {
    assert!(available() && job.dim > 0 && job.rows_per_table > 0);
    if out.is_empty() {
        return;
    }
    let (rows, blocks) = (first + out.len(), job.x.blocks);
    assert!(job.codes.len() >= 4 * job.row_words * ((rows - 1) / job.dim + 1));
    assert!(job.scales.is_empty() || job.scales.len() >= rows * blocks);
    assert!(job.zeros.is_empty() || job.zeros.len() >= rows * blocks);
    assert!(job.offsets.is_empty() || job.offsets.len() >= rows * blocks);
    // SAFETY: asserted above.
    unsafe {
        match (bits, job.tables.is_empty()) {
            (1, false) => by_scales::<1, true>(job, first, out),
            (2, false) => by_scales::<2, true>(job, first, out),
            (3, false) => by_scales::<3, true>(job, first, out),
            (4, false) => by_scales::<4, true>(job, first, out),
            (2, true) => by_scales::<2, false>(job, first, out),
            (3, true) => by_scales::<3, false>(job, first, out),
            (4, true) => by_scales::<4, false>(job, first, out),
            (5, true) => by_scales::<5, false>(job, first, out),
            (6, true) => by_scales::<6, false>(job, first, out),
            (8, true) => by_scales::<8, false>(job, first, out),
            _ => {}
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vbmi,gfni,avx2,fma,f16c")]
fn by_scales<const BITS: usize, const LOOKUP: bool>(job: &BlockDot, first: usize, out: &mut [f32]) {
    // SAFETY: this function has the features; the caller checked the sizes.
    unsafe {
        match (job.scales.is_empty(), LOOKUP || job.zeros.is_empty(), LOOKUP || job.offsets.is_empty()) {
            (true, ..) => fours::<BITS, LOOKUP, false, NOTHING>(job, first, out),
            (false, false, _) => fours::<BITS, LOOKUP, true, ZEROS>(job, first, out),
            (false, true, false) => fours::<BITS, LOOKUP, true, OFFSETS>(job, first, out),
            (false, true, true) => fours::<BITS, LOOKUP, true, NOTHING>(job, first, out),
        }
    }
}

/// What blocks have beside a scale.
const NOTHING: u8 = 0;
const ZEROS: u8 = 1;
const OFFSETS: u8 = 2;

/// Four rows of the weight; rows behind the last are the last.
struct Four {
    codes: [*const i32; ROWS],
    /// Number of each row's first block.
    blocks: [usize; ROWS],
    tables: [__m512i; ROWS],
}

/// # Safety
/// The caller is compiled for the features that `available` names, and there is what the rows need.
#[inline(always)]
unsafe fn fours<const BITS: usize, const LOOKUP: bool, const SCALES: bool, const EXTRAS: u8>(
    job: &BlockDot,
    first: usize,
    out: &mut [f32],
) {
    let line = job.x;
    // A division costs as much as a step.
    let coded_row = |row: usize| if job.dim == 1 { row } else { row / job.dim };
    let (words, steps) = (Step::<BITS>::WORDS, line.steps);
    let (row_whole, chunk_steps) = (job.row_words / words, LANES * line.block / Step::<BITS>::CODES);
    for (first, out) in (first..).step_by(ROWS).zip(out.chunks_mut(ROWS)) {
        let last = first + out.len() - 1;
        // SAFETY: rows up to the last lie in `codes`, tables have 64 bytes, and all else is the caller's.
        unsafe {
            let mut four =
                Four { codes: [std::ptr::null(); ROWS], blocks: [0; ROWS], tables: [_mm512_setzero_si512(); ROWS] };
            unroll!(r in ROWS, 4 => {
                let row = (first + r).min(last);
                four.codes[r] = job.codes.as_ptr().cast::<i32>().add(coded_row(row) * job.row_words);
                four.blocks[r] = row * line.blocks;
                if LOOKUP {
                    let table = if job.tables.len() > 1 { row / job.rows_per_table * job.dim + row % job.dim } else { 0 };
                    four.tables[r] = _mm512_loadu_si512(job.tables[table].as_ptr().cast());
                }
            });
            // Steps that are whole in all rows, and whose words a vector can be read from without leaving the codes.
            let behind = job.codes.len() / 4 - coded_row(last) * job.row_words;
            let whole = if behind < LANES { 0 } else { row_whole.min((behind - LANES) / words + 1) };
            let mut sums = [_mm512_setzero_ps(); ROWS];
            for chunk in 0..line.blocks.div_ceil(LANES) {
                let at = chunk * LANES;
                let x_scales = _mm512_loadu_ps(line.scales.as_ptr().add(at));
                let mut scales = [x_scales; ROWS];
                if SCALES {
                    let there = (u16::MAX as u32 >> (LANES - (line.blocks - at).min(LANES))) as u16;
                    unroll!(r in ROWS, 4 => {
                        let from = job.scales.as_ptr().add(four.blocks[r] + at);
                        let halves = _mm256_maskz_loadu_epi16(there, from.cast());
                        scales[r] = _mm512_mul_ps(_mm512_cvtph_ps(halves), x_scales);
                        if EXTRAS == OFFSETS {
                            // The middle of codes, which the sums begin without, is worth `middle · scale` here.
                            let from = job.offsets.as_ptr().add(four.blocks[r] + at);
                            let offsets = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(there, from.cast()));
                            let middle = _mm512_set1_ps((1 << (BITS - 1)) as f32);
                            let offsets = _mm512_fmadd_ps(_mm512_cvtph_ps(halves), middle, offsets);
                            let x_sums = _mm512_mul_ps(x_scales, _mm512_loadu_ps(line.sums.as_ptr().add(at)));
                            sums[r] = _mm512_fmadd_ps(offsets, x_sums, sums[r]);
                        }
                        if EXTRAS == ZEROS {
                            let from = job.zeros.as_ptr().add(four.blocks[r] + at);
                            let zeros = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(there, from.cast()));
                            let middle = _mm512_set1_epi32(1 << (BITS - 1));
                            let shift = _mm512_cvtepi32_ps(_mm512_sub_epi32(middle, zeros));
                            let x_sums = _mm512_loadu_ps(line.sums.as_ptr().add(at));
                            sums[r] = _mm512_fmadd_ps(_mm512_mul_ps(shift, scales[r]), x_sums, sums[r]);
                        }
                    });
                }
                let (begin, end) = (chunk * chunk_steps, (chunk * chunk_steps + chunk_steps).min(steps));
                for step in begin..whole.min(end) {
                    add_step::<BITS, LOOKUP, true>(job, &four, step, &scales, &mut sums);
                }
                for step in whole.max(begin)..end {
                    add_step::<BITS, LOOKUP, false>(job, &four, step, &scales, &mut sums);
                }
            }
            let mut four_sums = [0f32; ROWS];
            _mm_storeu_ps(four_sums.as_mut_ptr(), sum(sums));
            out.copy_from_slice(&four_sums[..out.len()]);
        }
    }
}

/// # Safety
/// As `fours`; if `WHOLE`, a vector of words can be read.
#[inline(always)]
unsafe fn add_step<const BITS: usize, const LOOKUP: bool, const WHOLE: bool>(
    job: &BlockDot,
    four: &Four,
    step: usize,
    scales: &[__m512; ROWS],
    sums: &mut [__m512; ROWS],
) {
    let (words, vectors) = (Step::<BITS>::WORDS, Step::<BITS>::VECTORS);
    // SAFETY: the caller's; a masked load reads only what the row has.
    unsafe {
        let x = job.x.words.as_ptr().add(step * (2 + vectors) * LANES);
        let blocks = _mm512_loadu_si512(x.cast());
        let start = _mm512_loadu_si512(x.add(LANES).cast());
        unroll!(r in ROWS, 4 => {
            let from = four.codes[r].wrapping_add(step * words);
            // Rows are short for the processor to foresee the next ones.
            _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(ROWS * job.row_words).cast());
            let codes = if WHOLE {
                _mm512_loadu_si512(from.cast())
            } else {
                let left = (job.row_words - (step * words).min(job.row_words)).min(words);
                _mm512_maskz_loadu_epi32(((1u32 << left) - 1) as u16, from)
            };
            let codes = Step::<BITS>::vectors(codes, !LOOKUP);
            let mut part = start;
            unroll!(v in Step::<BITS>::VECTORS, 8 => {
                let bytes = if LOOKUP { _mm512_permutexvar_epi8(codes[v], four.tables[r]) } else { codes[v] };
                part = _mm512_dpbusd_epi32(part, bytes, _mm512_loadu_si512(x.add((2 + v) * LANES).cast()));
            });
            let scale = _mm512_permutexvar_ps(blocks, scales[r]);
            sums[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(part), scale, sums[r]);
        });
    }
}

/// The sum of each.
///
/// # Safety
/// The caller is compiled for AVX-512.
#[inline(always)]
unsafe fn sum([a, b, c, d]: [__m512; ROWS]) -> __m128 {
    // SAFETY: the caller's.
    unsafe {
        let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
        let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
        let all = _mm512_add_ps(_mm512_shuffle_ps::<0x44>(ab, cd), _mm512_shuffle_ps::<0xee>(ab, cd));
        let half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps::<1>(all));
        _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps::<1>(half))
    }
}
