//! Tokens that are found in a text before anything else cuts it.

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};

use super::vocabulary::{Role, Vocabulary};
use crate::{Error, Result};

/// A part of a text: more text, or a token that stands in it literally.
pub enum Part<'a> {
    Text(&'a str),
    Token(u32),
}

/// Finds tokens of a role in texts: from the left, the longest where several begin.
pub struct Specials {
    finder: AhoCorasick,
    ids: Vec<u32>,
}

impl Specials {
    /// The tokens of `vocabulary` that have one of the `roles`.
    pub fn new(vocabulary: &Vocabulary, roles: &[Role]) -> Result<Self> {
        let token = |&(id, token): &(usize, &String)| roles.contains(&vocabulary.roles[id]) && !token.is_empty();
        let (ids, texts): (Vec<u32>, Vec<&String>) =
            vocabulary.tokens.iter().enumerate().filter(token).map(|(id, token)| (id as u32, token)).unzip();
        let finder = AhoCorasickBuilder::new().match_kind(MatchKind::LeftmostLongest).build(texts);
        let finder = finder.map_err(|e| Error::format("vocabulary", e.to_string()))?;
        Ok(Specials { finder, ids })
    }

    /// The parts of `text` in order; no text part is empty.
    pub fn split<'a>(&self, text: &'a str) -> Vec<Part<'a>> {
        let mut parts = Vec::new();
        let mut from = 0;
        for found in self.finder.find_iter(text) {
            if from < found.start() {
                parts.push(Part::Text(&text[from..found.start()]));
            }
            parts.push(Part::Token(self.ids[found.pattern().as_usize()]));
            from = found.end();
        }
        if from < text.len() {
            parts.push(Part::Text(&text[from..]));
        }
        parts
    }
}
