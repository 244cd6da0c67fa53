//! A short way to the end of a JSON text that has begun, whatever the schema.
//!
//! Byte by byte, the first of an order of preferences that the grammar admits: ends before beginnings, short values before
//! long ones. Schemas in which that leads nowhere can be made up (a pattern with a riddle in it), so it is bounded.

use llguidance::Matcher;
use llguidance::toktrie::TokEnv;

/// A way may have so many bytes: the next number after as many `TRIES` with others among equal preferences have failed.
const LONGEST: &[usize] = &[64, 512, 4096];
const TRIES: usize = 4;

/// Numbers may have so many characters, and so many digits in their exponents: longer ones are not exact as f64, or no f64.
const LONGEST_NUMBER: u32 = 15;
const LONGEST_EXPONENT: u32 = 2;

/// Where in a JSON text a byte stands.
#[derive(Clone, Copy, Default)]
pub struct State {
    in_string: bool,
    after_backslash: bool,
    /// Characters of the number that is being written, and its digits from an `e` on.
    number: u32,
    exponent: Option<u32>,
}

impl State {
    pub fn step(&mut self, byte: u8) {
        match byte {
            _ if self.after_backslash => self.after_backslash = false,
            b'\\' if self.in_string => self.after_backslash = true,
            b'"' => self.in_string = !self.in_string,
            _ => {}
        }
        let is_number = !self.in_string && matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        self.number = if is_number { self.number + 1 } else { 0 };
        self.exponent = match byte {
            b'e' | b'E' if is_number => Some(0),
            _ if is_number => self.exponent.map(|digits| digits + u32::from(byte.is_ascii_digit())),
            _ => None,
        };
    }

    /// Whether what is being written is a number beyond `LONGEST_NUMBER` or `LONGEST_EXPONENT`.
    pub fn is_long_number(self) -> bool {
        self.number > LONGEST_NUMBER || self.exponent.is_some_and(|digits| digits > LONGEST_EXPONENT)
    }

    /// All bytes, the ones that end soonest first. `step` shuffles the rest, so that no byte comes for ever.
    fn preferences(self, step: usize) -> impl Iterator<Item = u8> {
        let first: &[u8] = if self.in_string { b"\"" } else { b"}],:\"ntf[{" };
        // An odd factor keeps all 256 bytes apart.
        let rest = (0..256).map(|i| (i * 167 + step * 89) as u8);
        // Characters of ASCII before others, which take several bytes.
        let (ascii, other): (Vec<u8>, Vec<u8>) = rest.partition(|byte| (b' '..0x7f).contains(byte) && *byte != b'\\');
        first.iter().copied().chain(ascii).chain(other)
    }
}

/// Tokens after which the text may end, none if it may now; `None` if no way is found.
pub fn way(matcher: &Matcher, state: State, tokens: &TokEnv, of_bytes: &[Option<u32>]) -> Option<Vec<u32>> {
    let mut tries = LONGEST.iter().flat_map(|&longest| (0..TRIES).map(move |try_| (longest, try_)));
    let bytes = tries.find_map(|(longest, try_)| way_in_bytes(matcher, state, of_bytes, longest, try_))?;
    let way = tokens.tok_trie().greedy_tokenize(&bytes);
    let fits = matcher.clone().validate_tokens(&way).ok()? == way.len();
    fits.then_some(way).or_else(|| bytes.iter().map(|&byte| of_bytes[byte as usize]).collect())
}

fn way_in_bytes(
    matcher: &Matcher,
    mut state: State,
    of_bytes: &[Option<u32>],
    longest: usize,
    try_: usize,
) -> Option<Vec<u8>> {
    let mut ahead = matcher.clone();
    let mut bytes = Vec::new();
    while !ahead.is_stopped() && !ahead.is_accepting().ok()? {
        let forced = ahead.compute_ff_bytes();
        let next = match forced.is_empty() {
            true => {
                let mut preferences = state.preferences(bytes.len() + try_ * 71);
                vec![preferences.find(|&byte| admits(&mut ahead, of_bytes[byte as usize]))?]
            }
            false => forced,
        };
        for byte in next {
            ahead.consume_token(of_bytes[byte as usize]?).ok()?;
            state.step(byte);
            bytes.push(byte);
        }
        if bytes.len() > longest {
            return None;
        }
    }
    Some(bytes)
}

fn admits(matcher: &mut Matcher, token: Option<u32>) -> bool {
    token.is_some_and(|token| matcher.validate_tokens(&[token]).is_ok_and(|valid| valid == 1))
}
