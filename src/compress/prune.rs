//! Which weights of a row go where calibration saw the inputs, and what the others become (the loop is that of SparseGPT,
//! Frantar & Alistarh 2023): each loss is made up for before the next weights are chosen.
//!
//! A loss costs `w² H` if nothing makes up for it and `w² / H⁻¹` (diagonals) if all other weights do. The first alone, as in
//! Wanda, keeps both of two inputs that are alike; the second alone, as in SparseGPT, counts on weights that go themselves.
//! Their geometric mean left less error than either.

use std::ops::Range;

use rayon::prelude::*;

use super::feedback::{Feedback, Statistics};
use super::grid::Matrix;
use super::spec::Pattern;

/// Rows that share the reading of the feedback's factors.
const BLOCK: usize = 16;
/// Weights of a row that are chosen at once.
const STEP: usize = 32;

/// What the square of a weight costs, `[inputs]`.
pub fn worth(statistics: &Statistics, feedback: &Feedback) -> Vec<f32> {
    let strengths = statistics.second.iter().step_by(statistics.inputs + 1);
    strengths.zip(feedback.inverse_diagonal()).map(|(strength, inverse)| (strength / inverse).max(0.0).sqrt()).collect()
}

/// Columns that stay, `[rows, kept]`, ascending, and the weights after that, `[rows, cols]`; `None` where the statistics
/// do not tell.
pub fn prune(matrix: &Matrix, pattern: Pattern, statistics: &Statistics) -> Option<(Vec<usize>, Vec<f32>)> {
    let feedback = &Feedback::weakest_first(statistics)?;
    let worth = worth(statistics, feedback);
    let worth: &[f32] = &feedback.order().iter().map(|&col| worth[col]).collect::<Vec<_>>();
    let blocks = (0..matrix.rows).step_by(BLOCK).collect::<Vec<_>>().into_par_iter();
    let (kept, changed): (Vec<_>, Vec<_>) = blocks
        .map(|first| some_rows(matrix, pattern, (feedback, worth), first..matrix.rows.min(first + BLOCK)))
        .unzip();
    Some((kept.concat(), changed.concat()))
}

/// `worth` in the order of rounding.
fn some_rows(
    matrix: &Matrix,
    pattern: Pattern,
    (feedback, worth): (&Feedback, &[f32]),
    rows: Range<usize>,
) -> (Vec<usize>, Vec<f32>) {
    let (cols, order) = (matrix.cols, feedback.order());
    let mut place = vec![0; cols];
    order.iter().enumerate().for_each(|(j, &col)| place[col] = j);
    let ordered = |row: usize| order.iter().map(move |&col| matrix.row(row)[col]);
    let mut states: Vec<Row> =
        rows.map(|row| Row { values: ordered(row).collect(), fate: vec![None; cols], feedback, worth }).collect();
    for j in 0..cols {
        for row in &mut states {
            match pattern {
                Pattern::TwoOfFour if row.fate[j].is_none() => {
                    let four = order[j] / 4 * 4;
                    row.choose(place[four..cols.min(four + 4)].to_vec(), 2, usize::MAX);
                }
                Pattern::Share(share) if j % STEP == 0 => {
                    let staying = row.fate.iter().filter(|fate| **fate == Some(true)).count();
                    row.choose((j..cols).collect(), self::staying(cols, share) - staying, j + STEP);
                }
                _ => {}
            }
            row.settle(j);
        }
    }
    let kept = |row: &Row| (0..cols).filter(|&col| row.fate[place[col]] == Some(true)).collect::<Vec<_>>();
    let changed = |row: &Row| place.iter().map(|&j| row.values[j]).collect::<Vec<_>>();
    (states.iter().flat_map(kept).collect(), states.iter().flat_map(changed).collect())
}

/// How many of `count` stay.
pub fn staying(count: usize, share: f64) -> usize {
    (count as f64 * (1.0 - share)).round() as usize
}

/// A row's weights in the order of rounding, and whether they stay, as far as it is known.
struct Row<'a> {
    values: Vec<f32>,
    fate: Vec<Option<bool>>,
    feedback: &'a Feedback,
    worth: &'a [f32],
}

impl Row<'_> {
    /// Of `places`, the `count` dearest stay; only of those before `end` this is final.
    fn choose(&mut self, mut places: Vec<usize>, count: usize, end: usize) {
        let cost = |j: usize| self.values[j] * self.values[j] * self.worth[j];
        places.sort_by(|&a, &b| cost(b).total_cmp(&cost(a)));
        for (i, j) in places.into_iter().enumerate().filter(|(_, j)| *j < end) {
            self.fate[j] = Some(i < count);
        }
    }

    /// What goes is made up for.
    fn settle(&mut self, j: usize) {
        if self.fate[j] != Some(true) {
            self.feedback.spread(&mut self.values, j, 0.0);
            self.values[j] = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(seed: u64) -> impl FnMut() -> f32 {
        let mut state = seed;
        move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        }
    }

    /// As many stay in each row as asked for, at most two of every four, and what stays changes.
    #[test]
    fn patterns_are_kept() {
        let mut next = numbers(9);
        for inputs in [1, 3, 4, 33, 70] {
            let (rows, count) = (18, 200);
            let x: Vec<f32> = (0..inputs * count).map(|_| next()).collect();
            let mut statistics = Statistics::new(inputs, 1);
            statistics.add(&x, count);
            let data: Vec<f32> = (0..rows * inputs).map(|_| next()).collect();
            let matrix = Matrix { rows, cols: inputs, data: data.into(), importance: vec![1.0; inputs] };
            for share in [0.001, 0.3, 0.75, 0.999] {
                let (kept, changed) = prune(&matrix, Pattern::Share(share), &statistics).unwrap();
                let width = staying(inputs, share);
                assert_eq!((kept.len(), changed.len()), (rows * width, rows * inputs));
                assert!(kept.chunks(width.max(1)).all(|row| row.is_sorted_by(|a, b| a < b)));
                assert_eq!(changed.iter().filter(|v| **v != 0.0).count(), rows * width);
            }
            let (kept, _) = prune(&matrix, Pattern::TwoOfFour, &statistics).unwrap();
            let width = inputs / 4 * 2 + (inputs % 4).min(2);
            assert_eq!(kept.len(), rows * width);
            for row in kept.chunks(width) {
                let most = row.chunk_by(|a, b| a / 4 == b / 4).map(<[usize]>::len).max();
                assert!(row.is_sorted_by(|a, b| a < b) && most.is_some_and(|most| most <= 2));
            }
        }
    }
}
