//! What the kernels of products compute, and of what.

use super::decode::Coded;
use super::emit::Operand;

/// A batch of products `c = act(alpha · a · b + beta · bias + residual)`.
pub struct Product {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    /// The `n` columns are those from `first` on of `total` of `bias`, `residual` and `c`.
    pub first: usize,
    pub total: usize,
    /// Offsets of `a` and `b`, in elements, per product; a few-bit `b` has one product from their first elements on.
    pub offsets: Vec<[u32; 2]>,
    /// Elements between rows and columns.
    pub a: [usize; 2],
    pub b: [usize; 2],
    pub bias: [usize; 2],
    pub alpha: f32,
    pub beta: f32,
}

pub struct Operands {
    pub a: Operand,
    /// Dense at its strides, or few-bit as `[n, k]`.
    pub b: Coded,
    /// Few-bit b as bytes, if a may be rounded to 8 bits and there are kernels for it.
    pub bytes: Option<Coded>,
    pub bias: Operand,
    pub residual: Operand,
    pub c: Operand,
}
