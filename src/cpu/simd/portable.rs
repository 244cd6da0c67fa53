//! The tile in plain Rust: 4 × 8 sums, as many as 16 registers of 4 lanes hold beside their operands.

use super::tile_kernel::Tile;

const MR: usize = 4;
const NR: usize = 8;

pub fn tile(rows: usize, a: &[f32], b: &[f32], out: &mut Tile) {
    let mut sums = [[0f32; NR]; MR];
    for (a, b) in a.as_chunks::<MR>().0.iter().zip(b.as_chunks::<NR>().0) {
        for (sums, &x) in sums.iter_mut().zip(a) {
            for (sum, &y) in sums.iter_mut().zip(b) {
                *sum += x * y;
            }
        }
    }
    for (out, sums) in out.chunks_exact_mut(NR).zip(&sums).take(rows) {
        out.copy_from_slice(sums);
    }
}

/// The tile over words that are pairs of 16-bit integers.
pub fn pairs(rows: usize, a: &[i32], b: &[i32], out: &mut Tile<i32>) {
    let mut sums = [[0i32; NR]; MR];
    for (a, b) in a.as_chunks::<MR>().0.iter().zip(b.as_chunks::<NR>().0) {
        for (sums, &x) in sums.iter_mut().zip(a) {
            for (sum, &y) in sums.iter_mut().zip(b) {
                let low = i32::from(x as i16) * i32::from(y as i16);
                *sum = sum.wrapping_add(low.wrapping_add((x >> 16) * (y >> 16)));
            }
        }
    }
    for (out, sums) in out.chunks_exact_mut(NR).zip(&sums).take(rows) {
        out.copy_from_slice(sums);
    }
}
