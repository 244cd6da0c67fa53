//! Logits computed ahead: a few likely tokens are fed with the last one, and logits are there for those that come true
//! (Leviathan et al. 2023; with n-grams of the text itself Saxena 2023).
//!
//! A draft is one sequence, not a distribution: the next token is chosen from the model's own logits as ever and only then
//! compared with the draft. So a text has exactly the distribution it would have without, whatever is drafted.

use super::decoder::Decoder;
use crate::{Error, Result};

/// Where drafts come from.
#[derive(Default)]
pub enum Draft {
    /// There are none.
    #[default]
    None,
    /// What followed the last tokens when they stood in the text before.
    Lookup,
    /// The likeliest tokens of a smaller model.
    Model(Box<Decoder>),
}

/// Tokens of a run are powers of two: one and a draft of these lengths.
const LENGTHS: [usize; 3] = [1, 3, 7];

/// Longest and shortest run of tokens that is looked up.
const NGRAMS: [usize; 2] = [4, 2];

/// The logits of one text as it grows.
pub struct Ahead<'a> {
    draft: &'a mut Draft,
    /// Which of `LENGTHS` is drafted.
    length: usize,
    /// Tokens before the draft.
    base: usize,
    drafted: Vec<u32>,
    /// After the base and after each token of the draft.
    rows: Vec<f32>,
    /// Of this draft, and of all.
    hits: usize,
    accepted: usize,
}

impl<'a> Ahead<'a> {
    pub fn new(draft: &'a mut Draft) -> Self {
        Ahead { draft, length: 1, base: 0, drafted: Vec::new(), rows: Vec::new(), hits: 0, accepted: 0 }
    }

    /// How many tokens were as drafted.
    pub fn accepted(&self) -> usize {
        self.accepted
    }

    /// The logits after `tokens`, which continue those of the last call by one.
    pub async fn logits_async(&mut self, decoder: &mut Decoder, tokens: &[u32]) -> Result<Vec<f32>> {
        let ahead = tokens.len().saturating_sub(self.base);
        if (1..=self.drafted.len()).contains(&ahead) && tokens.ends_with(&self.drafted[..ahead]) {
            self.hits = ahead;
            self.accepted += 1;
            return Ok(self.row(ahead).to_vec());
        }
        if !self.drafted.is_empty() {
            let all = self.hits == self.drafted.len();
            let next = if all { self.length + 1 } else { self.length.saturating_sub(usize::from(self.hits == 0)) };
            self.length = next.min(LENGTHS.len() - 1);
        }
        let room = decoder.context().saturating_sub(tokens.len());
        let drafted = self.propose(tokens, LENGTHS[self.length].min(room)).await?;
        self.rows = decoder.logits_async(&[tokens, &drafted].concat(), drafted.len() + 1).await?;
        (self.base, self.drafted, self.hits) = (tokens.len(), drafted, 0);
        Ok(self.row(0).to_vec())
    }

    fn row(&self, i: usize) -> &[f32] {
        let words = self.rows.len() / (self.drafted.len() + 1);
        &self.rows[i * words..][..words]
    }

    /// As many tokens as one of `LENGTHS`, at most `most`, or none.
    async fn propose(&mut self, tokens: &[u32], most: usize) -> Result<Vec<u32>> {
        let mut drafted = match &mut self.draft {
            Draft::None => Vec::new(),
            Draft::Lookup => look_up(tokens, most).to_vec(),
            Draft::Model(model) => continue_greedily(model, tokens, most).await?,
        };
        drafted.truncate(LENGTHS.into_iter().rev().find(|&length| length <= drafted.len()).unwrap_or(0));
        Ok(drafted)
    }
}

/// What came after the last place where the text's end stood before, of the longest end found.
fn look_up(tokens: &[u32], most: usize) -> &[u32] {
    let [longest, shortest] = NGRAMS;
    for n in (shortest..=longest.min(tokens.len().saturating_sub(1))).rev() {
        let (before, end) = (&tokens[..tokens.len() - 1], &tokens[tokens.len() - n..]);
        if let Some(at) = before.windows(n).rposition(|window| window == end) {
            let after = &tokens[at + n..];
            return &after[..most.min(after.len())];
        }
    }
    &[]
}

async fn continue_greedily(model: &mut Decoder, tokens: &[u32], most: usize) -> Result<Vec<u32>> {
    let most = most.min(model.context().saturating_add(1).saturating_sub(tokens.len()));
    let mut all = tokens.to_vec();
    while all.len() < tokens.len() + most {
        let logits = model.logits_async(&all, 1).await?;
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]).then(b.cmp(&a)));
        all.push(best.ok_or_else(|| Error::Unsupported("the draft model has no words".into()))? as u32);
    }
    Ok(all.split_off(tokens.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_and_longest_match_is_taken() {
        let text = [1, 2, 3, 4, 9, 2, 3, 5, 7, 1, 2, 3];
        assert_eq!(look_up(&text, 3), [4, 9, 2]);
        assert_eq!(look_up(&text[1..], 2), [5, 7]);
        assert!(look_up(&[1, 2, 3], 3).is_empty());
        assert!(look_up(&[], 3).is_empty());
        assert_eq!(look_up(&[5, 5, 5], 3), [5]);
    }
}
