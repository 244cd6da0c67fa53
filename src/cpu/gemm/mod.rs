//! The packed matrix product that linear layers, convolutions and attention share (the blocking of Goto & van de Geijn
//! 2008 and of BLIS): panels of A and B in cache, a tile of sums in registers, the epilogue fused into the store.
//!
//! Rows of A that lie in memory one after the other are read where they are: the kernel broadcasts one element at a
//! time, so it needs no panel of them. Few-bit weights are decoded where B is packed, one panel at a time: no float copy of a weight ever exists.

pub mod epilogue;
pub mod panels;
mod transpose;

pub use epilogue::{Bias, Epilogue};
pub use panels::{Pack, PanelSpan, Panels, Strided, with_scratch};
pub use transpose::{transpose, transpose_words};

use super::Threads;
use super::simd::Level;
use super::simd::tile::{Lanes, MAX_ROWS};

/// Longest depth of a panel: 512 steps of a B panel of 32 lanes are 64 KiB, those of an A panel of 12 are 24 KiB.
const MAX_DEPTH: usize = 512;
/// Rows of A that are packed together: with `MAX_DEPTH`, half of a 1 MiB second-level cache.
const MAX_PACKED_ROWS: usize = 240;

/// One side of a product, `[lanes, depth]`.
#[derive(Clone, Copy)]
pub enum Operand<'a> {
    Panels(&'a Panels),
    Source(&'a dyn Pack),
}

/// Which side of the output the threads divide. The other side is packed once per thread, so divide the one that costs
/// more to pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Divide {
    Rows,
    Columns,
}

/// `C[m, n] = epilogue(A[m, k] · B[k, n])`. A's lanes are its rows, B's lanes its columns.
pub struct Product<'a> {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub a: Operand<'a>,
    pub b: Operand<'a>,
    pub epilogue: Epilogue<'a>,
}

/// A rectangle of the output: its rows, each from column `col` on.
struct Block<'c> {
    rows: Rows<'c>,
    row: usize,
    col: usize,
}

enum Rows<'c> {
    /// One after the other, of this width.
    Whole(&'c mut [f32], usize),
    Apart(Vec<&'c mut [f32]>),
}

impl Rows<'_> {
    /// Rows and columns.
    fn size(&self) -> (usize, usize) {
        match self {
            Rows::Whole(data, width) => (data.len() / width, *width),
            Rows::Apart(rows) => (rows.len(), rows.first().map_or(0, |r| r.len())),
        }
    }

    /// `count` rows from row `first` on, and nothing behind them.
    fn tile(&mut self, first: usize, count: usize) -> [&mut [f32]; MAX_ROWS] {
        let mut tile = std::array::from_fn(|_| Default::default());
        match self {
            Rows::Whole(data, width) => {
                let rows = data[first * *width..].chunks_exact_mut(*width);
                tile.iter_mut().zip(rows).take(count).for_each(|(slot, row)| *slot = row);
            }
            Rows::Apart(rows) => {
                tile.iter_mut().zip(&mut rows[first..][..count]).for_each(|(slot, row)| *slot = row);
            }
        }
        tile
    }
}

impl Product<'_> {
    /// Computes the product into `c`, `[m, n]` row-major; its content before does not matter.
    pub fn run(&self, threads: &Threads, divide: Divide, c: &mut [f32]) {
        if self.m == 0 || self.n == 0 {
            return;
        }
        let level = threads.level();
        let blocks = match divide {
            Divide::Rows => {
                // Tiles of rows in place may have any height: all parts can be as high as the others.
                let unit = if self.in_place(level).is_some() { 1 } else { level.tile_rows() };
                let height = part(self.m, unit, threads.count());
                let blocks = c.chunks_mut(height * self.n).enumerate();
                blocks.map(|(i, c)| Block { rows: Rows::Whole(c, self.n), row: i * height, col: 0 }).collect::<Vec<_>>()
            }
            Divide::Columns => {
                let width = part(self.n, level.tile_cols(), threads.count());
                let parts = column_parts(c, self.n, width);
                let parts = parts.into_iter().enumerate();
                parts.map(|(i, rows)| Block { rows: Rows::Apart(rows), row: 0, col: i * width }).collect()
            }
        };
        threads.for_each(blocks, |mut block| self.block(level, &mut block));
    }

    /// As `run`, into `rows`, `m` slices of `n` elements anywhere in memory.
    #[cfg(feature = "full")]
    pub fn run_apart(&self, threads: &Threads, divide: Divide, mut rows: Vec<&mut [f32]>) {
        if self.m == 0 || self.n == 0 {
            return;
        }
        let level = threads.level();
        let mut blocks = Vec::new();
        match divide {
            Divide::Rows => {
                let unit = if self.in_place(level).is_some() { 1 } else { level.tile_rows() };
                let height = part(self.m, unit, threads.count());
                for row in (0..self.m).step_by(height) {
                    let rest = rows.split_off(height.min(rows.len()));
                    blocks.push(Block { rows: Rows::Apart(std::mem::replace(&mut rows, rest)), row, col: 0 });
                }
            }
            Divide::Columns => {
                let width = part(self.n, level.tile_cols(), threads.count());
                let parts = cut_columns(rows, self.n, width).into_iter().enumerate();
                blocks.extend(parts.map(|(i, rows)| Block { rows: Rows::Apart(rows), row: 0, col: i * width }));
            }
        }
        threads.for_each(blocks, |mut block| self.block(level, &mut block));
    }

    /// Computes the product on this thread into `rows`, `m` slices of `n` elements anywhere in memory.
    pub fn run_rows(&self, level: Level, rows: Vec<&mut [f32]>) {
        if self.n > 0 {
            self.block(level, &mut Block { rows: Rows::Apart(rows), row: 0, col: 0 });
        }
    }

    fn block(&self, level: Level, block: &mut Block) {
        let (mr, nr) = (level.tile_rows(), level.tile_cols());
        let (rows, cols) = block.rows.size();
        let depth_blocks = self.k.div_ceil(MAX_DEPTH).max(1);
        // A few-bit row can be decoded from every 32nd column, whatever its bits.
        let depth = self.k.div_ceil(depth_blocks).next_multiple_of(32).min(self.k);
        let in_place = self.in_place(level);
        // Few rows of A at a time stay in cache, but a B that is packed on the way is packed for all of them at once.
        let height = match (self.a, in_place, self.b) {
            (Operand::Panels(_), ..) | (_, Some(_), Operand::Source(_)) => rows,
            _ => rows.min(MAX_PACKED_ROWS / mr * mr),
        };
        let packed = matches!(self.a, Operand::Source(_)) && in_place.is_none();
        let a_len = if packed { height.next_multiple_of(mr) * depth } else { 0 };
        let b_len = if matches!(self.b, Operand::Source(_)) { nr * depth } else { 0 };
        with_scratch(a_len + b_len, |scratch| {
            let (a_scratch, b_scratch) = scratch.split_at_mut(a_len);
            for top in (0..rows).step_by(height) {
                let height = height.min(rows - top);
                for d in 0..depth_blocks {
                    let start = d * depth;
                    let step = Step {
                        level,
                        top,
                        height,
                        start,
                        depth: depth.min(self.k - start),
                        add: d > 0,
                        last: d + 1 == depth_blocks,
                        in_place,
                    };
                    if packed {
                        self.pack_a(&step, block.row + top, a_scratch);
                    }
                    for left in (0..cols).step_by(nr) {
                        self.column(&step, block, left, nr.min(cols - left), a_scratch, b_scratch);
                    }
                }
            }
        });
    }

    fn pack_a(&self, step: &Step, row: usize, scratch: &mut [f32]) {
        let Operand::Source(source) = self.a else { return };
        let (width, depth) = (step.level.tile_rows(), step.depth);
        for i in (0..step.height).step_by(width) {
            let lanes = width.min(step.height - i);
            let span = PanelSpan { width, first: row + i, lanes, start: step.start, depth };
            source.pack(step.level, span, &mut scratch[i * depth..][..width * depth]);
        }
    }

    /// All tiles of one panel of B.
    fn column(
        &self,
        step: &Step,
        block: &mut Block,
        left: usize,
        cols: usize,
        a_scratch: &[f32],
        b_scratch: &mut [f32],
    ) {
        let &Step { level, top, height, start, depth, .. } = step;
        let (mr, nr) = (level.tile_rows(), level.tile_cols());
        let col = block.col + left;
        let b = match self.b {
            Operand::Panels(panels) => panels.panel(col, start, depth),
            Operand::Source(source) => {
                let panel = &mut b_scratch[..nr * depth];
                source.pack(level, PanelSpan { width: nr, first: col, lanes: cols, start, depth }, panel);
                &*panel
            }
        };
        // Tiles of rows in place may have any height: none is left with a row or two.
        let most = if step.in_place.is_some() { height.div_ceil(height.div_ceil(mr)) } else { mr };
        for i in (0..height).step_by(most) {
            let rows = most.min(height - i);
            let row = block.row + top + i;
            let a = match (self.a, step.in_place) {
                (_, Some(a)) => Lanes::new(&a.data[row * a.lane_stride + start..], a.lane_stride, 1, depth),
                (Operand::Panels(panels), _) => Lanes::new(panels.panel(row, start, depth), 1, mr, depth),
                (Operand::Source(_), _) => Lanes::new(&a_scratch[i * depth..][..mr * depth], 1, mr, depth),
            };
            let place = epilogue::Place { row, col, cols, width: self.n };
            let last = step.last.then_some(&self.epilogue);
            let out = &mut block.rows.tile(top + i, rows)[..rows];
            epilogue::tile(level, a, b, out, left, place, step.add, last);
        }
    }

    /// A, if its rows need no packing. Rows at multiples of 2 KiB would share few sets of the first-level cache.
    fn in_place(&self, level: Level) -> Option<Strided<'_>> {
        let Operand::Source(source) = self.a else { return None };
        let once = self.n <= level.tile_cols();
        source.dense().filter(|a| a.depth_stride == 1 && (once || !a.lane_stride.is_multiple_of(512)))
    }
}

/// One pass over a stretch of the depth, for some rows of a block.
struct Step<'a> {
    level: Level,
    top: usize,
    height: usize,
    start: usize,
    depth: usize,
    add: bool,
    last: bool,
    in_place: Option<Strided<'a>>,
}

/// The rows of `c`, `[m, n]`, cut into parts of `width` columns.
pub fn column_parts(c: &mut [f32], n: usize, width: usize) -> Vec<Vec<&mut [f32]>> {
    cut_columns(c.chunks_mut(n.max(1)).collect(), n, width)
}

/// Rows of `n` elements cut into parts of `width` columns.
fn cut_columns(rows: Vec<&mut [f32]>, n: usize, width: usize) -> Vec<Vec<&mut [f32]>> {
    let mut parts: Vec<Vec<_>> = (0..n.div_ceil(width.max(1))).map(|_| Vec::with_capacity(rows.len())).collect();
    for row in rows {
        for (part, row) in parts.iter_mut().zip(row.chunks_mut(width.max(1))) {
            part.push(row);
        }
    }
    parts
}

/// Size of the parts into which `size` is cut: multiples of `unit`, two per thread so that a late thread evens out.
fn part(size: usize, unit: usize, threads: usize) -> usize {
    let parts = if threads == 1 { 1 } else { 2 * threads };
    size.div_ceil(parts).next_multiple_of(unit)
}
