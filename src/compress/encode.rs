//! One weight into one encoding.

use rayon::prelude::*;

use super::affine::AffineGrid;
use super::feedback::{Feedback, Statistics};
use super::grid::{Grid, Matrix};
use super::palette::PaletteGrid;
use super::spec::Spec;
use crate::graph::Weight;
use crate::tensor::{DType, Tensor, TensorType, bits};
use crate::weights::{Affine, Encoded, HalfFloat, Palette};
use crate::{Error, Result};

/// Encodes a dense f32 weight `[rows, …]`. With `statistics` of its inputs, the rounding minimises the error of the
/// outputs instead of that of the weights; they fit only where a row has as many weights as there are inputs.
pub fn encode(weight: &Tensor, spec: &Spec, statistics: Option<&Statistics>) -> Result<Weight> {
    let shape = weight.shape().to_vec();
    let Some((&rows, rest)) = shape.split_first() else {
        return Err(Error::Usage("a scalar cannot be compressed".into()));
    };
    let cols: usize = rest.iter().product();
    let data = weight.slice::<f32>()?;
    if data.iter().any(|v| !v.is_finite()) {
        return Err(Error::Usage("the weight has values that are not finite".into()));
    }
    let statistics = statistics.filter(|s| s.inputs == cols && s.samples > 0);
    let importance = statistics.map_or_else(|| vec![1.0; cols], Statistics::importance);
    let matrix = Matrix { rows, cols, data, importance };
    let feedback = statistics.and_then(Feedback::new);
    let encoded = match *spec {
        Spec::F32 => return Ok(Weight::Dense(weight.clone())),
        Spec::F16 => half_float(shape, &matrix)?,
        Spec::Palette { bits, rows: rows_per_table, scale } => {
            let rows_per_table = rows_per_table.unwrap_or(rows).clamp(1, rows.max(1));
            let grid = PaletteGrid::fit(&matrix, bits, rows_per_table, scale);
            let codes = round(&matrix, &grid, feedback.as_ref())?;
            let (table, scale) = grid.into_tensors()?;
            Encoded::Palette(Palette::new(shape, bits, rows_per_table, codes, table, scale)?)
        }
        Spec::Affine { bits, group, symmetric } => {
            let grid = AffineGrid::fit(&matrix, bits, group, symmetric);
            let codes = round(&matrix, &grid, feedback.as_ref())?;
            let (scales, zero) = grid.into_tensors()?;
            Encoded::Affine(Affine::new(shape, bits, group, codes, scales, zero)?)
        }
    };
    Ok(Weight::Encoded(encoded.into()))
}

fn half_float(shape: Vec<usize>, matrix: &Matrix) -> Result<Encoded> {
    let stride = matrix.cols.next_multiple_of(2);
    let mut values = vec![half::f16::ZERO; matrix.rows * stride];
    for (row, out) in values.chunks_exact_mut(stride.max(1)).enumerate() {
        for (v, h) in matrix.row(row).iter().zip(out) {
            *h = half::f16::from_f32(*v);
            if h.is_infinite() {
                return Err(Error::Usage(format!("{v} does not fit in f16; exclude this weight")));
            }
        }
    }
    Ok(Encoded::HalfFloat(HalfFloat::new(shape, Tensor::new([matrix.rows, stride], &values)?)?))
}

/// Rounds every row to the grid: u8 `[rows, stride]`, codes LSB-first, rows padded to 32 bits.
fn round(matrix: &Matrix, grid: &dyn Grid, feedback: Option<&Feedback>) -> Result<Tensor> {
    let stride = (matrix.cols * grid.bits() as usize).div_ceil(32) * 4;
    let mut packed = Tensor::zeros(TensorType::new(DType::U8, [matrix.rows, stride]))?;
    packed.bytes_mut().par_chunks_mut(stride.max(1)).enumerate().for_each(|(row, out)| {
        let mut values = matrix.row(row).to_vec();
        let codes: Vec<u8> = (0..matrix.cols)
            .map(|col| {
                let (code, rounded) = grid.nearest(row, col, values[col]);
                if let Some(feedback) = feedback {
                    feedback.spread(&mut values, col, rounded);
                }
                code
            })
            .collect();
        let bytes = bits::pack(&codes, grid.bits());
        out[..bytes.len()].copy_from_slice(&bytes);
    });
    Ok(packed)
}
