//! The next token from logits.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use serde::{Deserialize, Serialize};

use super::random::Random;
use crate::ops::next_token::Draw;
use crate::{Error, Result};

/// How to choose. Steps come in the order of the fields, each on what the one before left; the order and the meanings are
/// those of Hugging Face's `transformers`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Logits of tokens in the context are divided by this if positive, multiplied if negative (Keskar et al. 2019).
    /// 1: no change.
    pub repetition_penalty: f32,
    /// A token that would repeat this many tokens of the context in a row is out. 0: none is.
    pub no_repeat_ngram: usize,
    /// Logits are divided by this. 0: the token with the greatest logit, the lowest id of equals.
    pub temperature: f32,
    /// So many of the likeliest tokens stay. 0: all.
    pub top_k: usize,
    /// The fewest likeliest tokens with at least this probability together stay (Holtzman et al. 2020). 1: all.
    pub top_p: f32,
    /// Tokens with at least this part of the likeliest one's probability stay (Nguyen et al. 2024). 0: all.
    pub min_p: f32,
    /// The same seed, logits and contexts give the same tokens.
    pub seed: u64,
}

impl Default for Sampling {
    /// The plain softmax.
    fn default() -> Self {
        Sampling {
            repetition_penalty: 1.0,
            no_repeat_ngram: 0,
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            seed: 0,
        }
    }
}

impl Sampling {
    /// Whether the logits alone decide, whatever came before.
    fn is_without_memory(&self) -> bool {
        self.repetition_penalty == 1.0 && self.no_repeat_ngram == 0
    }
}

/// Below it numbers of 32 bits may go out of range.
const LEAST_TEMPERATURE: f32 = 1e-3;

/// Draws tokens, one after the other.
pub struct Sampler {
    sampling: Sampling,
    random: Random,
}

impl Sampler {
    /// Fails for a number outside its range.
    pub fn new(sampling: Sampling) -> Result<Self> {
        let Sampling { repetition_penalty, temperature, top_p, min_p, .. } = sampling;
        let within = |name: &str, value: f32, ok: bool, range: &str| match ok {
            true => Ok(()),
            false => Err(Error::Usage(format!("{name} is {value}; it must be {range}"))),
        };
        within("temperature", temperature, (0.0..f32::INFINITY).contains(&temperature), "0 or more")?;
        within("top-p", top_p, top_p > 0.0 && top_p <= 1.0, "above 0 and at most 1")?;
        within("min-p", min_p, (0.0..=1.0).contains(&min_p), "from 0 to 1")?;
        let is_factor = repetition_penalty > 0.0 && repetition_penalty.is_finite();
        within("repetition penalty", repetition_penalty, is_factor, "above 0")?;
        Ok(Sampler { random: Random::new(sampling.seed), sampling })
    }

    /// Chooses a token. `logits`: one per token, −∞ for those that may not come; they are changed by the penalties.
    /// `context`: the tokens so far, prompt included, as far as penalties shall look back.
    ///
    /// Fails if a logit is NaN or +∞, or if no token is left.
    pub fn sample(&mut self, logits: &mut [f32], context: &[u32]) -> Result<u32> {
        if let Some(id) = logits.iter().position(|&logit| logit.is_nan() || logit == f32::INFINITY) {
            return Err(Error::Usage(format!("the logit of token {id} is {}", logits[id])));
        }
        self.penalize(logits, context);
        let mut best = 0;
        for (id, &logit) in logits.iter().enumerate() {
            if logit > logits[best] {
                best = id;
            }
        }
        let max = logits.get(best).copied().unwrap_or(f32::NEG_INFINITY);
        if max == f32::NEG_INFINITY {
            return Err(Error::Usage("no token may come next".into()));
        }
        // Also where dividing by a tiny temperature would leave one token anyway.
        if self.sampling.temperature < f32::MIN_POSITIVE {
            return Ok(best as u32);
        }
        let temperature = f64::from(self.sampling.temperature);
        let weight = |&logit: &f32| ((f64::from(logit) - f64::from(max)) / temperature).exp();
        let weights: Vec<f64> = logits.iter().map(weight).collect();
        Ok(match self.keeps_all() {
            true => draw(weights.into_iter().zip(0..).collect(), self.random.uniform()),
            false => draw(self.likeliest(&weights), self.random.uniform()),
        })
    }

    /// How the next token and the one after it are chosen, for who finds them without `sample`: `None` is the greatest
    /// logit. `None` altogether where the logits do not tell all.
    pub fn ahead(&self) -> Option<[Option<Draw>; 2]> {
        let Sampling { temperature, top_k, top_p, min_p, .. } = self.sampling;
        if !self.sampling.is_without_memory() {
            return None;
        }
        if temperature < f32::MIN_POSITIVE {
            return Some([None; 2]);
        }
        let mut random = self.random.clone();
        let mut draw =
            || Draw { inverse_temperature: 1.0 / temperature, top_k, top_p, min_p, uniform: random.uniform() as f32 };
        (temperature >= LEAST_TEMPERATURE).then(|| [Some(draw()), Some(draw())])
    }

    /// A token was found by the first of `ahead`.
    pub fn skip(&mut self) {
        if self.sampling.temperature >= f32::MIN_POSITIVE {
            self.random.uniform();
        }
    }

    /// The penalties alone, of logits or log-probabilities.
    pub fn penalize(&self, logits: &mut [f32], context: &[u32]) {
        penalize(logits, context, self.sampling.repetition_penalty);
        forbid_repeats(logits, context, self.sampling.no_repeat_ngram);
    }

    fn keeps_all(&self) -> bool {
        self.sampling.top_k == 0 && self.sampling.top_p == 1.0 && self.sampling.min_p == 0.0
    }

    /// Tokens that top-k, top-p and min-p leave, each with its weight, in the order of their ids; the lower id stays of equals.
    /// `weights`: multiples of probabilities, the greatest of them 1.
    fn likeliest(&self, weights: &[f64]) -> Vec<(f64, u32)> {
        // Positive floats are ordered as their bits are.
        let all = weights.iter().zip(0u32..).map(|(weight, id)| (weight.to_bits(), Reverse(id)));
        let mut heap: BinaryHeap<_> = all.collect();
        let mut next = || heap.pop().map(|(bits, Reverse(id))| (f64::from_bits(bits), id));
        let first: Vec<(f64, u32)> = (0..self.sampling.top_k).map_while(|_| next()).collect();
        let total: f64 = match self.sampling.top_k {
            0 => weights.iter().sum(),
            _ => first.iter().map(|&(weight, _)| weight).sum(),
        };
        let enough = f64::from(self.sampling.top_p) * total;
        let mut sum = 0.0;
        let stays = |&(weight, _): &(f64, u32)| {
            let stays = sum < enough && weight >= f64::from(self.sampling.min_p) && (weight > 0.0);
            sum += weight;
            stays
        };
        let mut left: Vec<_> = match self.sampling.top_k {
            0 => std::iter::from_fn(next).take_while(stays).collect(),
            _ => first.into_iter().take_while(stays).collect(),
        };
        left.sort_unstable_by_key(|&(_, id)| id);
        left
    }
}

/// One of the tokens, each as likely as its weight says. `uniform`: in `0.0..1.0`.
fn draw(tokens: Vec<(f64, u32)>, uniform: f64) -> u32 {
    let total: f64 = tokens.iter().map(|&(weight, _)| weight).sum();
    let mut left = uniform * total;
    let mut drawn = 0;
    for (weight, id) in tokens.into_iter().filter(|&(weight, _)| weight > 0.0) {
        // Rounding may leave something after the last: then it is the last.
        drawn = id;
        if left < weight {
            break;
        }
        left -= weight;
    }
    drawn
}

fn penalize(logits: &mut [f32], context: &[u32], penalty: f32) {
    if penalty == 1.0 {
        return;
    }
    let mut seen = context.to_vec();
    seen.sort_unstable();
    seen.dedup();
    for id in seen {
        if let Some(logit) = logits.get_mut(id as usize) {
            *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
        }
    }
}

/// Takes out every token that came after the last `n − 1` tokens before.
fn forbid_repeats(logits: &mut [f32], context: &[u32], n: usize) {
    if n == 0 || context.len() < n {
        return;
    }
    let last = &context[context.len() - (n - 1)..];
    for ngram in context.windows(n) {
        let (before, next) = (&ngram[..n - 1], ngram[n - 1]);
        if before == last
            && let Some(logit) = logits.get_mut(next as usize)
        {
            *logit = f32::NEG_INFINITY;
        }
    }
}
