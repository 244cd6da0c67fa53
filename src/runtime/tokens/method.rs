//! Which tokens are removed behind which layer.

use std::str::FromStr;

use serde_json::{Value, json};

use crate::{Error, Result};

/// A way to reduce tokens. Shares and counts of tokens to keep are of what comes into the layer.
#[derive(Clone, Debug, PartialEq)]
pub enum Method {
    /// This share of patches, those the class token attends to most, after a quarter, half and three quarters of the layers.
    TopK(f32),
    /// The same, and one more token for all that are dropped (EViT, Liang et al. 2022).
    Evit(f32),
    /// So many pairs of like tokens become one in every layer (ToMe, Bolya et al. 2023).
    Tome(usize),
    /// What a file says of every layer (DiffRate, Chen et al. 2023).
    DiffRate(Schedule),
}

/// Tokens, class token included, that each layer keeps after pruning, and of these after merging: the form in which DiffRate
/// publishes them. Beyond it a layer may merge pairs of like tokens as ToMe does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub prune: Vec<usize>,
    pub merge: Vec<usize>,
    /// Pairs that each layer merges. A layer with pairs does nothing else; of no layers: no pairs.
    pub pairs: Vec<usize>,
}

/// What happens to a layer's tokens; numbers are of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The `seen` highest-ranked stay, of which all behind the first `keep` are merged into those.
    Rank { keep: usize, seen: usize },
    /// The `keep` highest-ranked stay, the rest becomes one token.
    Fuse { keep: usize },
    /// The `merge` likest pairs become one token each.
    Pair { merge: usize },
}

impl Step {
    /// Tokens left of `tokens`.
    pub fn left(self, tokens: usize) -> usize {
        match self {
            Step::Rank { keep, .. } => keep,
            Step::Fuse { keep } => keep + 1,
            Step::Pair { merge } => tokens - merge,
        }
    }
}

impl Schedule {
    /// Reads `{"prune": […], "merge": […]}`, perhaps with `"pairs": […]`; `file` names it in messages.
    pub fn read(text: &str, file: &str) -> Result<Self> {
        let root: Value = serde_json::from_str(text).map_err(|e| Error::format(file, format!("is no JSON: {e}")))?;
        let list = |name: &str| -> Result<Vec<usize>> {
            let whole = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
            let found = root.get(name).and_then(Value::as_array).and_then(|a| a.iter().map(whole).collect());
            found.ok_or_else(|| Error::format(file, format!("`{name}` must list a number of tokens for each layer")))
        };
        let pairs = if root.get("pairs").is_some() { list("pairs")? } else { Vec::new() };
        let schedule = Schedule { prune: list("prune")?, merge: list("merge")?, pairs };
        let layers = schedule.prune.len();
        for (name, list) in [("merge", &schedule.merge), ("pairs", &schedule.pairs)] {
            if list.len() != layers && !(name == "pairs" && list.is_empty()) {
                let found = list.len();
                return Err(Error::format(file, format!("`prune` is of {layers} layers, `{name}` of {found}")));
            }
        }
        Ok(schedule)
    }

    pub fn to_json(&self) -> Value {
        let mut root = json!({"prune": self.prune, "merge": self.merge});
        if self.pairs.iter().any(|&pairs| pairs > 0) {
            root["pairs"] = json!(self.pairs);
        }
        root
    }

    /// Ranks by the class token's attention are asked for.
    fn ranks(&self) -> bool {
        let pairs = |layer: usize| self.pairs.get(layer).is_some_and(|&pairs| pairs > 0);
        (0..self.prune.len()).any(|layer| !pairs(layer))
    }
}

impl FromStr for Method {
    type Err = Error;

    /// `topk:R`, `tome:R` or `evit:R`; `diffrate:FILE` is for whoever reads files (`Method::asked`).
    fn from_str(text: &str) -> Result<Self> {
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        let share = || match value.parse::<f32>() {
            Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
            _ => {
                Err(Error::Usage(format!("`{text}`: what `{name}` keeps is a share above 0 and up to 1, such as 0.7")))
            }
        };
        match name {
            "topk" => Ok(Method::TopK(share()?)),
            "evit" => Ok(Method::Evit(share()?)),
            "tome" => match value.parse() {
                Ok(pairs) => Ok(Method::Tome(pairs)),
                Err(_) => Err(Error::Usage(format!("`{text}`: how many pairs each layer merges, such as tome:13"))),
            },
            _ => Err(Error::Usage(format!(
                "`{text}` is no way to reduce tokens: none, topk:SHARE, evit:SHARE, tome:PAIRS or diffrate:FILE"
            ))),
        }
    }
}

impl Method {
    /// What a user asks for: `None` for `none`; of `diffrate:FILE` the schedule, whose text `open` finds by its name; else as
    /// `from_str` reads it.
    pub fn asked(text: &str, open: impl FnOnce(&str) -> Result<String>) -> Result<Option<Self>> {
        Ok(match text.split_once(':') {
            _ if text == "none" => None,
            Some(("diffrate", file)) => Some(Method::DiffRate(Schedule::read(&open(file)?, file)?)),
            _ => Some(text.parse()?),
        })
    }

    /// Whether later attention counts a merged token as often as it stands for.
    pub fn sizes_count(&self) -> bool {
        matches!(self, Method::Tome(_) | Method::DiffRate(_))
    }

    /// By layer, for so many tokens of which the first `pinned` are no patches; `None` where nothing happens.
    pub fn steps(&self, layers: usize, tokens: usize, pinned: usize) -> Result<Vec<Option<Step>>> {
        let ranks = match self {
            Method::Tome(_) => false,
            Method::DiffRate(schedule) => schedule.ranks(),
            Method::TopK(_) | Method::Evit(_) => true,
        };
        if pinned == 0 && ranks {
            return Err(Error::Usage(
                "the model has no class token to rank patches by; reduce its tokens with tome:PAIRS".into(),
            ));
        }
        if let Method::DiffRate(Schedule { prune, .. }) = self
            && prune.len() != layers
        {
            return Err(Error::Usage(format!("the schedule is of {} layers, the model has {layers}", prune.len())));
        }
        let mut left = tokens;
        let mut step = |layer: usize| -> Result<Option<Step>> {
            let step = self.step(layer, layers, left, pinned)?;
            // A fused token counts as a patch from the next layer on.
            left = step.map_or(left, |step| step.left(left));
            Ok(step)
        };
        (0..layers).map(&mut step).collect()
    }

    fn step(&self, layer: usize, layers: usize, tokens: usize, pinned: usize) -> Result<Option<Step>> {
        let patches = tokens.saturating_sub(pinned);
        match self {
            Method::TopK(share) | Method::Evit(share) => {
                let quarter = (layers / 4).max(1);
                if layer == 0 || !layer.is_multiple_of(quarter) || layer / quarter > 3 {
                    return Ok(None);
                }
                // Not in f32: 0.7 is a little more than seven tenths there.
                let keep = pinned + (f64::from(*share) * patches as f64 - 1e-6).ceil() as usize;
                let fuse = matches!(self, Method::Evit(_));
                let step = if fuse { Step::Fuse { keep } } else { Step::Rank { keep, seen: keep } };
                Ok((keep < tokens).then_some(step))
            }
            Method::Tome(pairs) => Ok(paired(*pairs, tokens, pinned)),
            Method::DiffRate(schedule) => {
                if let Some(&pairs) = schedule.pairs.get(layer).filter(|&&pairs| pairs > 0) {
                    return Ok(paired(pairs, tokens, pinned));
                }
                // Published schedules rise again in places.
                let seen = schedule.prune[layer].min(tokens);
                let keep = schedule.merge[layer].min(seen);
                if keep < pinned || (keep == pinned && keep < seen) {
                    return Err(Error::Usage(format!(
                        "the schedule keeps {keep} tokens in layer {layer}: {pinned} are no patches and stay, and merged \
                         ones need one more to go to"
                    )));
                }
                Ok((keep < tokens).then_some(Step::Rank { keep, seen }))
            }
        }
    }
}

/// So many pairs, or as many as there are.
fn paired(pairs: usize, tokens: usize, pinned: usize) -> Option<Step> {
    let seeking = (pinned..tokens).filter(|t| t.is_multiple_of(2)).count();
    let merge = pairs.min(seeking).min(tokens.saturating_sub(pinned) - seeking);
    (merge > 0).then_some(Step::Pair { merge })
}
