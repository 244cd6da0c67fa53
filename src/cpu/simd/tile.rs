//! The inner kernel of every product: a tile of `rows × cols` sums in registers over a panel of A and a panel of B.

use super::Level;
pub use super::tile_kernel::{MAX_COLS, MAX_ROWS, Tile};

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

/// `out[i, j] = Σₖ a[k, i] · b[k, j]` for `i < rows`, `j < cols` (columns beyond may be written too).
///
/// `a`: `[depth, tile_rows]`, `b`: `[depth, tile_cols]`, `rows ≤ tile_rows`, `cols ≤ tile_cols`, `rows ≥ 1`.
#[allow(unused_variables, reason = "targets without vectors have one width")]
pub fn multiply(level: Level, depth: usize, rows: usize, cols: usize, a: &[f32], b: &[f32], out: &mut Tile) {
    let (mr, nr) = (level.tile_rows(), level.tile_cols());
    // The kernels rely on these to read and write without further checks.
    assert!(rows >= 1 && rows <= mr && cols <= nr);
    let (a, b) = (&a[..depth * mr], &b[..depth * nr]);
    let narrow = cols <= nr / 2;
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => super::x86::tile_avx512(depth, rows, narrow, a, b, out),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => super::x86::tile_avx2(depth, rows, narrow, a, b, out),
        #[cfg(target_arch = "aarch64")]
        Level::Neon => super::neon::tile(depth, rows, narrow, a, b, out),
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        Level::Simd128 => super::wasm::tile(depth, rows, narrow, a, b, out),
        _ => super::portable::tile(rows, a, b, out),
    }
}

/// `multiply` over words that are pairs of 16-bit integers: `out[i, j] = Σₖ a[k, i]·b[k, j]` summed over both halves,
/// exact as long as the sum fits 32 bits.
#[allow(unused_variables, reason = "targets without vectors have one width")]
pub fn multiply_pairs(level: Level, depth: usize, rows: usize, cols: usize, a: &[i32], b: &[i32], out: &mut Tile<i32>) {
    let (mr, nr) = (level.tile_rows(), level.tile_cols());
    assert!(rows >= 1 && rows <= mr && cols <= nr);
    let (a, b) = (&a[..depth * mr], &b[..depth * nr]);
    let narrow = cols <= nr / 2;
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => super::x86::pairs_avx512(depth, rows, narrow, a, b, out),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => super::x86::pairs_avx2(depth, rows, narrow, a, b, out),
        #[cfg(target_arch = "aarch64")]
        Level::Neon => super::neon::pairs(depth, rows, narrow, a, b, out),
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        Level::Simd128 => super::wasm::pairs(depth, rows, narrow, a, b, out),
        _ => super::portable::pairs(rows, a, b, out),
    }
}
