//! The inverse DCT of 8×8 blocks in integers: the "slow" method of libjpeg, bit for bit.
//!
//! It is the factorisation of Loeffler, Ligtenberg and Moschytz (ICASSP 1989) with constants rounded to 13 bits. Nothing
//! is rounded inside a row, so that the odd half may be written as a matrix of sums of those rounded constants.

use std::num::Wrapping;

/// Fraction bits of the constants.
const CONSTANT: usize = 13;
/// Fraction bits that rows keep for the columns.
const BETWEEN: usize = 2;

type Int = Wrapping<i32>;

const fn int(value: i32) -> Int {
    Wrapping(value)
}

/// What inputs 1, 3, 5, 7 add to outputs 0–3, and take from outputs 7–4.
const ODD: [[Int; 4]; 4] = [
    [int(11363), int(9633), int(6437), int(2260)],
    [int(9633), int(-2259), int(-11362), int(-6436)],
    [int(6437), int(-11362), int(2261), int(9633)],
    [int(2260), int(-6436), int(9633), int(-11363)],
];

/// Eight values with `CONSTANT` fraction bits more. Values out of a valid file's range wrap.
fn transform(x: [Int; 8]) -> [Int; 8] {
    let (sum, difference) = ((x[0] + x[4]) << CONSTANT, (x[0] - x[4]) << CONSTANT);
    let outer = x[2] * int(4433 + 6270) + x[6] * int(4433);
    let inner = x[2] * int(4433) + x[6] * int(4433 - 15137);
    let even = [sum + outer, difference + inner, difference - inner, sum - outer];
    let mut y = [int(0); 8];
    for (i, row) in ODD.iter().enumerate() {
        let odd = row[0] * x[1] + row[1] * x[3] + row[2] * x[5] + row[3] * x[7];
        y[i] = even[i] + odd;
        y[7 - i] = even[i] - odd;
    }
    y
}

fn rounded(value: Int, bits: usize) -> Int {
    (value + (int(1) << (bits - 1))) >> bits
}

/// Coefficients in row order times `quantum`, to samples 0–255 in `out`, whose rows are `stride` apart.
pub fn samples(coefficients: &[i16], quantum: &[u16; 64], out: &mut [u8], stride: usize) {
    let mut block = [int(0); 64];
    for ((value, &c), &q) in block.iter_mut().zip(coefficients).zip(quantum) {
        // Sixteen bits hold what a valid file can say; other files' values wrap.
        *value = int(i32::from(i32::from(c).wrapping_mul(i32::from(q)) as i16));
    }
    for x in 0..8 {
        let column = transform(std::array::from_fn(|y| block[8 * y + x]));
        for (y, value) in column.into_iter().enumerate() {
            block[8 * y + x] = rounded(value, CONSTANT - BETWEEN);
        }
    }
    for (y, row) in block.chunks_exact(8).enumerate() {
        let row = transform(std::array::from_fn(|x| row[x]));
        // Eight from both passes' scale of √8, three bits.
        let row = row.map(|value| (rounded(value, CONSTANT + BETWEEN + 3).0 + 128).clamp(0, 255) as u8);
        out[y * stride..y * stride + 8].copy_from_slice(&row);
    }
}
