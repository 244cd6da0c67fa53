//! Types of the losses.

use super::{Infer, InferFn};
use crate::Result;
use crate::tensor::TensorType;

pub const OPS: &[(&str, InferFn)] = &[("NegativeLogLikelihoodLoss", loss), ("SoftmaxCrossEntropyLoss", loss)];

/// Scores `[batch, classes, …]`, labels `[batch, …]`: one loss a label, or one in all. Output 1: log-probabilities.
fn loss(infer: &Infer) -> Result<Vec<TensorType>> {
    let (scores, labels) = (infer.shape(0)?, infer.shape(1)?);
    if scores.len() < 2 || scores[0] != *labels.first().unwrap_or(&0) || scores[2..] != labels[1..] {
        return Err(infer.node.error(format!("labels of shape {labels:?} do not fit scores of shape {scores:?}")));
    }
    if infer.opt_ty(2).is_some_and(|w| w.len() != scores[1]) {
        return Err(infer.node.error(format!("{} weights for {} classes", infer.ty(2)?.len(), scores[1])));
    }
    let shape = match infer.node.attrs.string_or("reduction", "mean") {
        "none" => labels.to_vec(),
        _ => vec![],
    };
    let mut types = infer.one(infer.dtype(0)?, shape)?;
    if infer.node.outputs.len() > 1 {
        types.push(infer.ty(0)?.clone());
    }
    Ok(types)
}
