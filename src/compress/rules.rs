//! Which tensor gets which encoding.

use regex::Regex;

use super::spec::Spec;
use crate::{Error, Result};

/// `--weights`, `--include` and `--exclude` of the command line. The first rule that matches a name wins.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    rules: Vec<(Option<Regex>, Spec)>,
    include: Option<Regex>,
    exclude: Option<Regex>,
}

impl Rules {
    /// Each of `weights` is `ENCODING`, which applies to all names, or `REGEX=ENCODING`.
    pub fn parse(weights: &[String], include: Option<&str>, exclude: Option<&str>) -> Result<Self> {
        let rules = weights.iter().map(|text| rule(text)).collect::<Result<_>>()?;
        Ok(Rules { rules, include: include.map(regex).transpose()?, exclude: exclude.map(regex).transpose()? })
    }

    /// Whether anything may be done to the tensor of this name.
    pub fn allows(&self, name: &str) -> bool {
        self.include.as_ref().is_none_or(|r| r.is_match(name))
            && !self.exclude.as_ref().is_some_and(|r| r.is_match(name))
    }

    /// The encoding of the tensor of this name; `None` = leave it alone.
    pub fn find(&self, name: &str) -> Option<&Spec> {
        if !self.allows(name) {
            return None;
        }
        let matches = |regex: &Option<Regex>| regex.as_ref().is_none_or(|r| r.is_match(name));
        self.rules.iter().find(|(regex, _)| matches(regex)).map(|(_, spec)| spec)
    }
}

fn rule(text: &str) -> Result<(Option<Regex>, Spec)> {
    match (text.parse(), text.split_once('=')) {
        (Ok(spec), _) => Ok((None, spec)),
        (Err(_), Some((pattern, spec))) if !pattern.contains(':') => Ok((Some(regex(pattern)?), spec.parse()?)),
        (Err(error), _) => Err(error),
    }
}

fn regex(pattern: &str) -> Result<Regex> {
    Regex::new(pattern).map_err(|e| Error::Usage(format!("`{pattern}` is not a regular expression: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_match_wins() {
        let weights = ["depthwise=f16", "fc=affine:3:group=64", "palette:4"].map(String::from);
        let rules = Rules::parse(&weights, Some("weight$"), Some("stem")).unwrap();
        assert_eq!(rules.find("a.depthwise.weight"), Some(&Spec::F16));
        assert_eq!(rules.find("fc.weight").unwrap().to_string(), "affine:3:group=64");
        assert_eq!(rules.find("other.weight").unwrap().to_string(), "palette:4");
        assert_eq!(rules.find("stem.weight"), None);
        assert_eq!(rules.find("fc.bias"), None);
        assert!(rules.allows("fc.weight") && !rules.allows("stem.weight") && !rules.allows("fc.bias"));
    }

    #[test]
    fn mistakes_are_errors() {
        for text in ["(=f16", "fc=f17", "palette:5", "affine:4:group=x"] {
            assert!(Rules::parse(&[text.to_string()], None, None).is_err(), "{text}");
        }
    }
}
