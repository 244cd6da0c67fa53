//! A row of a sparse weight, and what all kernels do with it.

/// What lies behind the values of a row, with any content: kernels read whole vectors.
pub const ROOM: usize = 32;
/// Columns that kernels take at once.
pub const STEP: usize = 64;
/// Most rows of x that a product takes at once.
pub const MAX_ROWS: usize = 4;

/// A row of a sparse weight. Bits of the mask are LSB-first; the ones say which columns the values belong to, in order.
#[derive(Clone, Copy)]
pub struct Row<'a, T> {
    pub mask: &'a [u8],
    /// As many as the mask has ones, and `ROOM` more.
    pub values: &'a [T],
}

/// `expand` a column at a time.
pub fn plain(mask: &[u8], values: &[f32], out: &mut [f32]) {
    let mut at = 0;
    for (c, out) in out.iter_mut().enumerate() {
        let there = mask[c / 8] >> (c % 8) & 1 == 1;
        *out = if there { values[at] } else { 0.0 };
        at += usize::from(there);
    }
}

/// Calls a kernel for as many rows of x as there are.
#[cfg(target_arch = "x86_64")]
macro_rules! by_rows {
    ($kernel:ident($row:expr, $x:expr, $stride:expr)) => {
        match $x.len() / $stride.max(1) {
            0 => [0.0; MAX_ROWS],
            1 => $kernel::<1>($row, $x, $stride),
            2 => $kernel::<2>($row, $x, $stride),
            3 => $kernel::<3>($row, $x, $stride),
            _ => $kernel::<4>($row, $x, $stride),
        }
    };
}
#[cfg(target_arch = "x86_64")]
pub(super) use by_rows;

/// `STEP` bits of a mask; 0 behind its end.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn word(mask: &[u8], index: usize) -> u64 {
    match mask[8 * index..] {
        [a, b, c, d, e, f, g, h, ..] => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
        ref rest => rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    }
}
