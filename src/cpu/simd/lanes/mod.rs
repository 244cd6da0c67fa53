//! What the few-bit kernels ask of an instruction set: vectors of 32-bit lanes, read as floats, as integers or as
//! quads, which are four codes of one byte each.

mod avx2;
mod avx512;
mod instructions;
mod strided;

pub use avx2::Avx2;
pub use avx512::Avx512;
pub use instructions::{Bytes, Lanes, MAX_LANES};
