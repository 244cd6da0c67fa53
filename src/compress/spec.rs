//! The grammar of `ENCODING`: `f32`, `f16`, `palette:BITS[:rows=R][:scale]`, `affine:BITS:group=G[:sym]`.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// How to store a weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spec {
    F32,
    F16,
    Palette {
        bits: u32,
        /// Rows that share a table; `None` = one table for the tensor.
        rows: Option<usize>,
        /// A factor for each row beside the table.
        scale: bool,
    },
    Affine {
        bits: u32,
        /// Weights along a row that share scale and zero point.
        group: usize,
        symmetric: bool,
    },
}

/// Encodings of the contract that nothing here writes yet.
const LATER: &[&str] = &["nf4", "codebook", "dual", "sparse", "lowrank", "auto"];

impl FromStr for Spec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.split(':');
        let kind = parts.next().unwrap_or_default();
        if LATER.contains(&kind) {
            return Err(Error::Unsupported(format!("encoding `{text}`: `{kind}` is not supported yet")));
        }
        let mut options = Options { text, bits: None, named: Vec::new(), flags: Vec::new() };
        for part in parts {
            match (part.split_once('='), part.parse()) {
                (Some((name, value)), _) => options.named.push((name, value)),
                (None, Ok(bits)) if options.bits.is_none() => options.bits = Some(bits),
                _ => options.flags.push(part),
            }
        }
        let spec = match kind {
            "f32" => Spec::F32,
            "f16" => Spec::F16,
            "palette" => {
                if options.named.iter().any(|(name, _)| *name == "dim") {
                    return Err(Error::Unsupported(format!("encoding `{text}`: `dim` is not supported yet")));
                }
                Spec::Palette {
                    bits: options.bits(&[1, 2, 3, 4, 6, 8])?,
                    rows: options.take("rows")?,
                    scale: options.flag("scale"),
                }
            }
            "affine" => Spec::Affine {
                bits: options.bits(&[2, 3, 4, 5, 6, 8])?,
                group: options.take("group")?.ok_or_else(|| options.error("lacks `group=G`"))?,
                symmetric: options.flag("sym"),
            },
            _ => return Err(options.error("is not an encoding (f32, f16, palette:BITS, affine:BITS:group=G)")),
        };
        options.finish()?;
        Ok(spec)
    }
}

/// What follows the first word; each option is taken once and nothing may be left.
struct Options<'a> {
    text: &'a str,
    bits: Option<u32>,
    named: Vec<(&'a str, &'a str)>,
    flags: Vec<&'a str>,
}

impl Options<'_> {
    fn error(&self, what: &str) -> Error {
        Error::Usage(format!("`{}` {what}", self.text))
    }

    fn bits(&mut self, allowed: &[u32]) -> Result<u32> {
        let bits = self.bits.take().filter(|b| allowed.contains(b));
        bits.ok_or_else(|| self.error(&format!("needs a number of bits: one of {allowed:?}")))
    }

    fn take(&mut self, name: &str) -> Result<Option<usize>> {
        let Some(at) = self.named.iter().position(|(n, _)| *n == name) else { return Ok(None) };
        let (_, value) = self.named.remove(at);
        match value.parse() {
            Ok(n) if n > 0 => Ok(Some(n)),
            _ => Err(self.error(&format!("has `{name}={value}`, which is not a positive number"))),
        }
    }

    fn flag(&mut self, name: &str) -> bool {
        let at = self.flags.iter().position(|f| *f == name);
        at.map(|at| self.flags.remove(at)).is_some()
    }

    fn finish(&self) -> Result<()> {
        let left = self.named.first().map(|(name, _)| *name).or(self.flags.first().copied());
        match (left, self.bits) {
            (Some(left), _) => Err(self.error(&format!("has an unknown option `{left}`"))),
            (None, Some(bits)) => Err(self.error(&format!("has an unknown option `{bits}`"))),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Spec::F32 => write!(f, "f32"),
            Spec::F16 => write!(f, "f16"),
            Spec::Palette { bits, rows, scale } => {
                write!(f, "palette:{bits}")?;
                if let Some(rows) = rows {
                    write!(f, ":rows={rows}")?;
                }
                if *scale { write!(f, ":scale") } else { Ok(()) }
            }
            Spec::Affine { bits, group, symmetric } => {
                write!(f, "affine:{bits}:group={group}{}", if *symmetric { ":sym" } else { "" })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_round_trips() {
        for text in ["f32", "f16", "palette:4", "palette:3:rows=16:scale", "affine:4:group=64", "affine:2:group=32:sym"]
        {
            assert_eq!(text.parse::<Spec>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for text in ["", "int4", "palette", "palette:5", "palette:4:4", "affine:4", "affine:7:group=32", "f16:2"] {
            assert!(matches!(text.parse::<Spec>(), Err(Error::Usage(_))), "{text}");
        }
        for text in ["affine:4:group=0", "palette:4:rows=x", "palette:4:sym", "affine:4:group=8:group=8"] {
            assert!(matches!(text.parse::<Spec>(), Err(Error::Usage(_))), "{text}");
        }
        for text in ["nf4:group=64", "auto:3", "palette:4:dim=2"] {
            assert!(matches!(text.parse::<Spec>(), Err(Error::Unsupported(_))), "{text}");
        }
    }
}
