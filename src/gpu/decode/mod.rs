//! Weights as operands of a kernel: dense, or few-bit with a stage of `shaders/decode/`. One file per encoding.

mod affine;
mod codebook;
mod coded;
mod dual;
mod half_float;
mod kquant;
mod palette;

pub use coded::Coded;

use super::emit::Emit;
use crate::Result;
use crate::weights::Encoded;

/// Sends the node to the CPU if the encoding has no stage.
pub fn coded(e: &mut Emit, encoded: &Encoded) -> Result<Coded> {
    match encoded {
        Encoded::Palette(w) => palette::coded(e, encoded, w),
        Encoded::Affine(w) => affine::coded(e, encoded, w),
        Encoded::HalfFloat(_) => half_float::coded(e, encoded),
        Encoded::KQuant(w) => kquant::coded(e, encoded, w),
        Encoded::Codebook(w) => codebook::coded(e, encoded, w),
        Encoded::Dual(w) => dual::coded(e, encoded, w),
        Encoded::Sparse(_) => Err(e.unsupported("sparse weights")),
    }
}

/// Weight `i` of the node, of `cols` columns.
pub fn coded_input(e: &mut Emit, i: usize, cols: usize) -> Result<Coded> {
    match e.encoded(i) {
        Some(encoded) => coded(e, encoded),
        None => Coded::dense(e.input(i)?, cols),
    }
}
