//! What follows the first word of an `ENCODING`: `:NUMBER`, `:NAME=NUMBER` and `:FLAG`.

use crate::{Error, Result};

/// Each option is taken once, and nothing may be left.
pub struct Options<'a> {
    /// The whole encoding, for messages.
    text: &'a str,
    named: Vec<(&'a str, &'a str)>,
    flags: Vec<&'a str>,
}

impl<'a> Options<'a> {
    /// The first word of `part`, and what follows it.
    pub fn parse(text: &'a str, part: &'a str) -> (&'a str, Self) {
        let mut parts = part.split(':');
        let kind = parts.next().unwrap_or_default();
        let mut options = Options { text, named: Vec::new(), flags: Vec::new() };
        for part in parts {
            match part.split_once('=') {
                Some(pair) => options.named.push(pair),
                None => options.flags.push(part),
            }
        }
        (kind, options)
    }

    pub fn error(&self, what: &str) -> Error {
        Error::Usage(format!("`{}` {what}", self.text))
    }

    /// The first option without a name.
    pub fn word(&mut self) -> Option<&'a str> {
        (!self.flags.is_empty()).then(|| self.flags.remove(0))
    }

    pub fn bits(&mut self, allowed: &[u32]) -> Result<u32> {
        let bits = self.word().and_then(|w| w.parse().ok()).filter(|b| allowed.contains(b));
        bits.ok_or_else(|| self.error(&format!("needs a number of bits: one of {allowed:?}")))
    }

    /// The first option without a name, above `low` and below `high`. `what` says what it is.
    pub fn number(&mut self, what: &str, low: f64, high: f64) -> Result<f64> {
        let number = self.word().and_then(|w| w.parse().ok()).filter(|n| *n > low && *n < high);
        number.ok_or_else(|| self.error(&format!("needs a number between {low} and {high}: {what}")))
    }

    pub fn take(&mut self, name: &str) -> Result<Option<usize>> {
        let Some(at) = self.named.iter().position(|(n, _)| *n == name) else { return Ok(None) };
        let (_, value) = self.named.remove(at);
        match value.parse() {
            Ok(n) if n > 0 => Ok(Some(n)),
            _ => Err(self.error(&format!("has `{name}={value}`, which is not a positive number"))),
        }
    }

    /// `NAME=S`, above 0 and below 1.
    pub fn take_share(&mut self, name: &str) -> Result<Option<f64>> {
        let Some(at) = self.named.iter().position(|(n, _)| *n == name) else { return Ok(None) };
        let (_, value) = self.named.remove(at);
        let share = value.parse().ok().filter(|share| *share > 0.0 && *share < 1.0);
        share.map(Some).ok_or_else(|| self.error(&format!("has `{name}={value}`, which is not between 0 and 1")))
    }

    /// `NAME=AxB`, both above 0 and below 2¹⁶.
    pub fn take_pair(&mut self, name: &str) -> Result<Option<[usize; 2]>> {
        let Some(at) = self.named.iter().position(|(n, _)| *n == name) else { return Ok(None) };
        let (_, value) = self.named.remove(at);
        let number = |text: &str| text.parse().ok().filter(|n| (1..1 << 16).contains(n));
        let pair = value.split_once('x').and_then(|(a, b)| Some([number(a)?, number(b)?]));
        let wrong =
            || self.error(&format!("has `{name}={value}`, which are no two positive numbers, e.g. `{name}=16x16`"));
        pair.map(Some).ok_or_else(wrong)
    }

    pub fn group(&mut self, default: Option<usize>) -> Result<usize> {
        let given = self.take("group")?.or(default);
        given.ok_or_else(|| self.error("lacks `group=G`: how many weights along a row share a scale"))
    }

    pub fn flag(&mut self, name: &str) -> bool {
        let at = self.flags.iter().position(|f| *f == name);
        at.map(|at| self.flags.remove(at)).is_some()
    }

    pub fn finish(&self) -> Result<()> {
        match self.named.first().map(|(name, _)| *name).or(self.flags.first().copied()) {
            Some(left) => Err(self.error(&format!("has an unknown option `{left}`"))),
            None => Ok(()),
        }
    }
}
