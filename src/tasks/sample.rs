//! Choosing the next token.

use crate::tensor::order;
use crate::{Error, Result};

/// How tokens are chosen. Candidates are narrowed in the order of the fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Logits of tokens that occurred are divided by it where positive, else multiplied (Keskar et al. 2019); 1: none.
    pub repetition_penalty: f32,
    /// Logits are divided by it; 0: always the likeliest token.
    pub temperature: f32,
    /// The likeliest so many; 0: all.
    pub top_k: usize,
    /// The likeliest that together have at least this probability (Holtzman et al. 2020); 1: all.
    pub top_p: f32,
    /// Those with at least this share of the likeliest one's probability (Nguyen et al. 2024); 0: all.
    pub min_p: f32,
    /// The same seed gives the same text.
    pub seed: u64,
}

impl Default for Sampling {
    /// Greedy.
    fn default() -> Self {
        Sampling { repetition_penalty: 1.0, temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: 0 }
    }
}

impl Sampling {
    /// Refuses numbers that mean nothing.
    pub fn check(&self) -> Result<()> {
        let share = |v: f32| (0.0..=1.0).contains(&v);
        let wrong = match self {
            s if !(s.temperature >= 0.0 && s.temperature.is_finite()) => "temperature is a number from 0 on",
            s if !(share(s.top_p) && s.top_p > 0.0) => "top-p lies above 0 and up to 1",
            s if !share(s.min_p) => "min-p lies between 0 and 1",
            s if !(s.repetition_penalty > 0.0 && s.repetition_penalty.is_finite()) => "the penalty is above 0",
            _ => return Ok(()),
        };
        Err(Error::Usage(wrong.into()))
    }
}

/// A sampler and its state of randomness.
pub struct Sampler {
    sampling: Sampling,
    random: u64,
}

impl Sampler {
    pub fn new(sampling: Sampling) -> Self {
        Sampler { random: sampling.seed, sampling }
    }

    /// The next token after `before`, which are those so far. Of equal logits the lower id. `logits` must not be empty.
    pub fn next(&mut self, logits: &mut [f32], before: &[u32]) -> u32 {
        self.penalise(logits, before);
        let s = &self.sampling;
        if s.temperature == 0.0 {
            let better = |best: usize, i: usize| if logits[i] > logits[best] { i } else { best };
            return (1..logits.len()).fold(0, better) as u32;
        }
        let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut weights: Vec<f64> = logits.iter().map(|v| f64::from((v - top) / s.temperature).exp()).collect();
        weights.iter_mut().for_each(|w| *w = if *w < f64::from(s.min_p) { 0.0 } else { *w });
        let candidates = candidates(&weights, s.top_k, s.top_p);
        let weight = |&i: &usize| weights[i];
        let mut at = self.uniform() * candidates.iter().map(weight).sum::<f64>();
        let chosen = candidates.iter().find(|&i| {
            at -= weight(i);
            at < 0.0
        });
        chosen.or(candidates.last()).map_or(0, |&i| i as u32)
    }

    fn penalise(&self, logits: &mut [f32], before: &[u32]) {
        let penalty = self.sampling.repetition_penalty;
        if penalty == 1.0 {
            return;
        }
        let mut seen: Vec<u32> = before.to_vec();
        seen.sort_unstable();
        seen.dedup();
        for id in seen {
            if let Some(logit) = logits.get_mut(id as usize) {
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
    }

    /// Uniform in 0..1 (splitmix64, Steele et al. 2014).
    fn uniform(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The heaviest `top_k` (0: all), and of these the heaviest that together have the share `top_p`.
fn candidates(weights: &[f64], top_k: usize, top_p: f32) -> Vec<usize> {
    let len = weights.len();
    if top_k == 0 && top_p == 1.0 {
        return (0..len).collect();
    }
    let all: f64 = weights.iter().sum();
    // Mostly a few have the share: the whole vocabulary is not sorted for them.
    let mut count = if top_k == 0 { 64 } else { top_k };
    loop {
        let mut heaviest = order::first(count, len, &|a, b| weights[b].total_cmp(&weights[a]));
        let total = if top_k == 0 { all } else { heaviest.iter().map(|&i| weights[i]).sum() };
        let mut sum = 0.0;
        let enough = heaviest.iter().position(|&i| {
            sum += weights[i];
            sum >= f64::from(top_p) * total
        });
        match enough {
            Some(last) => heaviest.truncate(last + 1),
            None if top_k == 0 && count < len => {
                count *= 8;
                continue;
            }
            None => {}
        }
        return heaviest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(sampling: &Sampling, logits: &[f32], count: usize) -> Vec<usize> {
        let mut sampler = Sampler::new(sampling.clone());
        let mut counts = vec![0; logits.len()];
        (0..count).for_each(|_| counts[sampler.next(&mut logits.to_vec(), &[]) as usize] += 1);
        counts
    }

    const LOGITS: [f32; 5] = [0.3, 2.0, -1.0, 1.2, 2.0];

    #[test]
    fn greedy_takes_the_first_of_the_best() {
        assert_eq!(drawn(&Sampling::default(), &LOGITS, 3), [0, 3, 0, 0, 0]);
        let mut penal = Sampler::new(Sampling { repetition_penalty: 2.0, ..Sampling::default() });
        assert_eq!(penal.next(&mut LOGITS.to_vec(), &[1, 4]), 3);
    }

    /// χ² of 10⁵ draws against the softmax, within the 99.9 % bound of 4 degrees of freedom.
    #[test]
    fn draws_follow_the_softmax() {
        let (count, temperature) = (100_000, 0.8);
        let counts = drawn(&Sampling { temperature, seed: 7, ..Sampling::default() }, &LOGITS, count);
        let exp: Vec<f64> = LOGITS.iter().map(|&v| f64::from(v / temperature).exp()).collect();
        let sum: f64 = exp.iter().sum();
        let square = |(&n, e): (&usize, &f64)| (n as f64 - count as f64 * e / sum).powi(2) / (count as f64 * e / sum);
        assert!(counts.iter().zip(&exp).map(square).sum::<f64>() < 18.47, "{counts:?}");
    }

    #[test]
    fn candidates_are_narrowed() {
        let hot = Sampling { temperature: 1.0, seed: 3, ..Sampling::default() };
        let allowed = |s: Sampling| drawn(&s, &LOGITS, 2000).iter().map(|&n| n > 0).collect::<Vec<_>>();
        assert_eq!(allowed(hot.clone()), [true; 5]);
        assert_eq!(allowed(Sampling { top_k: 3, ..hot.clone() }), [false, true, false, true, true]);
        // Probabilities 0.39, 0.39, 0.17, 0.07, 0.02.
        assert_eq!(allowed(Sampling { top_p: 0.7, ..hot.clone() }), [false, true, false, false, true]);
        assert_eq!(allowed(Sampling { top_p: 1e-6, ..hot.clone() }), [false, true, false, false, false]);
        assert_eq!(allowed(Sampling { min_p: 0.15, ..hot }), [true, true, false, true, true]);
    }

    #[test]
    fn a_seed_repeats() {
        let with = |seed| {
            let mut sampler = Sampler::new(Sampling { temperature: 1.0, seed, ..Sampling::default() });
            (0..50).map(|_| sampler.next(&mut LOGITS.to_vec(), &[])).collect::<Vec<_>>()
        };
        assert_eq!(with(5), with(5));
        assert_ne!(with(5), with(6));
    }

    #[test]
    fn senseless_numbers_are_refused() {
        let plain = Sampling::default();
        assert!(plain.check().is_ok());
        for wrong in [
            Sampling { temperature: f32::NAN, ..plain.clone() },
            Sampling { temperature: -1.0, ..plain.clone() },
            Sampling { top_p: 0.0, ..plain.clone() },
            Sampling { min_p: 1.5, ..plain.clone() },
            Sampling { repetition_penalty: 0.0, ..plain },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }
}
