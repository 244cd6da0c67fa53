//! Parts of an output for the threads.

use crate::cpu::Threads;
use crate::cpu::gemm::column_parts;

/// Cuts the columns of `out`, `[m, n]`, into parts for the threads and calls `work` with the first column and the rows
/// of each. Parts begin with multiples of `unit`.
pub fn divide(
    threads: &Threads,
    n: usize,
    unit: usize,
    out: &mut [f32],
    work: impl Fn(usize, &mut [&mut [f32]]) + Sync + Send,
) {
    // More parts than threads, so that a late one evens out.
    let parts = if threads.count() == 1 { 1 } else { 4 * threads.count() };
    let width = n.div_ceil(parts).next_multiple_of(unit);
    let parts = column_parts(out, n, width).into_iter().enumerate().collect();
    threads.for_each(parts, |(i, mut rows): (usize, Vec<&mut [f32]>)| work(i * width, &mut rows));
}
