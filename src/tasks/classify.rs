//! Image classification: photo → labels.

#[cfg(feature = "full")]
use super::EarlyExit;
use crate::graph::{ImageInput, Manifest, Model};
use crate::runtime::{Device, Session};
use crate::tensor::{Tensor, order};
use crate::vision::{Photo, image_tensor};
use crate::{Error, Result};

/// A classifier on a device, ready to label photos.
pub struct Classifier {
    session: Session,
    /// Instead of the session.
    #[cfg(feature = "full")]
    exits: Option<EarlyExit>,
    input: String,
    image: ImageInput,
    labels: Vec<String>,
    /// The graph ends in Softmax: its outputs are scores already.
    normalized: bool,
    #[cfg(feature = "full")]
    token_map: Option<Tensor>,
}

/// One class and how sure the model is of it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Prediction {
    pub index: usize,
    /// The class's name; its number where the model has no names.
    pub label: String,
    /// Softmax probability, 0–1.
    pub score: f32,
}

impl Classifier {
    /// The model must take one image, and its manifest must say how a photo becomes that input. Early exits are left out.
    pub fn new(model: &Model, device: &Device) -> Result<Self> {
        let graph = model.graph.without_exits();
        let (&[input], &[output]) = (graph.inputs.as_slice(), graph.outputs.as_slice()) else {
            return Err(Error::Unsupported(format!(
                "a classifier has one input and one output, this model has {} and {}",
                graph.inputs.len(),
                graph.outputs.len()
            )));
        };
        let image = model.manifest.image.clone().ok_or_else(|| {
            let what = "the model does not say how a photo becomes its input";
            Error::Unsupported(format!("{what}; add `image` to it with `fewbit convert --manifest FILE`"))
        })?;
        let last = graph.nodes.iter().find(|n| n.outputs.contains(&Some(output)));
        Ok(Classifier {
            input: graph.value(input).name.clone(),
            normalized: last.is_some_and(|n| n.op == "Softmax"),
            session: Session::new(&Model { graph, manifest: Manifest::default() }, device)?,
            #[cfg(feature = "full")]
            exits: None,
            image,
            labels: model.manifest.labels.clone(),
            #[cfg(feature = "full")]
            token_map: None,
        })
    }

    /// The same for a model with early exits (`EarlyExit`), which stops at the first that is less unsure than `threshold`.
    #[cfg(feature = "full")]
    pub fn with_exits(model: &Model, device: &Device, threshold: f32) -> Result<Self> {
        let exits = EarlyExit::new(model, device, threshold)?;
        Ok(Classifier { exits: Some(exits), ..Self::new(model, device)? })
    }

    /// The `top_k` likeliest classes, best first.
    #[cfg(all(any(feature = "cli", feature = "gpu"), not(target_arch = "wasm32")))]
    pub fn classify(&mut self, photo: &Photo, top_k: usize) -> Result<Vec<Prediction>> {
        pollster::block_on(self.classify_async(photo, top_k))
    }

    /// The same without blocking, for browsers.
    pub async fn classify_async(&mut self, photo: &Photo, top_k: usize) -> Result<Vec<Prediction>> {
        let input = image_tensor(photo, &self.image)?;
        let inputs = [(self.input.as_str(), &input)];
        #[cfg(feature = "full")]
        let outputs = match &mut self.exits {
            Some(exits) => exits.run_async(&inputs).await?.outputs,
            None => self.session.run_async(&inputs).await?,
        };
        #[cfg(not(feature = "full"))]
        let outputs = self.session.run_async(&inputs).await?;
        let (_, logits) = outputs.first().ok_or_else(|| Error::Unsupported("the model has no output".into()))?;
        #[cfg(feature = "full")]
        (self.token_map = outputs.get(1).map(|(_, map)| map.clone()));
        self.best(logits, top_k)
    }

    /// The session underneath, for its report; of no use with early exits.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// What runs instead of the session where there are early exits.
    #[cfg(feature = "full")]
    pub fn exits(&self) -> Option<&EarlyExit> {
        self.exits.as_ref()
    }

    /// See `Session::set_precision`.
    #[cfg(any(feature = "cli", feature = "full"))]
    pub fn set_precision(&mut self, precision: crate::weights::elastic::Precision) -> Result<()> {
        #[cfg(feature = "full")]
        if let Some(exits) = &mut self.exits {
            exits.set_precision(precision)?;
        }
        self.session.set_precision(precision)
    }

    /// See `Session::set_activations`.
    pub fn set_activations(&mut self, activations: crate::runtime::Activations) {
        #[cfg(feature = "full")]
        if let Some(exits) = &mut self.exits {
            exits.set_activations(activations);
        }
        self.session.set_activations(activations);
    }

    /// See `Session::set_tokens`. Early exits see all tokens.
    #[cfg(feature = "full")]
    pub fn set_tokens(&mut self, tokens: Option<crate::runtime::Tokens>) {
        self.session.set_tokens(tokens);
    }

    /// Of the last photo, if it was asked for: i32 `[1, tokens]`, which row each token ended in (`runtime::TOKEN_MAP`).
    #[cfg(feature = "full")]
    pub fn token_map(&self) -> Option<&Tensor> {
        self.token_map.as_ref()
    }

    fn best(&self, logits: &Tensor, top_k: usize) -> Result<Vec<Prediction>> {
        let logits = logits.to_f32()?;
        let scores = if self.normalized { logits } else { softmax(&logits) };
        // Equal scores: the lower index first, on every device.
        let best = order::first(top_k, scores.len(), &|a, b| scores[b].total_cmp(&scores[a]));
        let label = |i: usize| self.labels.get(i).cloned().unwrap_or_else(|| i.to_string());
        Ok(best.into_iter().map(|index| Prediction { index, label: label(index), score: scores[index] }).collect())
    }
}

/// `exp(x − max) / Σ exp(x − max)`.
fn softmax(x: &[f32]) -> Vec<f32> {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exp: Vec<f32> = x.iter().map(|v| (v - max).exp()).collect();
    let sum: f32 = exp.iter().sum();
    exp.iter().map(|v| v / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_sums_to_one_and_survives_large_logits() {
        let p = softmax(&[1e4, 1e4 - 1.0, -1e4]);
        assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((p[0] / p[1] - 1f32.exp()).abs() < 1e-5);
    }
}
