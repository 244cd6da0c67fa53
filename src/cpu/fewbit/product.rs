//! Which kernels a product takes.

use super::activations::Activations;
use super::source::Source;
use super::{blocks, byte_products, dots, tiles};
use crate::cpu::Threads;
use crate::cpu::gemm::epilogue::{Epilogue, finish};
use crate::cpu::simd::fewbit::lanes;
use crate::cpu::simd::lanes::MAX_LANES;

/// Rows of x that are put in order at once: with 2048 columns, half of a 1 MiB second-level cache.
const MAX_ROWS: usize = 64;
/// Up to here a product row by row is quicker than a tile.
const FEW_ROWS: usize = 3;

/// From here on a packed product is quicker where vectors have few lanes: its tiles are two vectors wide.
const MANY_ROWS: usize = 16;

/// `out = epilogue(x · Wᵀ)` for `m` rows of x; `false` where a packed product is better or no
/// kernel takes this weight, and nothing was done.
pub fn product(
    threads: &Threads,
    x: &[f32],
    m: usize,
    source: &Source,
    activations: Activations,
    epilogue: &Epilogue,
    out: &mut [f32],
) -> bool {
    let (n, k, level) = (source.rows, source.cols, threads.level());
    let bytes = match activations {
        Activations::F32 => None,
        Activations::Int8 => byte_products::takes(level, source),
    };
    let lanes = lanes(bytes.map_or(level, |(level, _)| level));
    let (dots, tiles) = (dots::takes(source, lanes), tiles::takes(source, lanes));
    let by_blocks = m <= FEW_ROWS && bytes.is_some_and(|(level, block)| blocks::takes(level, source, block));
    let packed = bytes.is_none() && m >= MANY_ROWS && lanes < MAX_LANES;
    if k == 0 || packed || !(dots || tiles || by_blocks) {
        return false;
    }
    if m * n == 0 {
        return true;
    }
    let by_dots = dots && (m <= FEW_ROWS || !tiles);
    for (i, (x, out)) in x.chunks(MAX_ROWS * k).zip(out.chunks_mut(MAX_ROWS * n)).enumerate() {
        match (bytes, by_dots) {
            (Some((_, block)), _) if by_blocks => blocks::product(threads, block, x, source, out),
            (None, true) => dots::product(threads, x, source, out),
            (None, false) => tiles::product(threads, x, source, out),
            (Some((level, block)), true) => byte_products::by_dots(threads, level, block, x, source, out),
            (Some((level, block)), false) => byte_products::by_tiles(threads, level, block, x, source, out),
        }
        let rows = out.chunks_mut(n).enumerate().collect();
        threads.for_each(rows, |(row, out)| finish(level, out, i * MAX_ROWS + row, 0, n, epilogue));
    }
    true
}
