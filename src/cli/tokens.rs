//! The flag `--tokens`: which tokens of a vision transformer are pruned or merged.

use clap::Args;

use crate::runtime::Tokens;
use crate::runtime::tokens::Method;
use crate::{Error, Result};

#[derive(Args)]
pub struct Flag {
    /// Tokens of a vision transformer that are pruned or merged: the share of patches to keep, how many pairs every layer
    /// merges, or a file with a schedule
    #[arg(long, default_value = "none", value_name = "none|topk:R|tome:R|evit:R|diffrate:FILE", value_parser = parse)]
    tokens: Reduction,
}

#[derive(Clone)]
struct Reduction(Option<Method>);

fn parse(text: &str) -> Result<Reduction> {
    let open = |file: &str| std::fs::read_to_string(file).map_err(|e| Error::io(file, e));
    Method::asked(text, open).map(Reduction)
}

impl Flag {
    /// Whether any are.
    pub fn is_some(&self) -> bool {
        self.tokens.0.is_some()
    }

    /// What a session is to do; `map` asks for the map of tokens too.
    pub fn tokens(&self, map: bool) -> Option<Tokens> {
        self.tokens.0.clone().map(|method| Tokens { method, map })
    }
}
