//! Floor 3: what each operator means for types: one file per family, each with a table of `(name, infer)`.
//!
//! Semantics are those of the newest ONNX opset; importers rewrite older forms. To add an operator: an entry in a
//! family's table here, a kernel in `cpu/` and one in `gpu/`.

pub mod attention;
pub mod conv;
pub mod elementwise;
pub mod epilogue;
pub mod infer;
pub mod loss;
pub mod normalization;
pub mod product;
pub mod quantize;
pub mod reduce;

pub use infer::{Infer, InferFn};

/// Every family registers its table here: one line each.
const FAMILIES: &[&[(&str, InferFn)]] = &[
    elementwise::OPS,
    reduce::OPS,
    normalization::OPS,
    quantize::OPS,
    loss::OPS,
    attention::OPS,
    conv::OPS,
    product::OPS,
];

/// The shape function of an operator, if it is implemented.
pub fn find(op: &str) -> Option<InferFn> {
    FAMILIES.iter().copied().flatten().find(|(name, _)| *name == op).map(|&(_, infer)| infer)
}

/// Names of all implemented operators.
pub fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().copied().flatten().map(|&(name, _)| name)
}
