//! How well a language model predicts a text.

use super::Decoder;
use crate::{Error, Result};

/// exp of the mean negative log-likelihood, and how many tokens it is the mean of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Perplexity {
    pub perplexity: f64,
    pub tokens: usize,
}

/// Cuts `tokens` into windows of `context`, the rest left out, and scores the second half of each after its first, as
/// llama.cpp counts. `begin` takes the first place of each window where a model wants it. `progress` is told after each
/// window how many are done. Fails if there is no whole window, or if it exceeds the model's context.
pub fn perplexity(
    decoder: &mut Decoder,
    tokens: &[u32],
    context: usize,
    begin: Option<u32>,
    mut progress: impl FnMut(usize),
) -> Result<Perplexity> {
    if context < 4 {
        return Err(Error::Usage(format!("a context of {context} tokens has no halves to speak of; use 4 or more")));
    }
    if tokens.len() < context {
        let len = tokens.len();
        return Err(Error::Usage(format!("the text has {len} tokens, a window {context}; use a longer text")));
    }
    let scored = context - context / 2 - 1;
    let (mut sum, mut count) = (0f64, 0);
    for (i, window) in tokens.chunks_exact(context).enumerate() {
        let mut window = window.to_vec();
        window[0] = begin.unwrap_or(window[0]);
        // The last token predicts what the window no longer has.
        let logits = decoder.logits(&window[..context - 1], scored)?;
        let words = logits.len() / scored;
        for (logits, &next) in logits.chunks_exact(words).zip(&window[context - scored..]) {
            sum -= log_probability(logits, next)?;
        }
        count += scored;
        progress(i + 1);
    }
    Ok(Perplexity { perplexity: (sum / count as f64).exp(), tokens: count })
}

/// Log of the softmax.
fn log_probability(logits: &[f32], id: u32) -> Result<f64> {
    let outside = || Error::Usage(format!("token {id} is outside the model's vocabulary of {}", logits.len()));
    let logit = f64::from(*logits.get(id as usize).ok_or_else(outside)?);
    let top = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&v| (f64::from(v) - top).exp()).sum();
    Ok(logit - top - sum.ln())
}
