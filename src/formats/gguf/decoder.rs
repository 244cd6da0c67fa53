//! Metadata → the description of a decoder.

use std::collections::BTreeMap;

use super::metadata::Metadata;
use crate::graph::Weight;
use crate::models::llama::{Config, Gate, Window};
use crate::models::rope::{Rope, Scaling};
use crate::{Error, Result};

/// Architectures by ggml's name: whether pairs of heads that turn are neighbours (llama.cpp reorders the rows of Llama's
/// queries and keys so), and whether it is Gemma's.
const ARCHITECTURES: &[(&str, bool, bool)] =
    &[("llama", true, false), ("qwen2", false, false), ("qwen3", false, false), ("gemma3", false, true)];

/// Gemma 3: every sixth layer sees all positions; the others turn with their own base.
const GEMMA_PERIOD: usize = 6;
const GEMMA_LOCAL_THETA: f64 = 10_000.0;

/// `None` for files of other architectures, and for those that hold no whole model.
pub fn config(file: &str, metadata: &Metadata, tensors: &BTreeMap<String, Weight>) -> Result<Option<Config>> {
    let name = metadata.text("general.architecture").unwrap_or("");
    let Some(&(arch, interleaved, gemma)) = ARCHITECTURES.iter().find(|(arch, ..)| *arch == name) else {
        return Ok(None);
    };
    let Some(embedding) = tensors.get("token_embd.weight") else { return Ok(None) };
    let keys = Keys { file, arch, metadata };
    if keys.size("expert_count").is_some_and(|count| count > 0) {
        return Err(Error::Unsupported(format!("{file}: a mixture of experts")));
    }
    let hidden = embedding.ty().shape.last().copied().unwrap_or(0);
    let heads = keys.need("attention.head_count")?;
    let head = keys.size("attention.key_length").unwrap_or(hidden / heads);
    if keys.size("attention.value_length").is_some_and(|length| length != head) {
        return Err(Error::Unsupported(format!("{file}: values as long as keys only")));
    }
    let dims = keys.size("rope.dimension_count").unwrap_or(head);
    if dims > head {
        return Err(keys.wrong("rope.dimension_count"));
    }
    let rope = Rope {
        theta: keys.float("rope.freq_base").unwrap_or(10_000.0),
        dims,
        interleaved,
        scaling: scaling(&keys, tensors)?,
    };
    let local = Rope { theta: GEMMA_LOCAL_THETA, scaling: Scaling::None, ..rope.clone() };
    let window = keys.size("attention.sliding_window").filter(|&size| size > 0);
    Ok(Some(Config {
        file: file.into(),
        layers: keys.need("block_count")?,
        heads,
        kv_heads: keys.size("attention.head_count_kv").unwrap_or(heads),
        epsilon: keys.float("attention.layer_norm_rms_epsilon").unwrap_or(1e-5) as f32,
        rope,
        local_rope: gemma.then_some(local),
        scale: None,
        window: window.map(|size| Window { size, period: if gemma { GEMMA_PERIOD } else { 0 } }),
        gate: if gemma { Gate::Gelu } else { Gate::Silu },
        embedding_scale: if gemma { (hidden as f32).sqrt() } else { 1.0 },
    }))
}

/// Tokens that the model was made for.
pub fn context(metadata: &Metadata) -> Option<usize> {
    metadata.size(&format!("{}.context_length", metadata.text("general.architecture")?))
}

fn scaling(keys: &Keys, tensors: &BTreeMap<String, Weight>) -> Result<Scaling> {
    if let Some(factors) = tensors.get("rope_freqs.weight").and_then(Weight::dense) {
        return Ok(Scaling::Divided(factors.to_f32()?));
    }
    let factor = || keys.float("rope.scaling.factor").filter(|&f| f > 0.0);
    match keys.metadata.text(&keys.key("rope.scaling.type")).unwrap_or("none") {
        "none" => Ok(Scaling::None),
        "linear" => Ok(factor().map_or(Scaling::None, Scaling::Linear)),
        "yarn" => {
            let factor = factor().ok_or_else(|| keys.wrong("rope.scaling.factor"))?;
            let original = keys.size("rope.scaling.original_context_length").filter(|&length| length > 0);
            let original = original.ok_or_else(|| keys.wrong("rope.scaling.original_context_length"))?;
            Ok(Scaling::Yarn { factor, original: original as f64 })
        }
        other => Err(Error::Unsupported(format!("{}: rotary embedding stretched by `{other}`", keys.file))),
    }
}

/// The metadata of an architecture.
struct Keys<'a> {
    file: &'a str,
    arch: &'a str,
    metadata: &'a Metadata,
}

impl Keys<'_> {
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.arch)
    }

    fn size(&self, key: &str) -> Option<usize> {
        self.metadata.size(&self.key(key))
    }

    fn float(&self, key: &str) -> Option<f64> {
        self.metadata.float(&self.key(key))
    }

    /// A number that must be there, and not 0.
    fn need(&self, key: &str) -> Result<usize> {
        self.size(key).filter(|&size| size > 0).ok_or_else(|| self.wrong(key))
    }

    fn wrong(&self, key: &str) -> Error {
        Error::format(self.file, format!("metadata `{}` is missing or not what it should be", self.key(key)))
    }
}
