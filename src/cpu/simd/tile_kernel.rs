//! The one text of the micro-kernels that have vector instructions.

/// Rows and columns of the largest tile of any level.
pub const MAX_ROWS: usize = 12;
pub const MAX_COLS: usize = 32;

/// A tile's sums, row-major with `Level::tile_cols` columns.
pub type Tile<T = f32> = [T; MAX_ROWS * MAX_COLS];

/// Writes `fn kernel<ROWS, VECTORS>` with the accumulators in registers, and `fn name(depth, rows, narrow, …)` that
/// picks the instance. Used by one file per instruction set, which supplies the instructions.
#[allow(unused_macros)] // on a processor without vector instructions
macro_rules! tile_kernel {
    (
        $(#[$meta:meta])* $name:ident of $element:ty, rows = $mr:literal [$($rows:literal)*], lanes = $lanes:literal,
        zero = $zero:expr, load = $load:expr, splat = $splat:expr, fma = $fma:expr, store = $store:expr $(,)?
    ) => {
        pub fn $name(
            depth: usize,
            rows: usize,
            narrow: bool,
            a: &[$element],
            b: &[$element],
            out: &mut super::tile_kernel::Tile<$element>,
        ) {
            const MR: usize = $mr;
            const NR: usize = 2 * $lanes;

            $(#[$meta])*
            fn kernel<const ROWS: usize, const VECTORS: usize>(
                depth: usize,
                a: &[$element],
                b: &[$element],
                out: &mut [$element],
            ) {
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
#[allow(unused_imports)]
pub(super) use tile_kernel;
