//! The one text of the micro-kernels that have vector instructions.

/// Rows and columns of the largest tile of any level.
pub const MAX_ROWS: usize = 12;
pub const MAX_COLS: usize = 32;

/// A tile's sums, row-major with `Level::tile_cols` columns.
pub type Tile<T = f32> = [T; MAX_ROWS * MAX_COLS];

/// The rows of A that a tile reads, packed or where they lie: step `k` of row `i` is
/// `data[starts[k / run] + i · lane + k % run · step]`.
#[derive(Clone, Copy)]
pub struct Lanes<'a, T = f32> {
    pub data: &'a [T],
    /// Distance of neighbouring rows.
    pub lane: usize,
    /// Distance of neighbouring steps of a run.
    pub step: usize,
    /// Where each run of steps begins; all are equally long.
    pub starts: &'a [usize],
    pub run: usize,
}

impl<'a, T> Lanes<'a, T> {
    /// One run of `depth` steps.
    pub fn new(data: &'a [T], lane: usize, step: usize, depth: usize) -> Self {
        Lanes { data, lane, step, starts: &[0], run: depth }
    }

    pub fn depth(&self) -> usize {
        self.starts.len() * self.run
    }

    /// Whether `data` holds every element of `rows` rows.
    pub fn holds(&self, rows: usize) -> bool {
        let (Some(&last), Some(run)) = (self.starts.iter().max(), self.run.checked_sub(1)) else { return true };
        let reach = |n: usize, distance: usize| n.checked_mul(distance);
        let end = reach(rows.saturating_sub(1), self.lane)
            .and_then(|rows| rows.checked_add(reach(run, self.step)?)?.checked_add(last));
        end.is_some_and(|end| end < self.data.len())
    }
}

/// What becomes of a tile's sums: `clamp(sum + bias[column])` goes to row `i`, from element `skip` on.
pub struct Output<'a, 'o, T = f32> {
    pub rows: &'a mut [&'o mut [T]],
    pub skip: usize,
    /// One value per column, or none at all.
    pub bias: &'a [T],
    /// Smallest and largest value; a NaN stays.
    pub range: (T, T),
}

/// Writes `fn kernel<ROWS, VECTORS>` with the accumulators in registers, and `fn name(rows, narrow, …)` that
/// picks the instance. Used by one file per instruction set, which supplies the instructions.
#[allow(unused_macros)] // on a processor without vector instructions
macro_rules! tile_kernel {
    (
        $(#[$meta:meta])* $name:ident of $element:ty, rows = $mr:literal [$($rows:literal)*], lanes = $lanes:literal,
        vector = $vector:ty, load = $load:expr, splat = $splat:expr, fma = $fma:expr, clamp = $clamp:expr,
        store = $store:expr $(,)?
    ) => {
        pub fn $name(
            rows: usize,
            narrow: bool,
            a: super::tile_kernel::Lanes<$element>,
            b: &[$element],
            out: super::tile_kernel::Output<$element>,
        ) {
            const NR: usize = 2 * $lanes;

            $(#[$meta])*
            fn kernel<const ROWS: usize, const VECTORS: usize>(
                lanes: super::tile_kernel::Lanes<$element>,
                b: &[$element],
                out: super::tile_kernel::Output<$element>,
            ) {
                const { assert!(ROWS <= $mr && (VECTORS == 1 || VECTORS == 2)) };
                let end = out.skip + VECTORS * $lanes;
                assert!(out.rows.len() == ROWS && out.rows.iter().all(|row| row.len() >= end));
                assert!(lanes.holds(ROWS) && b.len() >= lanes.depth() * NR);
                let mut b = b.as_ptr();
                // SAFETY: all bits 0 is the number 0.
                let mut sums: [[$vector; VECTORS]; ROWS] = unsafe { std::mem::zeroed() };
                let bias = out.bias.as_chunks::<$lanes>().0;
                if bias.len() >= VECTORS {
                    unroll!(v in VECTORS, 2 => {
                        // SAFETY: the array holds a vector.
                        let bias = unsafe { $load(bias[v].as_ptr()) };
                        unroll!(i in ROWS, 12 => { sums[i][v] = bias; });
                    });
                }
                for &start in lanes.starts {
                    // Only steps of the run are read, which the assertion holds.
                    let mut a = lanes.data.as_ptr().wrapping_add(start);
                    for _ in 0..lanes.run {
                        // SAFETY: step k reads b[k·NR ..][.. NR]; the assertion above holds depth·NR elements.
                        let first = unsafe { $load(b) };
                        // SAFETY: as above.
                        let second = if VECTORS > 1 { unsafe { $load(b.add($lanes)) } } else { first };
                        unroll!(i in ROWS, 12 => {
                            // SAFETY: element `i · lane` of step k, which the assertion holds.
                            let x = $splat(unsafe { *a.add(i * lanes.lane) });
                            sums[i][0] = $fma(x, first, sums[i][0]);
                            if VECTORS > 1 {
                                sums[i][VECTORS - 1] = $fma(x, second, sums[i][VECTORS - 1]);
                            }
                        });
                        a = a.wrapping_add(lanes.step);
                        b = b.wrapping_add(NR);
                    }
                }
                let (min, max) = ($splat(out.range.0), $splat(out.range.1));
                unroll!(i in ROWS, 12 => {
                    let row = out.rows[i][out.skip..].as_mut_ptr();
                    unroll!(v in VECTORS, 2 => {
                        // SAFETY: `skip + VECTORS · lanes` elements, which the assertion holds.
                        unsafe { $store(row.add(v * $lanes), $clamp(sums[i][v], min, max)) };
                    });
                });
            }

            match (rows, narrow) {
                $(
                    // SAFETY: the caller's `Level` proves the instruction set.
                    #[allow(unused_unsafe)]
                    ($rows, false) => unsafe { kernel::<$rows, 2>(a, b, out) },
                    // SAFETY: as above.
                    #[allow(unused_unsafe)]
                    ($rows, true) => unsafe { kernel::<$rows, 1>(a, b, out) },
                )*
                _ => {}
            }
        }
    };
}
#[allow(unused_imports)]
pub(super) use tile_kernel;
