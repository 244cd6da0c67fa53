//! Which weights of a row stay: those of the largest magnitude, or of the largest `|w| · ‖x‖` where calibration saw the
//! inputs (Wanda, Sun et al. 2023).

use super::grid::Matrix;
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
    pub fn choose(matrix: &Matrix, pattern: Pattern) -> Self {
        let (rows, cols) = (matrix.rows, matrix.cols);
        let mut kept = Vec::new();
        for row in 0..rows {
            // Importance is the mean square of an input.
            let scores = matrix.row(row).iter().zip(matrix.importance(row));
            let scores: Vec<f32> = scores.map(|(w, i)| w.abs() * i.sqrt()).collect();
            match pattern {
                Pattern::TwoOfFour => {
                    (0..cols).step_by(4).for_each(|at| kept.extend(largest(&scores, at..(at + 4).min(cols), 2)));
                }
                Pattern::Share(share) => {
                    kept.extend(largest(&scores, 0..cols, (cols as f64 * (1.0 - share)).round() as usize));
                }
            }
        }
        Mask { rows, cols, width: kept.len() / rows.max(1), kept }
    }

    /// The weights that stay, next to each other.
    pub fn gather(&self, matrix: &Matrix) -> Matrix<'static> {
        let columns = |row: usize| &self.kept[row * self.width..(row + 1) * self.width];
        let pick = |of: &dyn Fn(usize, usize) -> f32| -> Vec<f32> {
            (0..self.rows).flat_map(|row| columns(row).iter().map(move |&col| of(row, col))).collect()
        };
        Matrix {
            rows: self.rows,
            cols: self.width,
            data: pick(&|row, col| matrix.row(row)[col]).into(),
            importance: pick(&|row, col| matrix.importance(row)[col]),
        }
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
        assert_eq!(Mask::choose(&matrix, Pattern::TwoOfFour).kept, [1, 2, 4, 5]);
        assert_eq!(Mask::choose(&matrix, Pattern::Share(0.5)).kept, [1, 2, 3]);
        let weighted = Matrix { importance: vec![100.0, 1.0, 1.0, 1.0, 1.0, 1.0], ..matrix };
        assert_eq!(Mask::choose(&weighted, Pattern::Share(0.5)).kept, [0, 1, 2]);
        assert_eq!(Mask::choose(&weighted, Pattern::TwoOfFour).into_tensor().unwrap().bytes(), [0b110011, 0, 0, 0]);
    }
}
