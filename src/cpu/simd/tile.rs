//! The inner kernel of every product: a tile of `rows × cols` sums in registers over a panel of A and a panel of B.

use super::Level;

/// Rows and columns of the largest tile of any level.
pub const MAX_ROWS: usize = 12;
pub const MAX_COLS: usize = 32;

/// A tile's sums, row-major with `Level::tile_cols` columns.
pub type Tile = [f32; MAX_ROWS * MAX_COLS];

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

/// Writes `fn kernel<ROWS, VECTORS>` with the accumulators in registers, and `fn name(depth, rows, narrow, …)` that
/// picks the instance. Used by one file per instruction set, which supplies the instructions.
macro_rules! tile_kernel {
    (
        $(#[$meta:meta])* $name:ident, rows = $mr:literal [$($rows:literal)*], lanes = $lanes:literal,
        zero = $zero:expr, load = $load:expr, splat = $splat:expr, fma = $fma:expr, store = $store:expr $(,)?
    ) => {
        pub fn $name(depth: usize, rows: usize, narrow: bool, a: &[f32], b: &[f32], out: &mut super::tile::Tile) {
            const MR: usize = $mr;
            const NR: usize = 2 * $lanes;

            $(#[$meta])*
            fn kernel<const ROWS: usize, const VECTORS: usize>(depth: usize, a: &[f32], b: &[f32], out: &mut [f32]) {
                assert!(ROWS <= MR && VECTORS <= 2);
                assert!(a.len() >= depth * MR && b.len() >= depth * NR && out.len() >= MR * NR);
                let (mut a, mut b) = (a.as_ptr(), b.as_ptr());
                let mut sums = [[$zero; VECTORS]; ROWS];
                for _ in 0..depth {
                    let mut column = [$zero; VECTORS];
                    for v in 0..VECTORS {
                        // SAFETY: step k reads b[k·NR ..][.. NR]; the assertion above holds depth·NR elements.
                        column[v] = unsafe { $load(b.add(v * $lanes)) };
                    }
                    for i in 0..ROWS {
                        // SAFETY: step k reads a[k·MR + i], i < MR; the assertion holds depth·MR elements.
                        let x = $splat(unsafe { *a.add(i) });
                        for v in 0..VECTORS {
                            sums[i][v] = $fma(x, column[v], sums[i][v]);
                        }
                    }
                    // SAFETY: at most one past the end of both panels, after the last step.
                    unsafe {
                        a = a.add(MR);
                        b = b.add(NR);
                    }
                }
                for i in 0..ROWS {
                    for v in 0..VECTORS {
                        // SAFETY: i < MR and v < 2, and `out` holds MR·NR elements.
                        unsafe { $store(out.as_mut_ptr().add(i * NR + v * $lanes), sums[i][v]) };
                    }
                }
            }

            match (rows, narrow) {
                $(
                    // SAFETY: the caller's `Level` proves the instruction set.
                    #[allow(unused_unsafe)]
                    ($rows, false) => unsafe { kernel::<$rows, 2>(depth, a, b, out) },
                    // SAFETY: as above.
                    #[allow(unused_unsafe)]
                    ($rows, true) => unsafe { kernel::<$rows, 1>(depth, a, b, out) },
                )*
                _ => {}
            }
        }
    };
}
pub(super) use tile_kernel;
