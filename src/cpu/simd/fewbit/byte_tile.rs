//! `tile` with activations of 8 bits: products of bytes, added as integers over a block of x.

use super::super::lanes::Bytes;
use super::super::unroll::unroll;
use super::quads::Unit;

/// As many rows of a weight as there are lanes: weights are `byte · scale + offset`.
pub struct ByteColumns<'a> {
    /// `[words of a row, lanes]`, whole units.
    pub words: &'a [u32],
    /// Bytes that codes stand for, for a lookup.
    pub table: &'a [u8; 16],
    /// `[groups, lanes]`
    pub scales: &'a [f32],
    pub offsets: &'a [f32],
}

/// Rows of x in the order of codes.
pub struct ByteRows<'a> {
    /// `[units, quads, M]`: four integers a word, zeros behind the end of x.
    pub x: &'a [u32],
    /// `[blocks, M]`: what an integer of a block stands for.
    pub scales: &'a [f32],
    /// `[groups, M]`: sums of x.
    pub sums: &'a [f32],
    pub units: usize,
    pub block_units: usize,
    pub blocks_per_group: usize,
}

/// `out[m · lanes + lane] = Σ x · w`.
///
/// # Safety
/// That of `Lanes`.
#[inline(always)]
pub unsafe fn byte_tile<S: Bytes, const BITS: usize, const LOOKUP: bool, const M: usize>(
    columns: &ByteColumns,
    rows: &ByteRows,
    out: &mut [f32],
) {
    let (quads, words) = (Unit::<BITS>::QUADS, Unit::<BITS>::WORDS);
    let blocks = rows.units.div_ceil(rows.block_units);
    let groups = blocks.div_ceil(rows.blocks_per_group);
    assert!(rows.x.len() >= rows.units * quads * M && columns.words.len() >= rows.units * words * S::LANES);
    assert!(columns.scales.len() >= groups * S::LANES && columns.offsets.len() >= groups * S::LANES);
    assert!(rows.scales.len() >= blocks * M && rows.sums.len() >= groups * M && out.len() >= M * S::LANES);
    // SAFETY: the caller's, and the assertions above.
    unsafe {
        let table = S::byte_table(columns.table);
        let mut sums = [S::zero(); M];
        let (mut x, mut from) = (rows.x.as_ptr(), columns.words.as_ptr());
        for block in 0..blocks {
            let mut parts = [S::splat_word(0); M];
            for _ in 0..rows.block_units.min(rows.units - block * rows.block_units) {
                let mut unit = [S::splat_word(0); 5];
                unroll!(w in Unit::<BITS>::WORDS, 5 => { unit[w] = S::load_words(from.add(w * S::LANES)); });
                unroll!(q in Unit::<BITS>::QUADS, 8 => {
                    let quad = Unit::<BITS>::quad::<S>(&unit, q, true);
                    let bytes = if LOOKUP { S::lookup_bytes(table, quad) } else { quad };
                    unroll!(m in M, 8 => {
                        let x = S::splat_word(*x.add(q * M + m));
                        parts[m] = match LOOKUP || BITS > 6 {
                            true => S::dot::<true>(parts[m], bytes, x),
                            false => S::dot::<false>(parts[m], bytes, x),
                        };
                    });
                });
                x = x.add(quads * M);
                from = from.add(words * S::LANES);
            }
            let group = block / rows.blocks_per_group;
            let scale = S::load(columns.scales.as_ptr().add(group * S::LANES));
            unroll!(m in M, 8 => {
                let scale = S::mul(scale, S::splat(rows.scales[block * M + m]));
                sums[m] = S::fma(S::to_float(parts[m]), scale, sums[m]);
            });
        }
        for group in 0..groups {
            let offset = S::load(columns.offsets.as_ptr().add(group * S::LANES));
            unroll!(m in M, 8 => { sums[m] = S::fma(offset, S::splat(rows.sums[group * M + m]), sums[m]); });
        }
        unroll!(m in M, 8 => { S::store(out.as_mut_ptr().add(m * S::LANES), sums[m]); });
    }
}
