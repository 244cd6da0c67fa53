//! The inner kernel of every product: a tile of `rows × cols` sums in registers over a panel of A and a panel of B.

use super::Level;
pub use super::tile_kernel::{Lanes, MAX_COLS, MAX_ROWS, Output, Tile};

impl Level {
    /// Rows of a full tile: lanes of an A panel.
    pub fn tile_rows(self) -> usize {
        match self {
            Level::Avx512 => 12,
            Level::Avx2 => 6,
            Level::Neon => 8,
            Level::Simd128 | Level::Portable => 4,
        }
    }

    /// Columns of a full tile: lanes of a B panel. Two vectors.
    pub fn tile_cols(self) -> usize {
        match self {
            Level::Avx512 => 32,
            Level::Avx2 => 16,
            Level::Neon | Level::Simd128 | Level::Portable => 8,
        }
    }
}

/// `clamp(bias[j] + Σₖ a[k, i] · b[k, j])` for the rows of `out` and `j < cols`, columns up to the next whole vector may
/// be written too.
///
/// `a`: rows of `depth` steps; `b`: `[depth, tile_cols]`; 1 to `tile_rows` rows, `cols ≤ tile_cols`.
#[allow(unused_variables, reason = "targets without vectors have one width")]
pub fn multiply_into(level: Level, cols: usize, a: Lanes, b: &[f32], out: Output) {
    let (rows, nr) = (out.rows.len(), level.tile_cols());
    assert!(rows >= 1 && rows <= level.tile_rows() && cols <= nr);
    let narrow = cols <= nr / 2;
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => super::x86::tile_avx512(rows, narrow, a, b, out),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => super::x86::tile_avx2(rows, narrow, a, b, out),
        #[cfg(target_arch = "aarch64")]
        Level::Neon => super::neon::tile(rows, narrow, a, b, out),
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        Level::Simd128 => super::wasm::tile(rows, narrow, a, b, out),
        _ => super::portable::tile(rows, narrow, a, b, out),
    }
}

/// The sums alone, `out[i · tile_cols + j]`.
pub fn multiply(level: Level, rows: usize, cols: usize, a: Lanes, b: &[f32], out: &mut Tile) {
    let mut slots = split(out, level.tile_cols());
    let range = (f32::NEG_INFINITY, f32::INFINITY);
    multiply_into(level, cols, a, b, Output { rows: &mut slots[..rows], skip: 0, bias: &[], range });
}

fn split<T>(tile: &mut Tile<T>, width: usize) -> [&mut [T]; MAX_ROWS] {
    let mut rows = tile.chunks_exact_mut(width);
    std::array::from_fn(|_| rows.next().unwrap_or_default())
}

/// `multiply` over words that are pairs of 16-bit integers: `out[i, j] = Σₖ a[k, i]·b[k, j]` summed over both halves,
/// exact as long as the sum fits 32 bits.
#[allow(unused_variables, reason = "targets without vectors have one width")]
pub fn multiply_pairs(level: Level, rows: usize, cols: usize, a: Lanes<i32>, b: &[i32], out: &mut Tile<i32>) {
    let nr = level.tile_cols();
    assert!(rows >= 1 && rows <= level.tile_rows() && cols <= nr);
    let narrow = cols <= nr / 2;
    let out = Output { rows: &mut split(out, nr)[..rows], skip: 0, bias: &[], range: (i32::MIN, i32::MAX) };
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => super::x86::pairs_avx512(rows, narrow, a, b, out),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => super::x86::pairs_avx2(rows, narrow, a, b, out),
        #[cfg(target_arch = "aarch64")]
        Level::Neon => super::neon::pairs(rows, narrow, a, b, out),
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        Level::Simd128 => super::wasm::pairs(rows, narrow, a, b, out),
        _ => super::portable::pairs(rows, a, b, out),
    }
}
