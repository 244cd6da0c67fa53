//! How codes become numbers at a level.

use super::Level;

/// By a lookup in registers or by conversion of the integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoding {
    Lookup,
    Convert,
}

/// What is quicker at a level, or `None` where there is no kernel. `palette`: any table of values, else the integers
/// `code − 2^(bits − 1)`, of which `Lookup` is given a table too.
pub fn decoding(level: Level, bits: usize, palette: bool) -> Option<Decoding> {
    let widest = match (level, palette) {
        (Level::Avx512, true) => 6,
        (Level::Avx512, false) | (Level::Avx2 | Level::Neon | Level::Simd128, true) => 4,
        (Level::Avx2, false) => 3,
        (Level::Neon | Level::Simd128, false) => 0,
        (Level::Portable, _) => return None,
    };
    match bits {
        1 | 2 | 3 | 4 | 6 if bits <= widest => Some(Decoding::Lookup),
        2..=6 | 8 if !palette => Some(Decoding::Convert),
        _ => None,
    }
}
