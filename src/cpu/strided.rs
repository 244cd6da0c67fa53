//! Copies through strides: the one loop behind Transpose, Slice, Expand, Tile, Concat, Split and DepthToSpace.
//!
//! Axes that are contiguous to both sides merge first. Then rows move as blocks; where the source's contiguous axis is
//! not the innermost one, tiles of 16 × 16 go through a buffer in L1, so that both sides see whole cache lines.

use bytemuck::Pod;

use super::Threads;
use crate::ops::strided::{Axis, Read};
use crate::tensor::strides;

/// Below this many elements a copy stays on the calling thread.
const SERIAL: usize = 1 << 15;

const TILE: usize = 16;

/// Copies what `read` describes into the dense `out`, whose shape is `read.shape`. Addresses must lie inside `source`.
pub fn copy<W: Pod + Send + Sync>(read: &Read, source: &[W], out: &mut [W], threads: &Threads) {
    if out.is_empty() {
        return;
    }
    let axes = read.axes(&strides(&read.shape));
    let Some((first, rest)) = axes.split_first() else {
        out[0] = source[read.offset];
        return;
    };
    if out.len() < SERIAL || threads.count() == 1 || first.len == 1 {
        return block(source, read.offset as isize, out, &axes);
    }
    let share = first.len.div_ceil(4 * threads.count());
    threads.for_chunks(out, share * first.to, |k, out| {
        let mut axes = vec![Axis { len: out.len() / first.to, ..*first }];
        axes.extend(rest);
        block(source, read.offset as isize + (k * share) as isize * first.from, out, &axes);
    });
}

/// Copies to `out` seen through `to` (strides of the destination); elements in between stay as they are.
pub fn copy_into<W: Pod>(read: &Read, source: &[W], out: &mut [W], to: &[usize]) {
    if read.shape.contains(&0) {
        return;
    }
    let axes = read.axes(to);
    if axes.is_empty() {
        out[0] = source[read.offset];
    } else {
        block(source, read.offset as isize, out, &axes);
    }
}

/// Copies a block of at least one axis.
fn block<W: Pod>(source: &[W], start: isize, out: &mut [W], axes: &[Axis]) {
    let Some((&row, outer)) = axes.split_last() else { return };
    if row.to == 1 && row.from != 1 && row.from != 0 && row.len >= 4 {
        let contiguous = outer.iter().position(|a| a.from == 1 && a.len >= 4);
        if let Some(column) = contiguous {
            let mut rest = outer.to_vec();
            let column = rest.remove(column);
            return each(&rest, start, 0, &mut |from, to| tiles(source, from, &mut out[to..], column, row));
        }
    }
    each(outer, start, 0, &mut |from, to| line(source, from, &mut out[to..], row));
}

/// Calls `visit(source position, destination position)` for every index of `axes`.
fn each(axes: &[Axis], from: isize, to: usize, visit: &mut impl FnMut(isize, usize)) {
    match axes {
        [] => visit(from, to),
        [axis] => (0..axis.len).for_each(|i| visit(from + i as isize * axis.from, to + i * axis.to)),
        [axis, rest @ ..] => {
            (0..axis.len).for_each(|i| each(rest, from + i as isize * axis.from, to + i * axis.to, visit))
        }
    }
}

#[inline]
fn line<W: Pod>(source: &[W], from: isize, out: &mut [W], row: Axis) {
    let start = from as usize;
    match (row.from, row.to) {
        (1, 1) => out[..row.len].copy_from_slice(&source[start..start + row.len]),
        (0, 1) => out[..row.len].fill(source[start]),
        (step, 1) if step > 0 => {
            let source = source[start..].iter().step_by(step as usize);
            out[..row.len].iter_mut().zip(source).for_each(|(o, s)| *o = *s);
        }
        (step, to) => (0..row.len).for_each(|i| out[i * to] = source[(from + i as isize * step) as usize]),
    }
}

/// A matrix whose source is contiguous along `column` and whose destination is contiguous along `row`.
fn tiles<W: Pod>(source: &[W], from: isize, out: &mut [W], column: Axis, row: Axis) {
    let mut tile = [[W::zeroed(); TILE]; TILE];
    for c in (0..column.len).step_by(TILE) {
        let high = TILE.min(column.len - c);
        for r in (0..row.len).step_by(TILE) {
            let wide = TILE.min(row.len - r);
            let corner = from + c as isize + r as isize * row.from;
            for (k, line) in tile.iter_mut().enumerate().take(wide) {
                let at = (corner + k as isize * row.from) as usize;
                match source.get(at..at + TILE) {
                    Some(whole) if high == TILE => line.copy_from_slice(whole),
                    _ => line[..high].copy_from_slice(&source[at..at + high]),
                }
            }
            for k in 0..high {
                let out = &mut out[(c + k) * column.to + r..];
                if wide == TILE {
                    let out = &mut out[..TILE];
                    (0..TILE).for_each(|j| out[j] = tile[j][k]);
                } else {
                    (0..wide).for_each(|j| out[j] = tile[j][k]);
                }
            }
        }
    }
}

/// Runs `$body` with `$t` bound to the unsigned integer as wide as `$dtype`: code that moves elements needs no more.
#[macro_export]
macro_rules! for_width {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype.size() {
            1 => {
                type $t = u8;
                $body
            }
            2 => {
                type $t = u16;
                $body
            }
            4 => {
                type $t = u32;
                $body
            }
            _ => {
                type $t = u64;
                $body
            }
        }
    };
}

/// The elements of a tensor as words of their width. Tensors start at 8-byte boundaries, so this always fits.
pub fn words<W: Pod>(bytes: &[u8]) -> crate::Result<&[W]> {
    bytemuck::try_cast_slice(bytes).map_err(|e| crate::Error::Usage(format!("tensor bytes cannot be read: {e}")))
}

pub fn words_mut<W: Pod>(bytes: &mut [u8]) -> crate::Result<&mut [W]> {
    bytemuck::try_cast_slice_mut(bytes).map_err(|e| crate::Error::Usage(format!("tensor bytes cannot be written: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: one element at a time.
    fn reference(read: &Read, source: &[u32]) -> Vec<u32> {
        let own = strides(&read.shape);
        let len: usize = read.shape.iter().product();
        let at = |i: usize| {
            let axes = 0..read.shape.len();
            let step = |a: usize| (i / own[a] % read.shape[a]) as isize * read.strides[a];
            (read.offset as isize + axes.map(step).sum::<isize>()) as usize
        };
        (0..len).map(|i| source[at(i)]).collect()
    }

    fn check(read: &Read, source: &[u32]) {
        let want = reference(read, source);
        for threads in [1, 3] {
            let mut out = vec![u32::MAX; want.len()];
            copy(read, source, &mut out, &Threads::new(threads).unwrap());
            assert!(out == want, "{read:?}");
        }
    }

    #[test]
    fn every_permutation() {
        let source: Vec<u32> = (0..100_000).collect();
        for shape in [[2, 3, 5, 7], [1, 17, 33, 20], [3, 1, 40, 16], [37, 2, 1, 9], [0, 3, 4, 5]] {
            for code in 0..256 {
                let perm = [code & 3, code >> 2 & 3, code >> 4 & 3, code >> 6];
                if (0..4).all(|i| perm.contains(&i)) {
                    check(&Read::transposed(&shape, &perm), &source);
                }
            }
        }
        check(&Read::transposed(&[], &[]), &source);
        check(&Read::transposed(&[300, 211], &[1, 0]), &source);
    }

    #[test]
    fn backwards_skipping_and_repeating() {
        let source: Vec<u32> = (0..2000).collect();
        check(&Read { shape: vec![5, 7], offset: 999, strides: vec![-70, -2] }, &source);
        check(&Read { shape: vec![5, 0, 7], offset: 9999, strides: vec![1, 1, 1] }, &source);
        check(&Read { shape: vec![5, 4, 30], offset: 3, strides: vec![0, 1, 0] }, &source);
        check(&Read { shape: vec![6, 20, 8], offset: 500, strides: vec![100, 1, -50] }, &source);
    }
}
