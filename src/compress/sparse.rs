//! Which weights of a row stay. With error feedback those whose loss would cost most (`prune`); else those of the largest
//! magnitude, or of the largest `|w| · ‖x‖` where it is known how much inputs matter (Wanda, Sun et al. 2023).

use super::feedback::Statistics;
use super::grid::Matrix;
use super::prune::{prune, staying};
use super::round::Places;
use super::spec::Pattern;
use crate::Result;
use crate::tensor::Tensor;

pub struct Mask {
    rows: usize,
    cols: usize,
    width: usize,
    /// `[rows, width]`: columns that stay, ascending.
    kept: Vec<usize>,
}

impl Mask {
    /// The mask, and the weights that stay, next to each other: as they are, or with statistics as the loss of the others
    /// made them.
    pub fn choose(matrix: &Matrix, pattern: Pattern, statistics: Option<&Statistics>) -> (Self, Matrix<'static>) {
        let (rows, cols) = (matrix.rows, matrix.cols);
        let pruned = statistics.and_then(|statistics| prune(matrix, pattern, statistics));
        let (kept, changed) = pruned.unwrap_or_else(|| (largest_of_rows(matrix, pattern), matrix.data.to_vec()));
        let mask = Mask { rows, cols, width: kept.len() / rows.max(1), kept };
        let values = mask.gather(&changed, |row| matrix.importance(row));
        (mask, values)
    }

    fn gather<'a>(&self, data: &[f32], importance: impl Fn(usize) -> &'a [f32]) -> Matrix<'static> {
        let rows = || self.kept.chunks(self.width.max(1)).enumerate();
        let data = rows().flat_map(|(row, kept)| kept.iter().map(move |&col| data[row * self.cols + col]));
        let data: Vec<f32> = data.collect();
        let importance =
            rows().flat_map(|(row, kept)| kept.iter().map(|&col| importance(row)[col]).collect::<Vec<_>>());
        Matrix { rows: self.rows, cols: self.width, data: data.into(), importance: importance.collect() }
    }

    /// u8 `[rows, stride]`: LSB-first, 1 = stays.
    pub fn into_tensor(self) -> Result<Tensor> {
        let stride = self.cols.div_ceil(32) * 4;
        let mut bits = vec![0u8; self.rows * stride];
        for (i, col) in self.kept.iter().enumerate() {
            bits[i / self.width * stride + col / 8] |= 1 << (col % 8);
        }
        Tensor::new([self.rows, stride], &bits)
    }
}

impl Places for Mask {
    fn width(&self) -> usize {
        self.width
    }

    fn of_row(&self, row: usize) -> Vec<Option<usize>> {
        let mut places = vec![None; self.cols];
        for (place, &col) in self.kept[row * self.width..(row + 1) * self.width].iter().enumerate() {
            places[col] = Some(place);
        }
        places
    }
}

fn largest_of_rows(matrix: &Matrix, pattern: Pattern) -> Vec<usize> {
    let mut kept = Vec::new();
    for row in 0..matrix.rows {
        // Importance is the mean square of an input.
        let scores = matrix.row(row).iter().zip(matrix.importance(row));
        let scores: Vec<f32> = scores.map(|(w, i)| w.abs() * i.sqrt()).collect();
        match pattern {
            Pattern::TwoOfFour => {
                let fours = (0..matrix.cols).step_by(4).map(|at| at..(at + 4).min(matrix.cols));
                fours.for_each(|four| kept.extend(largest(&scores, four, 2)));
            }
            Pattern::Share(share) => kept.extend(largest(&scores, 0..matrix.cols, staying(matrix.cols, share))),
        }
    }
    kept
}

/// The `count` columns of `range` with the largest scores, ascending; of equal ones the first.
fn largest(scores: &[f32], range: std::ops::Range<usize>, count: usize) -> Vec<usize> {
    let mut columns: Vec<usize> = range.collect();
    columns.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    columns.truncate(count);
    columns.sort_unstable();
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_stay() {
        let data = vec![1.0, -5.0, 3.0, 2.0, 0.5, 0.1];
        let matrix = Matrix { rows: 1, cols: 6, data: data.into(), importance: vec![1.0; 6] };
        assert_eq!(Mask::choose(&matrix, Pattern::TwoOfFour, None).0.kept, [1, 2, 4, 5]);
        assert_eq!(Mask::choose(&matrix, Pattern::Share(0.5), None).0.kept, [1, 2, 3]);
        let weighted = Matrix { importance: vec![100.0, 1.0, 1.0, 1.0, 1.0, 1.0], ..matrix };
        assert_eq!(Mask::choose(&weighted, Pattern::Share(0.5), None).0.kept, [0, 1, 2]);
        assert_eq!(
            Mask::choose(&weighted, Pattern::TwoOfFour, None).0.into_tensor().unwrap().bytes(),
            [0b110011, 0, 0, 0]
        );
    }
}
