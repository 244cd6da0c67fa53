//! One weight into one encoding.

use super::affine::AffineGrid;
use super::blocks::BlockMask;
use super::codebook;
use super::dual::DualGrid;
use super::elastic;
use super::feedback::{Feedback, Statistics};
use super::grid::{Grid, HalfGrid, Matrix};
use super::palette::PaletteGrid;
use super::prune::worth;
use super::refit::{self, Tables};
use super::round::{Places, round};
use super::sparse::Mask;
use super::spec::{Pattern, Spec};
use super::table::TableGrid;
use super::vector_palette::VectorGrid;
use crate::graph::Weight;
use crate::tensor::{Shape, Tensor};
use crate::weights::{Affine, Blocks, Dual, Encoded, HalfFloat, Palette, Sparse};
use crate::{Error, Result};

/// What guides the rounding of a weight.
pub struct Guide<'a> {
    pub statistics: &'a Statistics,
    pub feedback: Option<&'a Feedback>,
    /// Whether tables are fitted once more to the codes that were chosen.
    pub refit: bool,
}

/// The statistics, if they are those of a weight's columns.
pub fn fitting<'a>(weight: &Tensor, statistics: Option<&'a Statistics>) -> Option<&'a Statistics> {
    let cols: usize = weight.shape().iter().skip(1).product();
    statistics.filter(|s| s.inputs == cols && s.samples > 0)
}

/// Encodes a dense f32 weight `[rows, …]`. With a guide, whose statistics are `fitting`, the rounding minimises the error
/// of the outputs instead of that of the weights.
pub fn encode(weight: &Tensor, spec: &Spec, guide: Option<&Guide>) -> Result<Weight> {
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
    let importance = guide.map_or_else(|| vec![1.0; cols], |g| g.statistics.importance());
    let matrix = Matrix { rows, cols, data: data.into(), importance };
    Ok(Weight::Encoded(encode_matrix(shape, &matrix, spec, guide)?.into()))
}

fn encode_matrix(shape: Shape, matrix: &Matrix, spec: &Spec, guide: Option<&Guide>) -> Result<Encoded> {
    let fed = guide.and_then(|g| Some((g.feedback?, g.statistics)));
    // What was left out is made up for by what is rounded, too.
    let rounded = |kept: &Matrix, values: &Spec, places: &dyn Places| {
        let inner = vec![kept.rows, kept.cols];
        encode_values(inner, kept, values, None, &|grid| round(matrix, grid, Some(places), fed))
    };
    match spec {
        Spec::Sparse { pattern, values } => {
            let (mask, kept) = Mask::choose(matrix, *pattern, fed.map(|(_, statistics)| statistics));
            let values = rounded(&kept, values, &mask)?;
            let two_of_four = *pattern == Pattern::TwoOfFour;
            Ok(Sparse::new(shape, mask.into_tensor()?, values.into(), two_of_four)?.into())
        }
        Spec::Blocks { size, share, values } => {
            let worth = fed.map(|(feedback, statistics)| worth(statistics, feedback));
            let mask = BlockMask::choose(matrix, *size, *share, worth.as_deref())?;
            let values = rounded(&mask.gather(matrix), values, &mask)?;
            Ok(Blocks::new(shape, *size, mask.into_tensor()?, values.into())?.into())
        }
        _ => {
            // Channels that share statistics differ too much for what is fitted to the sum of all.
            let tables = guide.filter(|g| g.refit && !g.statistics.shared).map(|g| g.statistics);
            encode_values(shape, matrix, spec, tables, &|grid| round(matrix, grid, None, fed))
        }
    }
}

/// `matrix` gives the grid its range, `round` the codes on it, `statistics` of the inputs the tables a second form.
fn encode_values(
    shape: Shape,
    matrix: &Matrix,
    spec: &Spec,
    statistics: Option<&Statistics>,
    round: &dyn Fn(&dyn Grid) -> Result<Tensor>,
) -> Result<Encoded> {
    let cols = matrix.cols;
    Ok(match *spec {
        Spec::F16 => half_float(shape, matrix, &round(&HalfGrid)?)?.into(),
        Spec::Palette { bits, rows, dim, factors } => {
            let rows_per_table = rows.unwrap_or(matrix.rows).clamp(1, matrix.rows.max(1)).next_multiple_of(dim);
            let (codes, table, scale) = if dim == 1 {
                let mut grid = PaletteGrid::fit(matrix, bits, rows_per_table, factors);
                let codes = refit::codes(&mut grid, matrix, rows_per_table, statistics, round)?;
                let (table, scale) = grid.into_tensors()?;
                (codes, table, scale)
            } else {
                let mut grid = VectorGrid::fit(matrix, bits, dim, rows_per_table, factors);
                let codes = refit::codes(&mut grid, matrix, rows_per_table, statistics, round)?;
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
        Spec::F32 | Spec::Sparse { .. } | Spec::Blocks { .. } | Spec::LowRank { .. } | Spec::Auto { .. } => {
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
