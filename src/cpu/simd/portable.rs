//! The tile in plain Rust: 4 × 8 sums, as many as 16 registers of 4 lanes hold beside their operands.

use super::tile_kernel::{Lanes, Output};

const MR: usize = 4;
const NR: usize = 8;

pub fn tile(rows: usize, narrow: bool, a: Lanes, b: &[f32], out: Output) {
    let mut start = [0f32; NR];
    start.iter_mut().zip(out.bias).for_each(|(start, &bias)| *start = bias);
    let mut sums = [start; MR];
    for (at, b) in steps(a).zip(b.as_chunks::<NR>().0) {
        for (i, sums) in sums.iter_mut().enumerate().take(rows) {
            let x = a.data[at + i * a.lane];
            for (sum, &y) in sums.iter_mut().zip(b) {
                *sum += x * y;
            }
        }
    }
    let (min, max) = out.range;
    for (row, sums) in out.rows.iter_mut().zip(sums) {
        for (out, v) in row[out.skip..].iter_mut().zip(sums).take(if narrow { NR / 2 } else { NR }) {
            let low = if v < min { min } else { v };
            *out = if low > max { max } else { low };
        }
    }
}

/// Where each step of row 0 lies.
fn steps<T>(a: Lanes<T>) -> impl Iterator<Item = usize> {
    a.starts.iter().flat_map(move |start| (0..a.run).map(move |k| start + k * a.step))
}

/// The tile over words that are pairs of 16-bit integers.
pub fn pairs(rows: usize, a: Lanes<i32>, b: &[i32], out: Output<i32>) {
    let mut sums = [[0i32; NR]; MR];
    for (at, b) in steps(a).zip(b.as_chunks::<NR>().0) {
        for (i, sums) in sums.iter_mut().enumerate().take(rows) {
            let x = a.data[at + i * a.lane];
            for (sum, &y) in sums.iter_mut().zip(b) {
                let low = i32::from(x as i16) * i32::from(y as i16);
                *sum = sum.wrapping_add(low.wrapping_add((x >> 16) * (y >> 16)));
            }
        }
    }
    for (out, sums) in out.rows.iter_mut().zip(&sums) {
        out[..NR].copy_from_slice(sums);
    }
}
