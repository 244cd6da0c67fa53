//! Few-bit weights as operands: the stages in `shaders/decode/`, and decoding to f32 ahead of a product.

use super::emit::{Emit, Operand, grid, u32_of};
use super::shader::decode_weights::{AFFINE, HALF_FLOAT, PALETTE, Params};
use crate::Result;
use crate::tensor::DType;
use crate::weights::Encoded;

/// An encoded weight as a decode stage takes it.
pub struct Coded {
    pub stage: Stage,
    /// The stage's `layout`.
    pub layout: [u32; 4],
    /// The stage's bindings, in order.
    pub operands: Vec<Operand>,
    /// The stage's overrides.
    pub overrides: Vec<(&'static str, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Palette,
    Affine,
    HalfFloat,
}

impl Coded {
    pub fn new(e: &mut Emit, encoded: &Encoded) -> Result<Self> {
        let words = |bytes_per_row: usize| u32_of(bytes_per_row / 4);
        Ok(match encoded {
            Encoded::Palette(p) => Coded {
                stage: Stage::Palette,
                layout: [words(p.codes().shape()[1])?, u32_of(p.rows_per_table())?, 0, u32::from(p.scale().is_some())],
                operands: vec![e.part(encoded, "codes")?, e.part(encoded, "table")?, e.part(encoded, "scale")?],
                overrides: vec![("BITS", p.bits().into())],
            },
            Encoded::Affine(a) => Coded {
                stage: Stage::Affine,
                layout: [
                    words(a.codes().shape()[1])?,
                    u32_of(a.group())?,
                    u32_of(a.scales().shape()[1])?,
                    u32::from(a.zeros().is_some()),
                ],
                operands: vec![e.part(encoded, "codes")?, e.part(encoded, "scales")?, e.part(encoded, "zeros")?],
                overrides: vec![("BITS", a.bits().into())],
            },
            Encoded::HalfFloat(h) => Coded {
                stage: Stage::HalfFloat,
                layout: [words(h.values().shape()[1] * DType::F16.size())?, 0, 0, 0],
                operands: vec![e.part(encoded, "values")?],
                overrides: Vec::new(),
            },
        })
    }
}

/// Decodes into a temporary buffer: `[rows, cols]`, or `[cols, rows]` when `transposed`.
pub fn to_scratch(e: &mut Emit, encoded: &Encoded, transposed: bool) -> Result<Operand> {
    let (rows, cols) = (encoded.rows(), encoded.cols());
    let out = e.scratch(rows.saturating_mul(cols))?;
    let coded = Coded::new(e, encoded)?;
    let (rows, cols) = (u32_of(rows)?, u32_of(cols)?);
    let (row_stride, col_stride) = if transposed { (1, rows) } else { (cols, 1) };
    let params = Params { weight: coded.layout, rows, cols, row_stride, col_stride };
    let mut overrides = coded.overrides;
    overrides.push(("TRANSPOSED", u32::from(transposed).into()));
    let operands: Vec<Operand> = std::iter::once(out.clone()).chain(coded.operands).collect();
    let shader = match coded.stage {
        Stage::Palette => &PALETTE,
        Stage::Affine => &AFFINE,
        Stage::HalfFloat => &HALF_FLOAT,
    };
    e.dispatch(
        shader,
        &overrides,
        &operands,
        &params,
        grid((encoded.rows() * encoded.cols().div_ceil(4)).div_ceil(64))?,
    )?;
    Ok(out)
}
