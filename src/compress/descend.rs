//! Codes chosen once more, one after the other: each moves to where the error of the outputs is least while all others
//! stay (coordinate descent, as in QuantEase, Behdin et al. 2023). What feedback could only push on to later weights is
//! made up for by earlier ones, too.

use super::feedback::{DAMPING, Statistics};
use super::grid::{Grid, MAX_DIM};
use super::product;

/// Times that every code gets its turn; after two few of them move.
const PASSES: usize = 2;

/// Rows of a weight that are rounded together.
pub struct Block<'a> {
    /// Of the weight.
    pub first: usize,
    /// `[rows, cols]`: what the weight should be.
    pub wanted: &'a [f32],
    /// `[rows, cols]`: what the codes decode to.
    pub decoded: Vec<f32>,
    /// `[rows / dim, width]`.
    pub codes: Vec<u16>,
    pub width: usize,
    /// Place of each column's code, row by row; `None` = all columns have one.
    pub places: Option<Vec<Vec<Option<usize>>>>,
}

impl Block<'_> {
    pub fn place(&self, row: usize, col: usize) -> Option<usize> {
        self.places.as_ref().map_or(Some(col), |places| places[row][col])
    }
}

/// Lessens `‖(W − Ŵ) X‖²`, with the damping that feedback has, too.
pub fn descend(block: &mut Block, grid: &dyn Grid, statistics: &Statistics) {
    let (dim, cols) = (grid.dim(), statistics.inputs);
    let rows = block.wanted.len() / cols.max(1);
    let damping = DAMPING as f32 * statistics.strength();
    let change: Vec<f32> = block.wanted.iter().zip(&block.decoded).map(|(w, d)| w - d).collect();
    // (W − Ŵ) (H + damping), kept up to date: half the slope of the error, downwards.
    let mut slope = product::by_rows(&change, &statistics.second, cols);
    slope.iter_mut().zip(&change).for_each(|(s, c)| *s += damping * c);
    for _ in 0..PASSES {
        let mut moved = false;
        for (col, second) in statistics.second.chunks_exact(cols).enumerate() {
            let curve = second[col] + damping;
            for top in (0..rows).step_by(dim) {
                let Some(place) = block.place(top, col).filter(|_| curve > 0.0) else { continue };
                let lanes = dim.min(rows - top);
                let (mut best, mut rounded) = ([0f32; MAX_DIM], [0f32; MAX_DIM]);
                for lane in 0..lanes {
                    let at = (top + lane) * cols + col;
                    best[lane] = block.decoded[at] + slope[at] / curve;
                }
                let code = grid.nearest(block.first + top, place, &best[..lanes], &mut rounded[..lanes]);
                let known = &mut block.codes[top / dim * block.width + place];
                if *known == code {
                    continue;
                }
                (*known, moved) = (code, true);
                for lane in 0..lanes {
                    let row = (top + lane) * cols;
                    let step = rounded[lane] - block.decoded[row + col];
                    block.decoded[row + col] = rounded[lane];
                    slope[row..row + cols].iter_mut().zip(second).for_each(|(s, h)| *s -= step * h);
                    slope[row + col] -= step * damping;
                }
            }
        }
        if !moved {
            return;
        }
    }
}
