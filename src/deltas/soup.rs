//! Models between models of one architecture: their weights' mean (model soups, Wortsman et al. 2022a) and a line from one to
//! another (WiSE-FT, Wortsman et al. 2022b).

use std::sync::Arc;

use half::{bf16, f16};

use super::names::pairs;
use crate::graph::{Graph, Weight};
use crate::tensor::{DType, Tensor};
use crate::weights::{Encoded, Encoding, HalfFloat};
use crate::{Error, Result};

/// `(1 − alpha) · from + alpha · to`, each value in f64 and rounded once to its type; at 0 and 1 the tensors themselves.
/// `Error::Usage` for models whose tensors have other names, types or shapes, or an `alpha` that is no number;
/// `Error::Unsupported` where tensors of few bits differ.
pub fn blend(from: &Graph, to: &Graph, alpha: f64) -> Result<Graph> {
    if !alpha.is_finite() {
        return Err(Error::Usage(format!("models cannot be blended by {alpha}")));
    }
    weighted(&[(from, 1.0 - alpha), (to, alpha)])
}

/// The mean of one or more models; of one, itself. Values and errors as of `blend`.
pub fn mean(models: &[&Graph]) -> Result<Graph> {
    let share = 1.0 / models.len().max(1) as f64;
    weighted(&models.iter().map(|&graph| (graph, share)).collect::<Vec<_>>())
}

/// `Σ factor · weights` in the graph of the first model.
fn weighted(models: &[(&Graph, f64)]) -> Result<Graph> {
    let Some(&(first, _)) = models.first() else {
        return Err(Error::Usage("a mean needs a model".into()));
    };
    let others: Vec<_> = models.iter().map(|(graph, _)| pairs(first, graph)).collect::<Result<_>>()?;
    let mut graph = first.clone();
    for (i, &(name, id, _)) in others.iter().flatten().take(first.weights.len()).enumerate() {
        // What has no part in the sum must not spoil it, as infinities and signs of zeros would.
        let terms = models.iter().zip(&others).filter(|((_, factor), _)| *factor != 0.0);
        let terms: Vec<(&Weight, f64)> =
            terms.filter_map(|((graph, factor), pairs)| Some((graph.weights.get(&pairs[i].2)?, *factor))).collect();
        let Some(&(one, _)) = terms.first() else { continue };
        let weight = match terms.iter().all(|(weight, _)| same(one, weight)) {
            true => one.clone(),
            false => sum(name, &terms)?,
        };
        graph.weights.insert(id, weight);
    }
    Ok(graph)
}

/// Whether two weights are the same bytes.
pub fn same(one: &Weight, other: &Weight) -> bool {
    match (one, other) {
        (Weight::Dense(one), Weight::Dense(other)) => one.ty() == other.ty() && one.bytes() == other.bytes(),
        (Weight::Encoded(one), Weight::Encoded(other)) => {
            let (parts, others) = (one.stored_parts(), other.stored_parts());
            let equal = |((name, part), (other_name, other)): (&(String, &Tensor), &(String, &Tensor))| {
                name == other_name && part.ty() == other.ty() && part.bytes() == other.bytes()
            };
            one.name() == other.name()
                && one.shape() == other.shape()
                && parts.len() == others.len()
                && parts.iter().zip(&others).all(equal)
        }
        _ => false,
    }
}

fn sum(name: &str, terms: &[(&Weight, f64)]) -> Result<Weight> {
    let mut total = Vec::new();
    for (weight, factor) in terms {
        let values = values(name, weight)?;
        total.resize(values.len(), 0.0);
        total.iter_mut().zip(values).for_each(|(total, value)| *total += factor * value);
    }
    let ty = terms[0].0.ty();
    let halves =
        |total: Vec<f64>| Tensor::new(ty.shape.clone(), &total.into_iter().map(f16::from_f64).collect::<Vec<_>>());
    let tensor = match (terms[0].0, ty.dtype) {
        (Weight::Encoded(_), _) => {
            return Ok(Weight::Encoded(Arc::new(HalfFloat::of(&halves(total)?)?.into())));
        }
        (_, DType::F64) => Tensor::new(ty.shape.clone(), &total),
        (_, DType::F16) => halves(total),
        (_, DType::BF16) => Tensor::new(ty.shape.clone(), &total.into_iter().map(bf16::from_f64).collect::<Vec<_>>()),
        _ => Tensor::new(ty.shape.clone(), &total.into_iter().map(|value| value as f32).collect::<Vec<_>>()),
    };
    tensor.map(Weight::Dense)
}

fn values(name: &str, weight: &Weight) -> Result<Vec<f64>> {
    let wide = |tensor: &Tensor| Ok(tensor.to_f32()?.into_iter().map(f64::from).collect());
    match weight {
        Weight::Dense(tensor) => match tensor.dtype() {
            DType::F64 => Ok(tensor.slice::<f64>()?.to_vec()),
            dtype if dtype.is_float() => wide(tensor),
            dtype => Err(Error::Usage(format!("`{name}` is {}, and differs: no mean of it makes sense", dtype.name()))),
        },
        Weight::Encoded(encoded) if matches!(**encoded, Encoded::HalfFloat(_)) => wide(&encoded.to_dense()?),
        Weight::Encoded(_) => {
            Err(Error::Unsupported(format!("`{name}` has few bits: blend models first, then compress")))
        }
    }
}
