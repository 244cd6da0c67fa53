//! Weights as operands of a kernel: dense, or few-bit with a stage of `shaders/decode/`.

use super::emit::{Emit, Operand, u32_of};
use crate::Result;
use crate::tensor::DType;
use crate::weights::Encoded;

/// A weight as a kernel takes it. A kernel declares a permutation per stage and binds `operands` behind its own.
pub struct Coded {
    stage: Stage,
    /// The stage's `form`.
    pub form: [u32; 4],
    /// The stage's bindings, in order.
    pub operands: Vec<Operand>,
    /// The stage's overrides.
    pub overrides: Vec<(&'static str, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Dense,
    Palette,
    Affine,
    HalfFloat,
}

impl Coded {
    /// f32 weights; `cols` is the length of their rows.
    pub fn dense(operand: Operand, cols: usize) -> Result<Self> {
        let form = [u32_of(cols)?, 0, 0, 0];
        Ok(Coded { stage: Stage::Dense, form, operands: vec![operand], overrides: Vec::new() })
    }

    pub fn new(e: &mut Emit, encoded: &Encoded) -> Result<Self> {
        let words = |bytes_per_row: usize| u32_of(bytes_per_row / 4);
        Ok(match encoded {
            Encoded::Palette(p) => Coded {
                stage: Stage::Palette,
                form: [words(p.codes().shape()[1])?, u32_of(p.rows_per_table())?, 0, u32::from(p.scale().is_some())],
                operands: vec![e.part(encoded, "codes")?, e.part(encoded, "table")?, e.part(encoded, "scale")?],
                overrides: vec![("BITS", p.bits().into())],
            },
            Encoded::Affine(a) => Coded {
                stage: Stage::Affine,
                form: [
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
                form: [words(h.values().shape()[1] * DType::F16.size())?, 0, 0, 0],
                operands: vec![e.part(encoded, "values")?],
                overrides: Vec::new(),
            },
        })
    }

    /// Weight `i` of the node, of `cols` columns.
    pub fn input(e: &mut Emit, i: usize, cols: usize) -> Result<Self> {
        match e.encoded(i) {
            Some(encoded) => Self::new(e, encoded),
            None => Self::dense(e.input(i)?, cols),
        }
    }

    pub fn is_dense(&self) -> bool {
        self.stage == Stage::Dense
    }

    /// The kernel with this weight's stage.
    pub fn pick<T>(&self, dense: T, palette: T, affine: T, half_float: T) -> T {
        match self.stage {
            Stage::Dense => dense,
            Stage::Palette => palette,
            Stage::Affine => affine,
            Stage::HalfFloat => half_float,
        }
    }
}
