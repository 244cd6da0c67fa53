//! Rows of codes as bytes, multiplied with a row of activations of 8 bits.

use super::super::unroll::unroll;
use super::product::end;
use super::spread::{Layout, REACH, STEP, Spread};
use super::vector::ByteVector;

/// A row of a weight: `byte · scale` with a scale per group. Bytes that use the highest bit stand for themselves minus 128.
pub struct ByteRow<'a> {
    /// From the first code on; what lies behind the row is multiplied with zeros.
    pub codes: &'a [u8],
    pub layout: &'a Layout,
    /// Bytes that codes stand for. None: codes are the bytes.
    pub table: Option<&'a [u8; 16]>,
    pub scales: &'a [f32],
    /// Weights of a group, a multiple of blocks of x.
    pub group: usize,
}

/// A row of x.
pub struct ByteLine<'a> {
    /// Padded with zeros to a multiple of `STEP`.
    pub values: &'a [i8],
    /// What an integer stands for, per block.
    pub scales: &'a [f32],
    /// Elements of a block, a multiple of `STEP`.
    pub block: usize,
}

/// What is taken from each byte: those of tables and of 8 bits use the highest bit, and products are of signed bytes.
pub fn shift(bits: usize, lookup: bool) -> u8 {
    if lookup || bits > 7 { 128 } else { 0 }
}

/// `Σ x · w`
///
/// # Safety
/// That of `ByteVector`.
#[inline(always)]
pub unsafe fn dot<V: ByteVector, const LOOKUP: bool, const FAST: bool>(row: &ByteRow, x: &ByteLine) -> f32 {
    let (step_bytes, mut at) = (row.layout.step_bytes(), 0);
    // SAFETY: the caller's; codes are read from slices of `REACH` bytes, integers from arrays of `STEP`.
    unsafe {
        let spread = Spread::<V>::new(row.layout);
        let nothing = V::splat_bytes(0);
        let flip = V::splat_bytes(shift(row.layout.bits(), LOOKUP));
        let table = row.table.map_or(nothing, |table| V::load(table.as_ptr()).flip(flip));
        let mut total = nothing;
        for (i, (values, x_scale)) in x.values.chunks(x.block).zip(x.scales).enumerate() {
            let mut sums = [nothing; 2];
            for values in values.as_chunks::<STEP>().0 {
                let mut rest = [0u8; REACH];
                let bytes = match row.codes.get(at..at + REACH) {
                    Some(bytes) => bytes.as_ptr(),
                    None => end(row.codes, at, &mut rest),
                };
                at += step_bytes;
                let codes = spread.codes(bytes);
                unroll!(half in 2 => {
                    let bytes = if LOOKUP { table.lookup(codes[half]) } else { codes[half].flip(flip) };
                    let x = V::load(values.as_ptr().add(16 * half).cast());
                    sums[half] = bytes.dot::<FAST>(x, sums[half]);
                });
            }
            let scale = row.scales.get(i * x.block / row.group).copied().unwrap_or(0.0) * x_scale;
            total = V::floats(sums).multiply_add(V::splat(scale), total);
        }
        total.sum()
    }
}
