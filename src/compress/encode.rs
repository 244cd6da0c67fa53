//! One weight into one encoding.

use super::affine::AffineGrid;
use super::codebook;
use super::dual::DualGrid;
use super::elastic;
use super::feedback::{Feedback, Statistics};
use super::grid::{Grid, HalfGrid, Matrix};
use super::palette::PaletteGrid;
use super::round::{Places, round};
use super::sparse::Mask;
use super::spec::{Pattern, Spec};
use super::table::TableGrid;
use super::vector_palette::VectorGrid;
use crate::graph::Weight;
use crate::tensor::{Shape, Tensor};
use crate::weights::{Affine, Dual, Encoded, HalfFloat, Palette, Sparse};
use crate::{Error, Result};

/// Encodes a dense f32 weight `[rows, …]` by its values alone.
pub fn encode(weight: &Tensor, spec: &Spec) -> Result<Weight> {
    encode_with(weight, spec, None, None)
}

/// The statistics, if they are those of a weight's columns.
pub fn fitting<'a>(weight: &Tensor, statistics: Option<&'a Statistics>) -> Option<&'a Statistics> {
    let cols: usize = weight.shape().iter().skip(1).product();
    statistics.filter(|s| s.inputs == cols && s.samples > 0)
}

/// Encodes a dense f32 weight `[rows, …]`. With `statistics` of its inputs and their feedback, the rounding minimises the
/// error of the outputs instead of that of the weights; they fit only where a row has as many weights as there are inputs.
pub fn encode_with(
    weight: &Tensor,
    spec: &Spec,
    statistics: Option<&Statistics>,
    feedback: Option<&Feedback>,
) -> Result<Weight> {
    let shape = weight.shape().to_vec();
    let Some((&rows, rest)) = shape.split_first() else {
        return Err(Error::Usage("a scalar cannot be compressed".into()));
    };
    let cols: usize = rest.iter().product();
    let data = weight.slice::<f32>()?;
    if data.iter().any(|v| !v.is_finite()) {
        return Err(Error::Usage("the weight has values that are not finite".into()));
    }
    if *spec == Spec::F32 {
        return Ok(Weight::Dense(weight.clone()));
    }
    let importance = fitting(weight, statistics).map_or_else(|| vec![1.0; cols], Statistics::importance);
    let matrix = Matrix { rows, cols, data: data.into(), importance };
    Ok(Weight::Encoded(encode_matrix(shape, &matrix, spec, feedback)?.into()))
}

fn encode_matrix(shape: Shape, matrix: &Matrix, spec: &Spec, feedback: Option<&Feedback>) -> Result<Encoded> {
    let Spec::Sparse { pattern, values } = spec else {
        return encode_values(shape, matrix, spec, &|grid| round(matrix, grid, None, feedback));
    };
    let mask = Mask::choose(matrix, *pattern);
    let kept = mask.gather(matrix);
    let places: &dyn Places = &mask;
    let inner = vec![kept.rows, kept.cols];
    // Feedback makes up for what was left out, too.
    let values = encode_values(inner, &kept, values, &|grid| round(matrix, grid, Some(places), feedback))?;
    let two_of_four = *pattern == Pattern::TwoOfFour;
    Ok(Sparse::new(shape, mask.into_tensor()?, values.into(), two_of_four)?.into())
}

/// `matrix` gives the grid its range, `round` the codes on it.
fn encode_values(
    shape: Shape,
    matrix: &Matrix,
    spec: &Spec,
    round: &dyn Fn(&dyn Grid) -> Result<Tensor>,
) -> Result<Encoded> {
    let cols = matrix.cols;
    Ok(match *spec {
        Spec::F16 => half_float(shape, matrix, &round(&HalfGrid)?)?.into(),
        Spec::Palette { bits, rows, dim, factors } => {
            let rows_per_table = rows.unwrap_or(matrix.rows).clamp(1, matrix.rows.max(1)).next_multiple_of(dim);
            let (codes, table, scale) = if dim == 1 {
                let grid = PaletteGrid::fit(matrix, bits, rows_per_table, factors);
                let codes = round(&grid)?;
                let (table, scale) = grid.into_tensors()?;
                (codes, table, scale)
            } else {
                let grid = VectorGrid::fit(matrix, bits, dim, rows_per_table, factors);
                let codes = round(&grid)?;
                let (table, scale) = grid.into_tensors()?;
                (codes, table, scale)
            };
            Palette::with(shape, bits, rows_per_table, dim, codes, table, scale)?.into()
        }
        Spec::Affine { bits, group, symmetric } => {
            let grid = AffineGrid::fit(matrix, bits, group, symmetric);
            let codes = round(&grid)?;
            let (scales, zero) = grid.into_tensors()?;
            Affine::new(shape, bits, group, codes, scales, zero)?.into()
        }
        Spec::Table { table, group } => {
            let grid = TableGrid::fit(matrix, table, group.min(cols.max(1)));
            let codes = round(&grid)?;
            let (table, scale) = grid.into_tensors()?;
            Palette::with(shape, 4, matrix.rows.max(1), 1, codes, table, Some(scale))?.into()
        }
        Spec::Codebook { books, bits, group } => codebook::encode(shape, matrix, books, bits, group)?.into(),
        Spec::Dual { group } => {
            let grid = DualGrid::fit(matrix, group);
            let codes = round(&grid)?;
            let (grid, channel) = grid.into_tensors()?;
            Dual::new(shape, group, codes, grid, channel)?.into()
        }
        Spec::Elastic => elastic::encode(shape, matrix)?.into(),
        Spec::F32 | Spec::Sparse { .. } | Spec::LowRank { .. } | Spec::Auto { .. } => {
            return Err(Error::Usage(format!("`{spec}` is no encoding of a single matrix")));
        }
    })
}

/// `codes`: f16 as bytes, `[rows, stride]`.
fn half_float(shape: Shape, matrix: &Matrix, codes: &Tensor) -> Result<HalfFloat> {
    let values: &[half::f16] = bytemuck::cast_slice(codes.bytes());
    if values.iter().any(|v| !v.is_finite()) {
        return Err(Error::Usage("a value does not fit in f16; exclude this weight".into()));
    }
    HalfFloat::new(shape, Tensor::new([matrix.rows, matrix.cols.next_multiple_of(2)], values)?)
}
