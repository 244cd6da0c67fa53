//! Additive codebooks (after AQLM, Egiazarian et al. 2024): codebooks start as k-means of what the ones before leave
//! over; then codes by beam search and one at a time, and entries by least squares, take turns.

use rayon::prelude::*;

use super::grid::Matrix;
use super::vectors::{self, Points, Search};
use crate::Result;
use crate::tensor::{Shape, Tensor};
use crate::weights::Codebook;
use half::f16;

/// Vectors that training looks at, unless the codebooks need more.
const TRAINING: usize = 1 << 15;
/// Turns of codes and entries.
const TURNS: usize = 6;
/// Partial sums that the search for codes carries along.
const BEAM: usize = 4;

/// Encodes a matrix as `scale[r] · Σ_m book[m][code]` over groups of `group` columns.
pub fn encode(shape: Shape, matrix: &Matrix, books: usize, bits: u32, group: usize) -> Result<Codebook> {
    let scales: Vec<f32> = (0..matrix.rows).map(|row| row_scale(matrix.row(row))).collect();
    let points = points(matrix, &scales, group);
    let books = train(&points.sample(TRAINING.max(2 << bits)), books, 1 << bits);
    let codes = search(&books, &points);
    let groups = matrix.cols.div_ceil(group);
    let scales = fitted_scales(&scales, &points, &codes, &books, groups);
    let entries: Vec<f16> = books.entries.iter().flatten().map(|&v| f16::from_f32(v)).collect();
    let entries = Tensor::new([books.entries.len(), 1 << bits, group], &entries)?;
    let codes = pack(&codes, bits, matrix.rows)?;
    Codebook::new(shape, bits as usize, group, codes, entries, Tensor::new([matrix.rows], &scales)?)
}

/// Root mean square of a row; 1 for zeros.
fn row_scale(row: &[f32]) -> f32 {
    let mean = row.iter().map(|v| v * v).sum::<f32>() / row.len().max(1) as f32;
    if mean > 0.0 { mean.sqrt() } else { 1.0 }
}

/// The groups of all rows, one after the other, each row divided by its scale. The last group of a row ends in zeros.
fn points(matrix: &Matrix, scales: &[f32], group: usize) -> Points {
    let mut points = Points { dim: group, data: Vec::new(), weights: Vec::new() };
    for (row, scale) in scales.iter().enumerate() {
        for (values, importance) in matrix.row(row).chunks(group).zip(matrix.importance(row).chunks(group)) {
            points.data.extend(values.iter().map(|v| v / scale));
            points.data.resize(points.data.len().next_multiple_of(group), 0.0);
            points.weights.push(importance.iter().sum::<f32>() / group as f32);
        }
    }
    points
}

struct Books {
    dim: usize,
    /// `[2^bits, dim]` each, as f16 rounds them.
    entries: Vec<Vec<f32>>,
}

impl Books {
    fn entry(&self, book: usize, code: u32) -> &[f32] {
        &self.entries[book][code as usize * self.dim..][..self.dim]
    }

    /// `point` without the entries of all books but `but`.
    fn rest(&self, point: &[f32], codes: &[u32], but: Option<usize>) -> Vec<f32> {
        let mut rest = point.to_vec();
        for (book, &code) in codes.iter().enumerate().filter(|(book, _)| Some(*book) != but) {
            rest.iter_mut().zip(self.entry(book, code)).for_each(|(r, e)| *r -= e);
        }
        rest
    }
}

fn train(points: &Points, count: usize, k: usize) -> Books {
    let dim = points.dim;
    let mut books = Books { dim, entries: Vec::with_capacity(count) };
    let mut left = Points { dim, data: points.data.clone(), weights: points.weights.clone() };
    for _ in 0..count {
        let entries = vectors::centres(&left, k);
        for (i, (code, _)) in Search::new(&entries, dim).all(&left).into_iter().enumerate() {
            let entry = &entries[code as usize * dim..][..dim];
            left.data[i * dim..][..dim].iter_mut().zip(entry).for_each(|(l, e)| *l -= e);
        }
        books.entries.push(entries);
    }
    // One book is k-means, which has converged.
    for _ in 0..if count > 1 { TURNS } else { 0 } {
        let codes = search(&books, points);
        for book in 0..count {
            refit(&mut books, points, &codes, book);
        }
    }
    books.entries.iter_mut().flatten().for_each(|v| *v = f16::from_f32(*v).to_f32());
    books
}

/// The entries of one book that minimise the error, given all codes and the other books: weighted means.
fn refit(books: &mut Books, points: &Points, codes: &[u32], book: usize) {
    let (dim, count) = (books.dim, books.entries.len());
    let mut sums = vec![0f64; books.entries[book].len()];
    let mut weights = vec![0f64; sums.len() / dim];
    for (i, codes) in codes.chunks_exact(count).enumerate() {
        let (code, weight) = (codes[book] as usize, f64::from(points.weights[i]));
        let rest = books.rest(points.point(i), codes, Some(book));
        weights[code] += weight;
        sums[code * dim..][..dim].iter_mut().zip(rest).for_each(|(s, r)| *s += weight * f64::from(r));
    }
    for (i, entry) in books.entries[book].iter_mut().enumerate() {
        if weights[i / dim] > 0.0 {
            *entry = (sums[i] / weights[i / dim]) as f32;
        }
    }
}

/// Codes `[points, books]`.
fn search(books: &Books, points: &Points) -> Vec<u32> {
    let searches: Vec<Search> = books.entries.iter().map(|entries| Search::new(entries, books.dim)).collect();
    let codes = (0..points.count()).into_par_iter().with_min_len(64);
    codes.map_init(Vec::new, |scores, i| search_one(books, &searches, points.point(i), scores)).flatten_iter().collect()
}

fn search_one(books: &Books, searches: &[Search], point: &[f32], scores: &mut Vec<f32>) -> Vec<u32> {
    let width = if searches.len() == 1 { 1 } else { BEAM };
    let mut beam: Vec<(Vec<u32>, f32)> = vec![(Vec::new(), 0.0)];
    for search in searches {
        let mut next = Vec::with_capacity(width * beam.len());
        for (codes, _) in &beam {
            for (code, error) in search.nearest(&books.rest(point, codes, None), width, scores) {
                next.push(([codes.as_slice(), &[code]].concat(), error));
            }
        }
        next.sort_by(|a, b| a.1.total_cmp(&b.1));
        next.truncate(width);
        beam = next;
    }
    let (mut codes, mut error) = beam.swap_remove(0);
    // One code at a time, as long as one gets better.
    let mut better = searches.len() > 1;
    while better {
        better = false;
        for (book, search) in searches.iter().enumerate() {
            let found = search.nearest(&books.rest(point, &codes, Some(book)), 1, scores);
            if let Some(&(code, new)) = found.first()
                && new < error * (1.0 - 1e-5)
            {
                (codes[book], error, better) = (code, new, true);
            }
        }
    }
    codes
}

/// The scale of each row that minimises its error, given the codes.
fn fitted_scales(scales: &[f32], points: &Points, codes: &[u32], books: &Books, groups: usize) -> Vec<f32> {
    let count = books.entries.len();
    let one = |(row, scale): (usize, &f32)| {
        let (mut product, mut square) = (0f64, 0f64);
        for i in row * groups..(row + 1) * groups {
            let rest = books.rest(points.point(i), &codes[i * count..(i + 1) * count], None);
            for (v, r) in points.point(i).iter().zip(rest) {
                let decoded = v - r;
                product += f64::from(points.weights[i] * v * decoded);
                square += f64::from(points.weights[i] * decoded * decoded);
            }
        }
        if square > 0.0 { scale * (product / square) as f32 } else { *scale }
    };
    scales.iter().enumerate().map(one).collect()
}

/// Codes LSB-first, each row padded to 32 bits.
fn pack(codes: &[u32], bits: u32, rows: usize) -> Result<Tensor> {
    let per_row = codes.len() / rows.max(1);
    let stride = (per_row * bits as usize).div_ceil(32) * 4;
    let mut packed = vec![0u8; rows * stride];
    for (row, codes) in packed.chunks_exact_mut(stride.max(1)).zip(codes.chunks_exact(per_row.max(1))) {
        for (i, code) in codes.iter().enumerate() {
            let (byte, shift) = (i * bits as usize / 8, i * bits as usize % 8);
            let bytes = (u64::from(*code) << shift).to_le_bytes();
            row[byte..].iter_mut().zip(bytes).for_each(|(out, b)| *out |= b);
        }
    }
    Tensor::new([rows, stride], &packed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Encoding;

    #[test]
    fn sums_of_few_vectors_are_found() {
        // Every group is the sum of one of 4 and one of 4 others, in rows of one size.
        let entry = |book: usize, code: usize, lane: usize| ((book * 37 + code * 11 + lane * 7) % 13) as f32 - 6.0;
        let (rows, cols) = (16, 64);
        let data: Vec<f32> = (0..rows * cols)
            .map(|i| {
                let (group, lane) = (i / 8, i % 8);
                entry(0, group % 4, lane) + 0.25 * entry(1, group / 4 % 4, lane)
            })
            .collect();
        let matrix = Matrix { rows, cols, data: data.clone().into(), importance: vec![1.0; cols] };
        let encoded = encode(vec![rows, cols], &matrix, 2, 4, 8).unwrap();
        let mut row = vec![0f32; cols];
        let mut error = 0f32;
        for r in 0..rows {
            encoded.decode(r, 0, &mut row);
            error += row.iter().zip(&data[r * cols..]).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
        }
        let norm: f32 = data.iter().map(|v| v * v).sum();
        assert!((error / norm).sqrt() < 0.01, "{}", (error / norm).sqrt());
    }
}
