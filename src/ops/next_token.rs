//! The next token: the one with the greatest logit, or one that is drawn.

use super::infer::{Infer, InferFn};
use crate::Result;
use crate::tensor::{DType, Tensor, TensorType};

pub const OPS: &[(&str, InferFn)] = &[("fewbit.NextToken", next_token), ("fewbit.DrawToken", draw_token)];

/// What `fewbit.DrawToken` takes beside logits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    /// Logits are multiplied by this.
    pub inverse_temperature: f32,
    /// So many of the likeliest tokens stay, and those that are as likely as the last; 0: all.
    pub top_k: usize,
    /// Of these the likeliest with this probability together, and those that are as likely as the last; 1: all.
    pub top_p: f32,
    /// Of these all with at least this part of the likeliest one's probability.
    pub min_p: f32,
    /// Which of them, in `0.0..1.0` along their probabilities in the order of their ids.
    pub uniform: f32,
}

impl Draw {
    /// `[5]`, in the order of the fields.
    pub fn tensor(&self) -> Result<Tensor> {
        let Draw { inverse_temperature, top_k, top_p, min_p, uniform } = *self;
        Tensor::new([5], &[inverse_temperature, top_k as f32, top_p, min_p, uniform])
    }

    /// From such a tensor's values.
    pub fn read(values: &[f32]) -> Option<Self> {
        let &[inverse_temperature, top_k, top_p, min_p, uniform] = values else { return None };
        Some(Draw { inverse_temperature, top_k: top_k as usize, top_p, min_p, uniform })
    }
}

/// Logits f32 `[…, vocabulary]` → ids i64 `[…]`: which logit of a row is the greatest, the lowest id of equals; −1 where one
/// is no finite number.
fn next_token(infer: &Infer) -> Result<Vec<TensorType>> {
    match infer.shape(0)? {
        [rows @ .., vocabulary] if *vocabulary > 0 && infer.dtype(0)? == DType::F32 => infer.one(DType::I64, rows),
        shape => Err(infer.node.error(format!("logits of shape {shape:?} in {}", infer.dtype(0)?.name()))),
    }
}

/// Logits and `Draw::tensor` → ids as `next_token` gives.
fn draw_token(infer: &Infer) -> Result<Vec<TensorType>> {
    match (infer.shape(1)?, infer.dtype(1)?) {
        ([5], DType::F32) => next_token(infer),
        (shape, dtype) => Err(infer.node.error(format!("draws by {shape:?} of {}", dtype.name()))),
    }
}
