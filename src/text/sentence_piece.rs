//! Byte-pair encoding by scores, as SentencePiece does it (Kudo & Richardson 2018), with bytes for what has no token.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use super::vocabulary::{Role, Vocabulary};
use crate::{Error, Result};

/// Stands for a space in tokens.
pub const SPACE: char = '▁';

pub struct SentencePiece {
    /// Tokens that text can become, with their scores.
    tokens: HashMap<String, (u32, f32)>,
    /// The tokens `<0x00>` to `<0xFF>`.
    bytes: Vec<u32>,
}

/// Bytes `from..to` of the text, in a list of neighbours; merging empties the right one.
struct Symbol {
    from: usize,
    to: usize,
    left: Option<usize>,
    right: Option<usize>,
}

/// Two neighbours that are a token together.
struct Pair {
    score: f32,
    left: usize,
    right: usize,
    /// Bytes of both; another length means that one was merged meanwhile.
    len: usize,
}

impl SentencePiece {
    /// Fails if a token for a byte is missing.
    pub fn new(vocabulary: &Vocabulary) -> Result<Self> {
        let ids = |role| (0..vocabulary.tokens.len()).filter(move |&id| vocabulary.roles[id] == role);
        let mut tokens = HashMap::new();
        for id in ids(Role::Normal).chain(ids(Role::UserDefined)) {
            tokens.insert(vocabulary.tokens[id].clone(), (id as u32, vocabulary.scores[id]));
        }
        let named: HashMap<&str, u32> = ids(Role::Byte).map(|id| (vocabulary.tokens[id].as_str(), id as u32)).collect();
        let byte = |b: u8| {
            let missing = || Error::format("vocabulary", format!("the token <0x{b:02X}> of a byte is missing"));
            named.get(format!("<0x{b:02X}>").as_str()).copied().ok_or_else(missing)
        };
        Ok(SentencePiece { tokens, bytes: (0..=255).map(byte).collect::<Result<_>>()? })
    }

    /// Appends the ids of `text`, in which spaces are `SPACE` already.
    pub fn encode(&self, text: &str, ids: &mut Vec<u32>) {
        for Symbol { from, to, .. } in self.merge(text).into_iter().filter(|s| s.from < s.to) {
            match self.tokens.get(&text[from..to]) {
                Some(&(id, _)) => ids.push(id),
                None => ids.extend(text[from..to].bytes().map(|b| self.bytes[b as usize])),
            }
        }
    }

    /// Merges the pair with the best score, the leftmost of equals, until no pair is a token.
    fn merge(&self, text: &str) -> Vec<Symbol> {
        let mut symbols = characters(text);
        let pair = |symbols: &[Symbol], left: usize, right: usize| {
            let (from, to) = (symbols[left].from, symbols[right].to);
            let &(_, score) = self.tokens.get(&text[from..to])?;
            Some(Pair { score, left, right, len: to - from })
        };
        let mut pairs: BinaryHeap<Pair> = (1..symbols.len()).filter_map(|i| pair(&symbols, i - 1, i)).collect();
        while let Some(Pair { left, right, len, .. }) = pairs.pop() {
            let Symbol { from, to, right: after, .. } = symbols[right];
            let is_stale = from == to || symbols[left].from == symbols[left].to || to - symbols[left].from != len;
            if is_stale {
                continue;
            }
            symbols[left].to = to;
            symbols[left].right = after;
            symbols[right].to = from;
            if let Some(after) = after {
                symbols[after].left = Some(left);
                pairs.extend(pair(&symbols, left, after));
            }
            if let Some(before) = symbols[left].left {
                pairs.extend(pair(&symbols, before, left));
            }
        }
        symbols
    }
}

/// The bytes that a token stands for: the one byte of `<0xNN>`, or its text with spaces.
pub fn bytes(token: &str) -> Vec<u8> {
    let digits = token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>')).filter(|digits| digits.len() == 2);
    match digits.map(|digits| u8::from_str_radix(digits, 16)) {
        Some(Ok(byte)) => vec![byte],
        _ => token.replace(SPACE, " ").into_bytes(),
    }
}

fn characters(text: &str) -> Vec<Symbol> {
    let mut symbols: Vec<Symbol> = Vec::new();
    for (from, character) in text.char_indices() {
        let i = symbols.len();
        symbols.push(Symbol { from, to: from + character.len_utf8(), left: i.checked_sub(1), right: Some(i + 1) });
    }
    if let Some(last) = symbols.last_mut() {
        last.right = None;
    }
    symbols
}

impl Ord for Pair {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Pair {}
