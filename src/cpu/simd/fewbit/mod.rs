//! Products with few-bit weights: a decode stage (`quads`, `values`) that the kernels share. What is added are
//! encodings to stages and products to kernels; each pair is compiled, none is written.

mod block_dot;
mod block_line;
mod block_steps;
mod byte_dot;
mod byte_tile;
mod bytes;
mod dot;
mod lines;
mod quads;
mod tile;
mod values;

pub use block_dot::{BlockDot, block_dot};
pub use block_line::BlockLine;
pub use block_steps::available as has_block_dot;
pub use byte_dot::ByteDot;
pub use byte_tile::{ByteColumns, ByteRows};
pub use bytes::{byte_level, byte_shift, dot_bytes, takes_bytes, tile_bytes};
pub use dot::Dot;
use dot::{PLAIN, SCALED, ZEROS};
pub use lines::Lines;
pub use quads::order;
pub use tile::{Columns, MAX_TILE, Rows};

use super::Level;
use super::decoding::Decoding;
use super::lanes::{Avx2, Avx512, Lanes};

/// Lanes of a level that has kernels.
pub fn lanes(level: Level) -> usize {
    match level {
        Level::Avx512 => 16,
        Level::Avx2 => 8,
        _ => 4,
    }
}

/// Defines `fn $name(level, bits, decoding, …)`, which calls `$body::<S, BITS, LOOKUP>(…)` of a level: one arm for each
/// pair that `decoding` names.
macro_rules! staged {
    ($(#[$meta:meta])* pub fn $name:ident = $body:ident($($arg:ident: $ty:ty),* $(,)?)) => {
        $(#[$meta])*
        pub fn $name(level: Level, bits: usize, decoding: Decoding, $($arg: $ty),*) {
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
            fn avx512<const BITS: usize, const LOOKUP: bool>($($arg: $ty),*) {
                // SAFETY: this function has the features.
                unsafe { $body::<Avx512, BITS, LOOKUP>($($arg),*) }
            }
            #[target_feature(enable = "avx2,fma")]
            fn avx2<const BITS: usize, const LOOKUP: bool>($($arg: $ty),*) {
                // SAFETY: this function has the features.
                unsafe { $body::<Avx2, BITS, LOOKUP>($($arg),*) }
            }
            // SAFETY: `Level::available` found the features before anybody could hold the value.
            unsafe {
                match (level, decoding, bits) {
                    (Level::Avx512, Decoding::Lookup, 1) => avx512::<1, true>($($arg),*),
                    (Level::Avx512, Decoding::Lookup, 2) => avx512::<2, true>($($arg),*),
                    (Level::Avx512, Decoding::Lookup, 3) => avx512::<3, true>($($arg),*),
                    (Level::Avx512, Decoding::Lookup, 4) => avx512::<4, true>($($arg),*),
                    (Level::Avx512, Decoding::Lookup, 6) => avx512::<6, true>($($arg),*),
                    (Level::Avx512, Decoding::Convert, 5) => avx512::<5, false>($($arg),*),
                    (Level::Avx512, Decoding::Convert, 6) => avx512::<6, false>($($arg),*),
                    (Level::Avx512, Decoding::Convert, 8) => avx512::<8, false>($($arg),*),
                    (Level::Avx2, Decoding::Lookup, 1) => avx2::<1, true>($($arg),*),
                    (Level::Avx2, Decoding::Lookup, 2) => avx2::<2, true>($($arg),*),
                    (Level::Avx2, Decoding::Lookup, 3) => avx2::<3, true>($($arg),*),
                    (Level::Avx2, Decoding::Lookup, 4) => avx2::<4, true>($($arg),*),
                    (Level::Avx2, Decoding::Convert, 4) => avx2::<4, false>($($arg),*),
                    (Level::Avx2, Decoding::Convert, 5) => avx2::<5, false>($($arg),*),
                    (Level::Avx2, Decoding::Convert, 6) => avx2::<6, false>($($arg),*),
                    (Level::Avx2, Decoding::Convert, 8) => avx2::<8, false>($($arg),*),
                    _ => {}
                }
            }
        }
    };
}

staged! {
    /// The sums of all rows of `codes`, `row_words` words each, without their padding.
    pub fn dot = dot_body(job: &Dot, codes: &[u8], row_words: usize, out: &mut [f32])
}

#[inline(always)]
unsafe fn dot_body<S: Lanes, const BITS: usize, const LOOKUP: bool>(
    job: &Dot,
    codes: &[u8],
    row_words: usize,
    out: &mut [f32],
) {
    // SAFETY: the caller's.
    unsafe {
        match (job.lines.scales.is_empty(), job.zeros) {
            (true, _) => dot::dot::<S, BITS, LOOKUP, PLAIN>(job, codes, row_words, out),
            (_, false) => dot::dot::<S, BITS, LOOKUP, SCALED>(job, codes, row_words, out),
            (_, true) => dot::dot::<S, BITS, LOOKUP, ZEROS>(job, codes, row_words, out),
        }
    }
}

staged! {
    /// `out[m · lanes + lane] = Σ x · w` for `m` rows of x, `MAX_TILE` or half of it.
    pub fn tile = tile_body(columns: &Columns, rows: &Rows, m: usize, out: &mut [f32])
}

#[inline(always)]
unsafe fn tile_body<S: Lanes, const BITS: usize, const LOOKUP: bool>(
    columns: &Columns,
    rows: &Rows,
    m: usize,
    out: &mut [f32],
) {
    // SAFETY: the caller's.
    unsafe {
        match (m, columns.zeros.is_empty()) {
            (MAX_TILE, true) => tile::tile::<S, BITS, LOOKUP, false, MAX_TILE>(columns, rows, out),
            (MAX_TILE, false) => tile::tile::<S, BITS, LOOKUP, true, MAX_TILE>(columns, rows, out),
            (_, true) => tile::tile::<S, BITS, LOOKUP, false, { MAX_TILE / 2 }>(columns, rows, out),
            (_, false) => tile::tile::<S, BITS, LOOKUP, true, { MAX_TILE / 2 }>(columns, rows, out),
        }
    }
}

staged! {
    /// Weights of units `first ..` as a panel: weight `k < depth` of lane `i` goes to `panel[k · width + i]`.
    pub fn decode = decode_body(columns: &Columns, first: usize, depth: usize, width: usize, panel: &mut [f32])
}

#[inline(always)]
unsafe fn decode_body<S: Lanes, const BITS: usize, const LOOKUP: bool>(
    columns: &Columns,
    first: usize,
    depth: usize,
    width: usize,
    panel: &mut [f32],
) {
    // SAFETY: the caller's.
    unsafe {
        match columns.zeros.is_empty() {
            true => tile::decode::<S, BITS, LOOKUP, false>(columns, first, depth, width, panel),
            false => tile::decode::<S, BITS, LOOKUP, true>(columns, first, depth, width, panel),
        }
    }
}

/// Words `start ..` of `rows` rows, brought into lanes.
pub fn turn(level: Level, codes: &[u8], row_words: usize, rows: usize, start: usize, words: &mut [u32]) {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
    fn avx512(codes: &[u8], row_words: usize, rows: usize, start: usize, words: &mut [u32]) {
        // SAFETY: this function has the features.
        unsafe { tile::turn::<Avx512>(codes, row_words, rows, start, words) }
    }
    #[target_feature(enable = "avx2,fma")]
    fn avx2(codes: &[u8], row_words: usize, rows: usize, start: usize, words: &mut [u32]) {
        // SAFETY: this function has the features.
        unsafe { tile::turn::<Avx2>(codes, row_words, rows, start, words) }
    }
    // SAFETY: `Level::available` found the features before anybody could hold the value.
    unsafe {
        match level {
            Level::Avx512 => avx512(codes, row_words, rows, start, words),
            Level::Avx2 => avx2(codes, row_words, rows, start, words),
            _ => {}
        }
    }
}
