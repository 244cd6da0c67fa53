//! Blocks of 256 weights whose codes point into fixed grids of vectors. A coordinate has one of a few values, so that with
//! its sign (or the sign of what is added to it) it is one of 16, and a block is a palette.

use half::f16;

/// Index of a vector's first coordinate's value lowest: eight of two bits, or four of three. `pkg-scripts/ggml_grids.py`
/// writes the file.
static VECTORS: &[u8; 2 * 4608] = include_bytes!("grids.bin");

/// A grid's first vector.
#[derive(Clone, Copy)]
struct Grid(usize);

const IQ2_XXS: Grid = Grid(0);
const IQ2_XS: Grid = Grid(256);
const IQ2_S: Grid = Grid(768);
const IQ3_XXS: Grid = Grid(1792);
const IQ3_S: Grid = Grid(2048);
const IQ1: Grid = Grid(2560);

/// What added to a coordinate of IQ1 makes it a weight, or subtracted.
const DELTA: f32 = 0.125;

/// The values of coordinates: the fourth bit of a code is the sign.
pub static IQ1_VALUES: [f32; 16] = [
    -1.0 + DELTA,
    DELTA,
    1.0 + DELTA,
    0.0,
    0.0,
    0.0,
    0.0,
    0.0,
    -1.0 - DELTA,
    -DELTA,
    1.0 - DELTA,
    0.0,
    0.0,
    0.0,
    0.0,
    0.0,
];
pub static IQ2_VALUES: [f32; 16] =
    [8.0, 25.0, 43.0, 0.0, 0.0, 0.0, 0.0, 0.0, -8.0, -25.0, -43.0, 0.0, 0.0, 0.0, 0.0, 0.0];
pub static IQ3_XXS_VALUES: [f32; 16] =
    [4.0, 12.0, 20.0, 28.0, 36.0, 44.0, 52.0, 62.0, -4.0, -12.0, -20.0, -28.0, -36.0, -44.0, -52.0, -62.0];
pub static IQ3_S_VALUES: [f32; 16] =
    [1.0, 3.0, 5.0, 7.0, 9.0, 11.0, 13.0, 15.0, -1.0, -3.0, -5.0, -7.0, -9.0, -11.0, -13.0, -15.0];

/// Codes of a vector's coordinates; bit `i` of `signs` belongs to coordinate `i`.
fn codes_of(grid: Grid, index: usize, signs: u8, codes: &mut [u8]) {
    let at = 2 * (grid.0 + index);
    let vector = u16::from_le_bytes([VECTORS[at], VECTORS[at + 1]]);
    let bits = if codes.len() == 8 { 2 } else { 3 };
    for (i, code) in codes.iter_mut().enumerate() {
        *code = (vector >> (bits * i)) as u8 & ((1 << bits) - 1) | (signs >> i & 1) << 3;
    }
}

/// Seven signs lie in the file; the eighth makes their number even.
fn even(seven: u32) -> u8 {
    let seven = seven as u8 & 127;
    seven | (seven.count_ones() as u8 & 1) << 7
}

fn half(block: &[u8]) -> f32 {
    f16::from_le_bytes([block[0], block[1]]).to_f32()
}

fn word(bytes: &[u8], i: usize) -> u32 {
    u32::from_le_bytes([bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]])
}

fn short(bytes: &[u8], i: usize) -> u16 {
    u16::from_le_bytes([bytes[2 * i], bytes[2 * i + 1]])
}

/// The nibbles of `bytes`, lower before upper.
fn nibble(bytes: &[u8], i: usize) -> f32 {
    f32::from(bytes[i / 2] >> (4 * (i % 2)) & 15)
}

/// d, then for each 32 weights four indices and a word of four times seven signs and a scale.
pub fn iq2_xxs(block: &[u8], codes: &mut [u8]) {
    for (i, codes) in codes.chunks_exact_mut(8).enumerate() {
        let part = &block[2 + i / 4 * 8..][..8];
        codes_of(IQ2_XXS, part[i % 4].into(), even(word(part, 1) >> (7 * (i % 4))), codes);
    }
}

pub fn iq2_xxs_scales(block: &[u8], scales: &mut [f32]) {
    let d = half(block);
    for (i, scale) in scales.iter_mut().enumerate() {
        *scale = d * (0.5 + (word(&block[2..], 2 * i + 1) >> 28) as f32) * 0.25;
    }
}

/// d, then for each eight weights nine bits of index and seven signs, then the scales.
pub fn iq2_xs(block: &[u8], codes: &mut [u8]) {
    for (i, codes) in codes.chunks_exact_mut(8).enumerate() {
        let both = short(&block[2..], i);
        codes_of(IQ2_XS, usize::from(both & 511), even(u32::from(both >> 9)), codes);
    }
}

pub fn iq2_xs_scales(block: &[u8], scales: &mut [f32]) {
    iq2_scales(half(block), &block[66..], scales);
}

fn iq2_scales(d: f32, nibbles: &[u8], scales: &mut [f32]) {
    for (i, scale) in scales.iter_mut().enumerate() {
        *scale = d * (0.5 + nibble(nibbles, i)) * 0.25;
    }
}

/// d, then for each eight weights eight bits of index, as many signs, two more bits of index, then the scales.
pub fn iq2_s(block: &[u8], codes: &mut [u8]) {
    for (i, codes) in codes.chunks_exact_mut(8).enumerate() {
        let upper = block[66 + i / 4] >> (2 * (i % 4)) & 3;
        codes_of(IQ2_S, usize::from(block[2 + i]) | usize::from(upper) << 8, block[34 + i], codes);
    }
}

pub fn iq2_s_scales(block: &[u8], scales: &mut [f32]) {
    iq2_scales(half(block), &block[74..], scales);
}

/// d, an index for each four weights, then for each 32 a word of four times seven signs and a scale.
pub fn iq3_xxs(block: &[u8], codes: &mut [u8]) {
    for (i, codes) in codes.chunks_exact_mut(4).enumerate() {
        let signs = even(word(&block[66..], i / 8) >> (7 * (i / 2 % 4)));
        codes_of(IQ3_XXS, block[2 + i].into(), signs >> (4 * (i % 2)), codes);
    }
}

pub fn iq3_xxs_scales(block: &[u8], scales: &mut [f32]) {
    let d = half(block);
    for (i, scale) in scales.iter_mut().enumerate() {
        *scale = d * (0.5 + (word(&block[66..], i) >> 28) as f32) * 0.5;
    }
}

/// d, for each four weights eight bits of index, then the ninth ones, the signs, the scales.
pub fn iq3_s(block: &[u8], codes: &mut [u8]) {
    for (i, codes) in codes.chunks_exact_mut(4).enumerate() {
        let upper = block[66 + i / 8] >> (i % 8) & 1;
        let index = usize::from(block[2 + i]) | usize::from(upper) << 8;
        codes_of(IQ3_S, index, block[74 + i / 2] >> (4 * (i % 2)), codes);
    }
}

pub fn iq3_s_scales(block: &[u8], scales: &mut [f32]) {
    let d = half(block);
    for (i, scale) in scales.iter_mut().enumerate() {
        *scale = d * (1.0 + 2.0 * nibble(&block[106..], i));
    }
}

/// d, for each eight weights eight bits of index, then for each 32 four times three more, a scale and a sign.
pub fn iq1_s(block: &[u8], codes: &mut [u8]) {
    for (i, codes) in codes.chunks_exact_mut(8).enumerate() {
        let rest = short(&block[34..], i / 4);
        let upper = rest >> (3 * (i % 4)) & 7;
        let signs = if rest >> 15 == 1 { 0xff } else { 0 };
        codes_of(IQ1, usize::from(block[2 + i]) | usize::from(upper) << 8, signs, codes);
    }
}

pub fn iq1_s_scales(block: &[u8], scales: &mut [f32]) {
    let d = half(block);
    for (i, scale) in scales.iter_mut().enumerate() {
        *scale = d * f32::from(2 * (short(&block[34..], i) >> 12 & 7) + 1);
    }
}

/// For each eight weights eight bits of index, then three more and a sign, then four words of four scales and a part of d.
pub fn iq1_m(block: &[u8], codes: &mut [u8]) {
    for (i, codes) in codes.chunks_exact_mut(8).enumerate() {
        let rest = block[32 + i / 2] >> (4 * (i % 2));
        let signs = if rest & 8 == 8 { 0xff } else { 0 };
        codes_of(IQ1, usize::from(block[i]) | usize::from(rest & 7) << 8, signs, codes);
    }
}

pub fn iq1_m_scales(block: &[u8], scales: &mut [f32]) {
    let words = &block[48..];
    let bits = (0..4).fold(0, |bits, i| bits | short(words, i) >> 12 << (4 * i));
    let d = f16::from_bits(bits).to_f32();
    for (i, scale) in scales.iter_mut().enumerate() {
        *scale = d * f32::from(2 * (short(words, i / 4) >> (3 * (i % 4)) & 7) + 1);
    }
}
