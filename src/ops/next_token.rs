//! The next token of greedy decoding.

use super::infer::{Infer, InferFn};
use crate::Result;
use crate::tensor::{DType, TensorType};

pub const OPS: &[(&str, InferFn)] = &[("fewbit.NextToken", next_token)];

/// Logits f32 `[…, vocabulary]` → ids i64 `[…]`: which logit of a row is the greatest, the lowest id of equals; −1 where one
/// is no finite number.
fn next_token(infer: &Infer) -> Result<Vec<TensorType>> {
    match infer.shape(0)? {
        [rows @ .., vocabulary] if *vocabulary > 0 && infer.dtype(0)? == DType::F32 => infer.one(DType::I64, rows),
        shape => Err(infer.node.error(format!("logits of shape {shape:?} in {}", infer.dtype(0)?.name()))),
    }
}
