//! Weights as operands of a kernel: dense, or few-bit with a stage of `shaders/decode/`. One file per encoding.

mod affine;
mod codebook;
mod coded;
mod dual;
mod half_float;
mod kquant;
mod palette;
#[cfg(feature = "full")]
mod sparse;
mod window;

pub use coded::Coded;
pub use window::{Window, ranges, slice};

use super::emit::Emit;
use crate::Result;
use crate::weights::Encoded;

/// Sends the node to the CPU if the encoding has no stage.
pub fn coded(e: &mut Emit, window: &Window) -> Result<Coded> {
    match window.encoded {
        Encoded::Palette(w) => palette::coded(e, window, w),
        Encoded::Affine(w) => affine::coded(e, window, w),
        Encoded::HalfFloat(_) => half_float::coded(e, window),
        Encoded::KQuant(w) => kquant::coded(e, window, w),
        Encoded::Codebook(w) => codebook::coded(e, window, w),
        Encoded::Dual(w) => dual::coded(e, window, w),
        #[cfg(feature = "full")]
        Encoded::Sparse(w) => sparse::coded(e, window, w),
        #[cfg(not(feature = "full"))]
        Encoded::Sparse(_) => Err(e.unsupported("sparse weights")),
        #[cfg(any(feature = "cli", feature = "full"))]
        Encoded::Elastic(_) => Err(e.unsupported("elastic weights without a precision")),
        #[cfg(any(feature = "cli", feature = "full"))]
        Encoded::Blocks(_) => Err(e.unsupported("block-sparse weights")),
    }
}

/// The weight as signed bytes, if its encoding has them.
#[cfg(feature = "full")]
pub fn byte_coded(e: &mut Emit, window: &Window) -> Result<Option<Coded>> {
    match window.encoded {
        Encoded::Palette(w) => palette::byte_coded(e, window, w),
        Encoded::Affine(w) => affine::byte_coded(e, window, w),
        Encoded::KQuant(_) | Encoded::Dual(_) => coded(e, window).map(Some),
        _ => Ok(None),
    }
}

/// Weight `i` of the node, of `cols` columns.
pub fn coded_input(e: &mut Emit, i: usize, cols: usize) -> Result<Coded> {
    match e.encoded(i) {
        Some(encoded) => coded(e, &Window::all(encoded)),
        None => Coded::dense(e.input(i)?, cols),
    }
}
