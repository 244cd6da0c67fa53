//! Permutations that a shader's heading declares.
//!
//! A line `// permute: dense | palette | affine` is an axis: one of its words is switched on as a WESL feature
//! (`@if(palette)`). Several lines multiply. The word `-` switches nothing on.

pub struct Permutation {
    pub features: Vec<String>,
}

impl Permutation {
    /// `linear` + [`palette`] → `linear_palette`.
    pub fn kernel_name(&self, stem: &str) -> String {
        std::iter::once(stem).chain(self.features.iter().map(String::as_str)).collect::<Vec<_>>().join("_")
    }

    /// The Rust constant: `PALETTE`, or `SHADER` where nothing is switched on.
    pub fn constant(&self) -> String {
        if self.features.is_empty() { "SHADER".into() } else { self.features.join("_").to_uppercase() }
    }
}

/// All combinations, in the order declared; one empty permutation without a declaration.
pub fn permutations(text: &str) -> Result<Vec<Permutation>, String> {
    let mut all = vec![Permutation { features: Vec::new() }];
    for line in text.lines() {
        let Some(axis) = line.strip_prefix("// permute:") else { continue };
        let words: Vec<&str> = axis.split('|').map(str::trim).collect();
        if words.iter().any(|w| w.is_empty()) {
            return Err(format!("`{line}` has an empty alternative; write `-` for none"));
        }
        let extend = |p: &Permutation| -> Vec<Permutation> {
            words
                .iter()
                .map(|&w| {
                    let added = (w != "-").then(|| w.to_string());
                    Permutation { features: p.features.iter().cloned().chain(added).collect() }
                })
                .collect()
        };
        all = all.iter().flat_map(extend).collect();
    }
    Ok(all)
}
