//! Values go to the columns where a mask has ones, four at a time by a shuffle of bytes.

use super::vector::Vector;

/// For each four bits: the bytes of the value of each lane; 0xff, which gives 0, for lanes that have none.
static PLACES: [[u8; 16]; 16] = places();

const fn places() -> [[u8; 16]; 16] {
    let mut all = [[0xff; 16]; 16];
    let mut bits = 0;
    while bits < 16 {
        let (mut byte, mut next) = (0, 0);
        while byte < 16 {
            if bits >> (byte / 4) & 1 == 1 {
                all[bits][byte] = next;
                next += 1;
            }
            byte += 1;
        }
        bits += 1;
    }
    all
}

/// `out[c]` = the next value where bit `c` of the mask is 1, else 0; behind the last value there are four more, of any
/// content.
///
/// # Safety
/// That of `Vector`.
pub unsafe fn expand<V: Vector>(mask: &[u8], values: &[f32], out: &mut [f32]) {
    let mut at = 0;
    let (whole, rest) = out.as_chunks_mut::<4>();
    for (i, out) in whole.iter_mut().enumerate() {
        let bits = mask[i / 2] >> (4 * (i % 2)) & 15;
        let from = &values[at..][..4];
        // SAFETY: all are 16 bytes.
        unsafe {
            let places = V::load(PLACES[usize::from(bits)].as_ptr());
            V::load(from.as_ptr().cast()).lookup(places).store(out.as_mut_ptr().cast());
        }
        at += bits.count_ones() as usize;
    }
    for (i, out) in rest.iter_mut().enumerate() {
        let column = 4 * whole.len() + i;
        let there = mask[column / 8] >> (column % 8) & 1 == 1;
        *out = if there { values[at] } else { 0.0 };
        at += usize::from(there);
    }
}
