//! Floor 3: what each operator means for types: one file per family, each with a table of `(name, infer)`.
//!
//! Semantics are those of the newest ONNX opset; importers rewrite older forms. To add an operator: an entry in a
//! family's table here, a kernel in `cpu/` and one in `gpu/`.

pub mod attention;
#[cfg(feature = "full")]
pub mod cached_attention;
pub mod conv;
#[cfg(feature = "full")]
pub mod einsum;
pub mod elementwise;
pub mod epilogue;
#[cfg(feature = "full")]
pub mod gated_conv;
pub mod index;
pub mod infer;
#[cfg(feature = "full")]
pub mod loss;
pub mod movement;
#[cfg(feature = "full")]
pub mod next_token;
pub mod nms;
pub mod normalization;
pub mod pad;
pub mod params;
pub mod pool;
pub mod product;
pub mod quantize;
#[cfg(feature = "full")]
pub mod recurrent;
pub mod reduce;
pub mod resize;
#[cfg(feature = "full")]
pub mod sample;
pub mod shape;
#[cfg(feature = "full")]
pub mod signal;
pub mod slice;
pub mod strided;
#[cfg(test)]
pub mod testing;
#[cfg(feature = "full")]
pub mod tokens;
#[cfg(feature = "full")]
pub mod unique;

pub use infer::{Infer, InferFn};

/// Every family registers its table here: one line each.
#[rustfmt::skip]
const FAMILIES: &[&[(&str, InferFn)]] = &[
    attention::OPS,
    #[cfg(feature = "full")]
    cached_attention::OPS,
    conv::OPS,
    elementwise::OPS,
    #[cfg(feature = "full")]
    gated_conv::OPS,
    index::OPS,
    #[cfg(feature = "full")]
    loss::OPS,
    movement::OPS,
    #[cfg(feature = "full")]
    next_token::OPS,
    normalization::OPS,
    product::OPS,
    quantize::OPS,
    reduce::OPS,
    pool::OPS,
    resize::OPS,
    #[cfg(feature = "full")]
    sample::OPS,
    #[cfg(feature = "full")]
    recurrent::OPS,
    #[cfg(feature = "full")]
    signal::OPS,
    #[cfg(feature = "full")]
    einsum::OPS,
    #[cfg(feature = "full")]
    unique::OPS,
    shape::OPS,
    #[cfg(feature = "full")]
    tokens::OPS,
];

/// The shape function of an operator, if it is implemented.
pub fn find(op: &str) -> Option<InferFn> {
    FAMILIES.iter().copied().flatten().find(|(name, _)| *name == op).map(|&(_, infer)| infer)
}

/// Names of all implemented operators.
pub fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().copied().flatten().map(|&(name, _)| name)
}
