//! Which blocks of a weight stay: in each row of blocks those of the largest `Σ w²`, times what the square of a weight
//! costs where calibration saw the inputs.

use super::grid::Matrix;
use super::prune::staying;
use super::round::Places;
use crate::Result;
use crate::tensor::Tensor;

pub struct BlockMask {
    rows: usize,
    cols: usize,
    /// Rows and columns of a block.
    size: [usize; 2],
    /// Blocks that stay in each row of blocks.
    count: usize,
    /// `[rows of blocks, count]`: columns of blocks, ascending.
    kept: Vec<u16>,
}

impl BlockMask {
    /// `share` goes. `worth`, `[cols]`: as `prune` says it; without, the importance of the matrix.
    pub fn choose(matrix: &Matrix, size: [usize; 2], share: f64, worth: Option<&[f32]>) -> Result<Self> {
        let (rows, cols) = (matrix.rows, matrix.cols);
        let across = cols.div_ceil(size[1]);
        let last = u16::try_from(across.saturating_sub(1))
            .map_err(|_| crate::Error::Usage(format!("{cols} columns have more than 65536 blocks; take wider ones")))?;
        let count = staying(across, share);
        let mut kept = Vec::new();
        for first in (0..rows).step_by(size[0]) {
            let mut costs = vec![0f32; across];
            for row in first..rows.min(first + size[0]) {
                let worth = worth.unwrap_or(matrix.importance(row));
                for (col, (w, worth)) in matrix.row(row).iter().zip(worth).enumerate() {
                    costs[col / size[1]] += w * w * worth;
                }
            }
            let mut blocks: Vec<u16> = if across == 0 { Vec::new() } else { (0..=last).collect() };
            blocks.sort_by(|&a, &b| costs[usize::from(b)].total_cmp(&costs[usize::from(a)]));
            blocks.truncate(count);
            blocks.sort_unstable();
            kept.extend(blocks);
        }
        Ok(BlockMask { rows, cols, size, count, kept })
    }

    /// Which columns of blocks a row has.
    fn of(&self, row: usize) -> &[u16] {
        &self.kept[row / self.size[0] * self.count..][..self.count]
    }

    /// What stays, next to each other; 0, of no importance, where a block reaches beyond the columns.
    pub fn gather(&self, matrix: &Matrix) -> Matrix<'static> {
        let data = self.pick(|row| matrix.row(row));
        let importance = self.pick(|row| matrix.importance(row));
        Matrix { rows: self.rows, cols: self.width(), data: data.into(), importance }
    }

    fn pick<'a>(&self, of: impl Fn(usize) -> &'a [f32]) -> Vec<f32> {
        let wide = self.size[1];
        let mut picked = Vec::with_capacity(self.rows * self.width());
        for row in 0..self.rows {
            let from = of(row);
            for &block in self.of(row) {
                let start = usize::from(block) * wide;
                picked.extend((start..start + wide).map(|col| from.get(col).copied().unwrap_or(0.0)));
            }
        }
        picked
    }

    /// u16 `[rows of blocks, blocks of each]`.
    pub fn into_tensor(self) -> Result<Tensor> {
        Tensor::new([self.rows.div_ceil(self.size[0]), self.count], &self.kept)
    }
}

impl Places for BlockMask {
    fn width(&self) -> usize {
        self.count * self.size[1]
    }

    fn of_row(&self, row: usize) -> Vec<Option<usize>> {
        let wide = self.size[1];
        let mut places = vec![None; self.cols];
        for (i, &block) in self.of(row).iter().enumerate() {
            let start = usize::from(block) * wide;
            let there = places.iter_mut().skip(start).take(wide);
            there.enumerate().for_each(|(offset, place)| *place = Some(i * wide + offset));
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_blocks_stay() {
        let data: Vec<f32> = vec![1.0, 0.0, 0.0, 2.0, 9.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0, 4.0];
        let matrix = Matrix { rows: 3, cols: 5, data: data.into(), importance: vec![1.0; 5] };
        let mask = BlockMask::choose(&matrix, [2, 2], 0.34, None).unwrap();
        // Of three columns of blocks two: the third, of one column, has 81.
        assert_eq!(mask.kept, [1, 2, 0, 2]);
        let kept = mask.gather(&matrix);
        assert_eq!(kept.row(0), [0.0, 2.0, 9.0, 0.0]);
        assert_eq!(kept.row(2), [0.0, 3.0, 4.0, 0.0]);
        assert_eq!(mask.of_row(1), [None, None, Some(0), Some(1), Some(2)]);
        let weighted = Matrix { importance: vec![100.0, 1.0, 1.0, 1.0, 0.0], ..matrix };
        assert_eq!(BlockMask::choose(&weighted, [2, 2], 0.67, None).unwrap().kept, [0, 0]);
    }
}
