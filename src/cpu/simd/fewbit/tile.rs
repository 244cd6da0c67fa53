//! Some rows of activations: a lane holds a unit of its own weight row, and every decoded vector is used for all rows
//! of x.

use super::super::lanes::{Lanes, MAX_LANES};
use super::super::unroll::unroll;
use super::quads::Unit;
use super::values::Values;

/// Rows of x of the larger of two tiles; the smaller has half.
pub const MAX_TILE: usize = 8;

/// As many rows of a weight as there are lanes, brought into lanes.
pub struct Columns<'a> {
    /// `[words of a row, lanes]`, whole units.
    pub words: &'a [u32],
    /// Values of all codes, repeated to 64.
    pub table: &'a [f32; 64],
    /// `[groups, lanes]`
    pub scales: &'a [f32],
    /// Likewise: what is added to the values of a group. Empty: nothing.
    pub zeros: &'a [f32],
    /// Likewise: what is added to the weights of a group. Empty: nothing.
    pub offsets: &'a [f32],
    pub group_units: usize,
}

/// Rows of x in the order of codes.
pub struct Rows<'a> {
    /// `[units, quads, 4, M]`, zeros behind the end of x.
    pub x: &'a [f32],
    /// `[groups, M]`: sums of x.
    pub sums: &'a [f32],
    pub units: usize,
}

/// `out[m · lanes + lane] = Σ x · w`.
///
/// # Safety
/// That of `Lanes`.
#[inline(always)]
pub unsafe fn tile<S: Lanes, const BITS: usize, const LOOKUP: bool, const SHIFT: bool, const M: usize>(
    columns: &Columns,
    rows: &Rows,
    out: &mut [f32],
) {
    let (codes, words) = (Unit::<BITS>::CODES, Unit::<BITS>::WORDS);
    let groups = rows.units.div_ceil(columns.group_units);
    let offset = !columns.offsets.is_empty();
    assert!(rows.x.len() >= rows.units * codes * M && columns.words.len() >= rows.units * words * S::LANES);
    assert!(columns.scales.len() >= groups * S::LANES && out.len() >= M * S::LANES);
    assert!(!offset || columns.offsets.len() >= groups * S::LANES && rows.sums.len() >= groups * M);
    assert!(!SHIFT || columns.zeros.len() >= groups * S::LANES);
    // SAFETY: the caller's, and the assertions above.
    unsafe {
        let mut values = Values::<S>::new::<BITS>(columns.table);
        let mut sums = [S::zero(); M];
        let (mut x, mut from) = (rows.x.as_ptr(), columns.words.as_ptr());
        for group in 0..groups {
            let mut parts = [S::zero(); M];
            if SHIFT {
                values = values.shifted(S::load(columns.zeros.as_ptr().add(group * S::LANES)));
            }
            for _ in 0..columns.group_units.min(rows.units - group * columns.group_units) {
                let mut unit = [S::splat_word(0); 5];
                unroll!(w in Unit::<BITS>::WORDS, 5 => { unit[w] = S::load_words(from.add(w * S::LANES)); });
                unroll!(q in Unit::<BITS>::QUADS, 8 => {
                    let quad = Unit::<BITS>::quad::<S>(&unit, q, !(LOOKUP && S::IGNORES_HIGH_BITS));
                    let weights = values.of::<BITS, LOOKUP, SHIFT>(quad);
                    unroll!(i in 4 => {
                        unroll!(m in M, 8 => {
                            parts[m] = S::fma(weights[i], S::splat(*x.add((4 * q + i) * M + m)), parts[m]);
                        });
                    });
                });
                x = x.add(codes * M);
                from = from.add(words * S::LANES);
            }
            let scale = S::load(columns.scales.as_ptr().add(group * S::LANES));
            unroll!(m in M, 8 => { sums[m] = S::fma(parts[m], scale, sums[m]); });
            if offset {
                let offset = S::load(columns.offsets.as_ptr().add(group * S::LANES));
                unroll!(m in M, 8 => { sums[m] = S::fma(offset, S::splat(rows.sums[group * M + m]), sums[m]); });
            }
        }
        unroll!(m in M, 8 => { S::store(out.as_mut_ptr().add(m * S::LANES), sums[m]); });
    }
}

/// Weights of units `first .. first + depth / codes` as a panel: weight `k` of lane `i` goes to `panel[k · width + i]`.
///
/// # Safety
/// That of `Lanes`.
#[inline(always)]
pub unsafe fn decode<S: Lanes, const BITS: usize, const LOOKUP: bool, const SHIFT: bool>(
    columns: &Columns,
    first: usize,
    depth: usize,
    width: usize,
    panel: &mut [f32],
) {
    let (codes, words) = (Unit::<BITS>::CODES, Unit::<BITS>::WORDS);
    let units = depth.div_ceil(codes);
    let groups = (first + units).div_ceil(columns.group_units);
    let offset = !columns.offsets.is_empty();
    assert!(columns.words.len() >= units * words * S::LANES && columns.scales.len() >= groups * S::LANES);
    assert!(!offset || columns.offsets.len() >= groups * S::LANES);
    assert!(depth == 0 || panel.len() >= (depth - 1) * width + S::LANES);
    assert!(!SHIFT || columns.zeros.len() >= groups * S::LANES);
    // SAFETY: the caller's, and the assertions above.
    unsafe {
        let mut values = Values::<S>::new::<BITS>(columns.table);
        let mut from = columns.words.as_ptr();
        for unit in 0..units {
            let group = (first + unit) / columns.group_units;
            let scale = S::load(columns.scales.as_ptr().add(group * S::LANES));
            let add = if offset { S::load(columns.offsets.as_ptr().add(group * S::LANES)) } else { S::zero() };
            if SHIFT {
                values = values.shifted(S::load(columns.zeros.as_ptr().add(group * S::LANES)));
            }
            let mut part = [S::splat_word(0); 5];
            unroll!(w in Unit::<BITS>::WORDS, 5 => { part[w] = S::load_words(from.add(w * S::LANES)); });
            from = from.add(words * S::LANES);
            unroll!(q in Unit::<BITS>::QUADS, 8 => {
                let quad = Unit::<BITS>::quad::<S>(&part, q, !(LOOKUP && S::IGNORES_HIGH_BITS));
                let weights = values.of::<BITS, LOOKUP, SHIFT>(quad);
                unroll!(i in 4 => {
                    let k = unit * codes + Unit::<BITS>::POSITION[q][i];
                    if k < depth {
                        S::store(panel.as_mut_ptr().add(k * width), S::fma(weights[i], scale, add));
                    }
                });
            });
        }
    }
}

/// Words `start ..` of `rows` rows of `row_words`, brought into lanes: `words[k · lanes + row]`, zeros behind a row's end. Lanes
/// without a row repeat the last.
///
/// # Safety
/// That of `Lanes`.
#[inline(always)]
pub unsafe fn turn<S: Lanes>(codes: &[u8], row_words: usize, rows: usize, start: usize, words: &mut [u32]) {
    assert!(rows > 0 && codes.len() >= 4 * row_words * rows && start <= row_words);
    let count = words.len() / S::LANES;
    let whole = count.min(row_words - start) / S::LANES;
    for block in 0..count.div_ceil(S::LANES) {
        let at = start + block * S::LANES;
        // SAFETY: the assertion holds whole blocks of all rows.
        let mut from: [*const u32; MAX_LANES] =
            std::array::from_fn(|i| unsafe { codes.as_ptr().cast::<u32>().add(i.min(rows - 1) * row_words + at) });
        if block < whole {
            let to = &mut words[block * S::LANES * S::LANES..][..S::LANES * S::LANES];
            // SAFETY: `to` has room for a block.
            unsafe { S::transpose(&from, to.as_mut_ptr()) };
            continue;
        }
        let (mut padded, mut square) = ([[0u32; MAX_LANES]; MAX_LANES], [0u32; MAX_LANES * MAX_LANES]);
        for (i, padded) in padded.iter_mut().enumerate() {
            let row = &codes[4 * row_words * i.min(rows - 1)..][..4 * row_words];
            let rest = row.get(4 * at..).unwrap_or(&[]);
            let rest = &rest[..rest.len().min(4 * S::LANES)];
            bytemuck::cast_slice_mut(padded)[..rest.len()].copy_from_slice(rest);
            from[i] = padded.as_ptr();
        }
        // SAFETY: both sides hold a block.
        unsafe { S::transpose(&from, square.as_mut_ptr()) };
        let to = &mut words[block * S::LANES * S::LANES..];
        let len = to.len().min(S::LANES * S::LANES);
        to[..len].copy_from_slice(&square[..len]);
    }
}
