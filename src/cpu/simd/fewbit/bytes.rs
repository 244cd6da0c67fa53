//! The kernels with activations of 8 bits, by instruction set and width of codes.

use super::super::Level;
use super::super::lanes::{Avx2, Avx512, Bytes};
use super::byte_dot::{ByteDot, byte_dot};
use super::byte_tile::{ByteColumns, ByteRows, byte_tile};
use super::tile::MAX_TILE;

/// The level whose kernels multiply bytes on this processor; `None` where there are none.
pub fn byte_level(level: Level) -> Option<Level> {
    match level {
        Level::Avx512 if is_x86_feature_detected!("avx512vnni") => Some(level),
        Level::Avx512 | Level::Avx2 => Some(Level::Avx2),
        _ => None,
    }
}

/// Whether there is a kernel for codes of `bits` bits that a table of bytes gives (`lookup`) or that are integers.
pub fn takes_bytes(bits: usize, lookup: bool) -> bool {
    if lookup { bits <= 4 } else { matches!(bits, 2..=6 | 8) }
}

/// What kernels take from a byte before they multiply.
pub fn byte_shift(level: Level, bits: usize, lookup: bool) -> f32 {
    match level {
        Level::Avx512 => <Avx512 as Bytes>::WIDE_SHIFT,
        Level::Avx2 if lookup || bits > 6 => <Avx2 as Bytes>::WIDE_SHIFT,
        _ => 0.0,
    }
}

/// Defines `fn $name(level, bits, lookup, …)`, which calls `$body::<S, BITS, LOOKUP>(…)`. `level` is of `byte_level`.
macro_rules! by_bytes {
    ($(#[$meta:meta])* pub fn $name:ident = $body:ident($($arg:ident: $ty:ty),* $(,)?)) => {
        $(#[$meta])*
        pub fn $name(level: Level, bits: usize, lookup: bool, $($arg: $ty),*) {
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
            fn avx512<const BITS: usize, const LOOKUP: bool>($($arg: $ty),*) {
                // SAFETY: this function has the features.
                unsafe { $body::<Avx512, BITS, LOOKUP>($($arg),*) }
            }
            #[target_feature(enable = "avx2,fma")]
            fn avx2<const BITS: usize, const LOOKUP: bool>($($arg: $ty),*) {
                // SAFETY: this function has the features.
                unsafe { $body::<Avx2, BITS, LOOKUP>($($arg),*) }
            }
            // SAFETY: `byte_level` found the features.
            unsafe {
                match (level, lookup, bits) {
                    (Level::Avx512, true, 1) => avx512::<1, true>($($arg),*),
                    (Level::Avx512, true, 2) => avx512::<2, true>($($arg),*),
                    (Level::Avx512, true, 3) => avx512::<3, true>($($arg),*),
                    (Level::Avx512, true, 4) => avx512::<4, true>($($arg),*),
                    (Level::Avx512, false, 2) => avx512::<2, false>($($arg),*),
                    (Level::Avx512, false, 3) => avx512::<3, false>($($arg),*),
                    (Level::Avx512, false, 4) => avx512::<4, false>($($arg),*),
                    (Level::Avx512, false, 5) => avx512::<5, false>($($arg),*),
                    (Level::Avx512, false, 6) => avx512::<6, false>($($arg),*),
                    (Level::Avx512, false, 8) => avx512::<8, false>($($arg),*),
                    (Level::Avx2, true, 1) => avx2::<1, true>($($arg),*),
                    (Level::Avx2, true, 2) => avx2::<2, true>($($arg),*),
                    (Level::Avx2, true, 3) => avx2::<3, true>($($arg),*),
                    (Level::Avx2, true, 4) => avx2::<4, true>($($arg),*),
                    (Level::Avx2, false, 2) => avx2::<2, false>($($arg),*),
                    (Level::Avx2, false, 3) => avx2::<3, false>($($arg),*),
                    (Level::Avx2, false, 4) => avx2::<4, false>($($arg),*),
                    (Level::Avx2, false, 5) => avx2::<5, false>($($arg),*),
                    (Level::Avx2, false, 6) => avx2::<6, false>($($arg),*),
                    (Level::Avx2, false, 8) => avx2::<8, false>($($arg),*),
                    _ => {}
                }
            }
        }
    };
}

by_bytes! {
    /// The sums of all rows of `codes`, `row_words` words each.
    pub fn dot_bytes = byte_dot(job: &ByteDot, codes: &[u8], row_words: usize, out: &mut [f32])
}

by_bytes! {
    /// `out[m · lanes + lane] = Σ x · w` for `m` rows of x, `MAX_TILE` or half of it.
    pub fn tile_bytes = tile_body(columns: &ByteColumns, rows: &ByteRows, m: usize, out: &mut [f32])
}

#[inline(always)]
unsafe fn tile_body<S: Bytes, const BITS: usize, const LOOKUP: bool>(
    columns: &ByteColumns,
    rows: &ByteRows,
    m: usize,
    out: &mut [f32],
) {
    // SAFETY: the caller's.
    unsafe {
        match m {
            MAX_TILE => byte_tile::<S, BITS, LOOKUP, MAX_TILE>(columns, rows, out),
            _ => byte_tile::<S, BITS, LOOKUP, { MAX_TILE / 2 }>(columns, rows, out),
        }
    }
}
