//! Beam search: several texts grow side by side, and the likeliest of those that ended is taken (Graves 2012, with the
//! weight of lengths of Wu et al. 2016 as Hugging Face's `transformers` has it: `generate(num_beams, length_penalty)` with
//! `early_stopping=False`, whose ids these are).

use crate::{Error, Result};

/// Most texts side by side: each takes memory for its keys and values.
const MOST: usize = 64;

/// How many texts grow side by side, and what their lengths weigh.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beams {
    /// 1: no search, each token is chosen for good.
    pub count: usize,
    /// A text's log-probability is divided by its number of tokens to this power: above 0 longer texts gain.
    pub length_penalty: f32,
}

impl Default for Beams {
    fn default() -> Self {
        Beams { count: 1, length_penalty: 1.0 }
    }
}

/// A text with the sum of its tokens' log-probabilities, weighed by its length once it has ended.
#[derive(Clone, Debug)]
struct Beam {
    tokens: Vec<u32>,
    score: f32,
}

/// The texts of a search. Whoever has a model gives it the logits after `running`, as long as there are any.
pub struct Search<'a> {
    beams: Beams,
    ends: &'a [u32],
    /// Tokens before the texts, and the most that these may have.
    prompt: usize,
    most: usize,
    /// The likeliest first, both.
    running: Vec<Beam>,
    ended: Vec<Beam>,
}

impl<'a> Search<'a> {
    /// Of texts of 1 to `most` tokens that continue `prompt` and end with one of `ends`. Fails for numbers that mean
    /// nothing.
    pub fn new(beams: Beams, prompt: &[u32], ends: &'a [u32], most: usize) -> Result<Self> {
        if !(1..=MOST).contains(&beams.count) {
            return Err(Error::Usage(format!("{} beams; there must be from 1 to {MOST}", beams.count)));
        }
        if !beams.length_penalty.is_finite() {
            return Err(Error::Usage(format!("a length penalty of {}", beams.length_penalty)));
        }
        let running = if most > 0 { vec![Beam { tokens: prompt.to_vec(), score: 0.0 }] } else { Vec::new() };
        Ok(Search { beams, ends, prompt: prompt.len(), most, running, ended: Vec::new() })
    }

    /// Tokens of the texts that go on, with the prompt, all of one length; none once the search is over.
    pub fn running(&self) -> Vec<&[u32]> {
        self.running.iter().map(|beam| beam.tokens.as_slice()).collect()
    }

    /// Goes on by a token. `logits`: a row for each text of `running`. `change` does to a row's log-probabilities what they
    /// are to be changed by, with the text's tokens.
    pub fn advance(&mut self, logits: &mut [f32], change: impl Fn(&mut [f32], &[u32])) {
        let (count, length) =
            (self.beams.count, self.running.first().map_or(0, |beam| beam.tokens.len()) + 1 - self.prompt);
        let words = (logits.len() / self.running.len().max(1)).max(1);
        // So many that `count` go on even if all others end.
        let mut best = Best::new(count * (1 + self.ends.len()).max(2));
        for (from, (beam, row)) in self.running.iter().zip(logits.chunks_exact_mut(words)).enumerate() {
            log_softmax(row);
            change(row, &beam.tokens);
            row.iter().zip(0u32..).for_each(|(p, id)| best.offer(beam.score + p, from, id));
        }
        let weight = (length as f32).powf(self.beams.length_penalty);
        let (is_last, mut going_on) = (length == self.most, Vec::new());
        for (rank, Candidate { score, from, id }) in best.kept.into_iter().enumerate() {
            let longer = |score| Beam { tokens: [&self.running[from].tokens[..], &[id]].concat(), score };
            if !(is_last || self.ends.contains(&id)) {
                if going_on.len() < count {
                    going_on.push(longer(score));
                }
            } else if rank < count {
                let at = self.ended.partition_point(|other| other.score >= score / weight);
                self.ended.insert(at, longer(score / weight));
            }
        }
        self.ended.truncate(count);
        // Lengths to come are not looked at, as in the original.
        let may_gain = going_on.first().is_some_and(|beam| {
            self.ended.len() < count || self.ended.last().is_none_or(|worst| beam.score / weight > worst.score)
        });
        self.running = if may_gain { going_on } else { Vec::new() };
    }

    /// The likeliest text's tokens, without the prompt; `None` if none has ended.
    pub fn best(self) -> Option<Vec<u32>> {
        let mut best = self.ended.into_iter().next()?;
        Some(best.tokens.split_off(self.prompt))
    }
}

#[derive(Clone, Copy)]
struct Candidate {
    score: f32,
    from: usize,
    id: u32,
}

/// The best so far, the first of equals first.
struct Best {
    count: usize,
    kept: Vec<Candidate>,
}

impl Best {
    fn new(count: usize) -> Self {
        Best { count, kept: Vec::new() }
    }

    fn offer(&mut self, score: f32, from: usize, id: u32) {
        let is_full = self.kept.len() == self.count;
        if score == f32::NEG_INFINITY || (is_full && self.kept.last().is_some_and(|worst| worst.score >= score)) {
            return;
        }
        self.kept.truncate(self.count - 1);
        let at = self.kept.partition_point(|other| other.score >= score);
        self.kept.insert(at, Candidate { score, from, id });
    }
}

/// In place; sums in f64, so that the order of a long row does not matter.
fn log_softmax(row: &mut [f32]) {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = row.iter().map(|&v| f64::from(v - max).exp()).sum();
    let shift = f64::from(max) + total.ln();
    row.iter_mut().for_each(|v| *v = (f64::from(*v) - shift) as f32);
}
