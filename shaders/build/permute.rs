//! Permutations that a shader's heading declares.
//!
//! A line `// permute: a | b | -` is an axis: one of its words is switched on as a WESL feature (`@if(a)`). Several lines
//! multiply. The word `-` switches nothing on; `weights` stands for all decode stages, `shaders/decode/*.wgsl`, of which
//! the chosen one is imported as `package::decode::stage` and the feature `weights` is on; `weights with NAME` stands for
//! those that define function NAME, `weights but NAME` for all others than that. `NAME: word` is there with cargo feature
//! NAME only.
//! A stage that imports `package::decode::values` holds another: it stands for one stage per other, `HOLDER_HELD`.

/// The word that stands for the decode stages.
const WEIGHTS: &str = "weights";

/// What a stage imports that holds another.
const HELD: &str = "package::decode::values";
/// The stage of weights that are not encoded: nothing holds it.
const DENSE: &str = "dense";

/// A decode stage.
#[derive(Clone)]
pub struct Stage {
    pub name: String,
    /// The file that imports of `package::decode::stage` find.
    pub file: String,
    /// The file that imports of `package::decode::values` find.
    pub held: Option<String>,
    /// Its WGSL.
    text: String,
}

/// The stages that these files, names and texts, make up.
pub fn stages(files: Vec<(String, String)>) -> Vec<Stage> {
    let (holders, plain): (Vec<_>, Vec<_>) = files.into_iter().partition(|(_, text)| text.contains(HELD));
    let stage = |(file, text): &(String, String), held: Option<&String>| Stage {
        name: std::iter::once(file).chain(held).map(String::as_str).collect::<Vec<_>>().join("_"),
        file: file.clone(),
        held: held.cloned(),
        text: text.clone(),
    };
    let held = |holder| plain.iter().filter(|(file, _)| file != DENSE).map(move |(file, _)| stage(holder, Some(file)));
    plain.iter().map(|file| stage(file, None)).chain(holders.iter().flat_map(held)).collect()
}

impl Stage {
    /// Whether `word` of an axis stands for this stage among others.
    fn is_meant(&self, word: &str) -> bool {
        match word.strip_prefix(WEIGHTS).map(|rest| rest.strip_prefix(" with ")) {
            Some(Some(function)) => self.text.contains(&format!("fn {function}(")),
            Some(None) => word == WEIGHTS || word.strip_prefix("weights but ").is_some_and(|not| not != self.name),
            None => false,
        }
    }
}

#[derive(Clone)]
pub struct Permutation {
    pub features: Vec<String>,
    /// The decode stage, whose name is among the features.
    pub stage: Option<Stage>,
}

impl Permutation {
    /// `linear` + [`palette`] → `linear_palette`.
    pub fn kernel_name(&self, stem: &str) -> String {
        std::iter::once(stem).chain(self.features.iter().map(String::as_str)).collect::<Vec<_>>().join("_")
    }

    /// The features but the decode stage.
    pub fn beside_stage(&self) -> Vec<&str> {
        self.features
            .iter()
            .map(String::as_str)
            .filter(|f| self.stage.as_ref().is_none_or(|stage| stage.name != *f))
            .collect()
    }

    /// The Rust constant: `PALETTE`, or `SHADER` where nothing is switched on.
    pub fn constant(&self) -> String {
        if self.features.is_empty() { "SHADER".into() } else { self.features.join("_").to_uppercase() }
    }
}

/// All combinations, in the order declared; one empty permutation without a declaration.
pub fn permutations(text: &str, stages: &[Stage], built: fn(&str) -> bool) -> Result<Vec<Permutation>, String> {
    let mut all = vec![Permutation { features: Vec::new(), stage: None }];
    for line in text.lines() {
        let Some(axis) = line.strip_prefix("// permute:") else { continue };
        let words: Vec<&str> = axis.split('|').map(str::trim).collect();
        if words.iter().any(|w| w.is_empty()) {
            return Err(format!("`{line}` has an empty alternative; write `-` for none"));
        }
        let mut grown = Vec::new();
        for permutation in &all {
            for &word in &words {
                let (feature, word) =
                    word.split_once(": ").map_or((None, word), |(feature, word)| (Some(feature), word));
                if feature.is_some_and(|feature| !built(feature)) {
                    continue;
                }
                if word.starts_with(WEIGHTS) {
                    let meant = stages.iter().filter(|stage| stage.is_meant(word));
                    grown.extend(meant.map(|stage| permutation.with(&stage.name, Some(stage))));
                } else {
                    grown.push(permutation.with(word, None));
                }
            }
        }
        all = grown;
    }
    Ok(all)
}

impl Permutation {
    fn with(&self, word: &str, stage: Option<&Stage>) -> Self {
        let mut grown = self.clone();
        if word != "-" {
            grown.features.push(word.into());
        }
        grown.stage = stage.cloned().or(grown.stage);
        grown
    }
}
