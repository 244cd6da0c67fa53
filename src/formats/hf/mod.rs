//! Folders in Hugging Face's layout: `config.json`, and safetensors in one file or in shards with an index.
//!
//! Quantised layers (GPTQ, AWQ, compressed-tensors, AQLM, MLX) become weights under their logical name, `X.weight`
//! `[outputs, inputs]`: the same codes and factors in the encodings of `weights/`. What no encoding holds is decoded to
//! f16. A layer whose columns lie in another order than its inputs (GPTQ's `desc_act`) keeps them sorted by group, as
//! `X.weight_sorted`, beside `X.weight_order`, an i64 `[inputs]`: column j belongs to input `order[j]`.

mod aqlm;
mod awq;
mod bert;
mod clca;
mod clip;
mod compressed;
mod config;
mod decoder;
pub(super) mod folder;
mod gptq;
mod grouped;
mod image;
mod keys;
mod maccap;
mod mlx;
mod projections;
mod source;
mod state;
mod vision;
mod vision_language;
mod whisper;

use std::collections::BTreeMap;
use std::path::Path;

use config::Config;
use serde_json::Value;
use source::Source;
use state::State;

use crate::graph::Model;
use crate::tensor::Tensor;
use crate::{Error, Result, models};

/// A quantisation method: its name in `quantization_config.quant_method`, and what makes weights of a file's tensors.
type Method = (&'static str, fn(&mut State, &Config) -> Result<()>);

const METHODS: &[Method] = &[
    ("gptq", gptq::convert),
    ("awq", awq::convert),
    ("compressed-tensors", compressed::convert),
    ("aqlm", aqlm::convert),
    ("mlx", mlx::convert),
];

/// An architecture: its `model_type` in `config.json`, and what makes a model of a folder.
type Architecture = (&'static str, fn(&mut Source) -> Result<Model>);

const ARCHITECTURES: &[Architecture] = &[
    ("llama", decoder::llama),
    ("mistral", decoder::llama),
    ("qwen2", decoder::llama),
    ("qwen3", decoder::llama),
    ("gemma3_text", decoder::gemma),
    ("whisper", whisper::build),
    ("vit", vision::build),
    ("deit", vision::build),
    ("dinov2", vision::build),
    ("dinov2_with_registers", vision::build),
    ("clca", clca::build),
    ("clip", clip::build),
    ("clip_vision_model", clip::build),
    ("clip_text_model", clip::build),
    ("siglip", clip::build),
    ("siglip_vision_model", clip::build),
    ("siglip_text_model", clip::build),
    ("bert", bert::bert),
    ("roberta", bert::roberta),
    ("xlm-roberta", bert::roberta),
    ("distilbert", bert::distilbert),
    ("qwen2_vl", vision_language::qwen2_vl),
    ("idefics3", vision_language::idefics3),
    ("smolvlm", vision_language::idefics3),
    ("llava", vision_language::llava),
    ("maccap", maccap::build),
];

/// Reads a folder. Its configuration goes into the manifest as `config`.
pub fn open(path: &Path) -> Result<Model> {
    let config = folder::json(&path.join("config.json"))?.unwrap_or(Value::Null);
    build(&path.display().to_string(), config, folder::tensors(path)?, Some(path))
}

/// The same from memory: `config.json`, and one safetensors file.
pub fn from_bytes(name: &str, config: &[u8], safetensors: &[u8]) -> Result<Model> {
    let config = folder::parse_json(name, config)?;
    let mut tensors = BTreeMap::new();
    folder::add(name, safetensors.len() as u64, &mut &*safetensors, &mut tensors)?;
    build(name, config, tensors, None)
}

fn build(name: &str, config: Value, tensors: BTreeMap<String, Tensor>, folder: Option<&Path>) -> Result<Model> {
    let config = Config { json: config };
    let mut state = State::new(name, tensors);
    if let Some(method) = config.method() {
        let known = METHODS.iter().find(|(name, _)| *name == method);
        let (_, convert) =
            known.ok_or_else(|| Error::Unsupported(format!("{name}: weights quantised by `{method}`")))?;
        convert(&mut state, &config)?;
    }
    let (dense, few_bit) = state.finish();
    let kind = config.json["model_type"].as_str().unwrap_or("");
    let known = ARCHITECTURES.iter().find(|(name, _)| *name == kind);
    let mut source = Source { name, config, folder, dense, few_bit };
    let mut model = match known {
        Some((_, build)) => build(&mut source)?,
        None => parts(&mut source)?,
    };
    model.manifest.extra.insert("config".into(), source.config.json);
    Ok(model)
}

/// A model of an architecture that its tensors tell, or of none: weights alone.
fn parts(source: &mut Source) -> Result<Model> {
    let mut model = models::from_state_dict(std::mem::take(&mut source.dense))?;
    for (name, weight) in std::mem::take(&mut source.few_bit) {
        if model.graph.find(&name).is_some() {
            return Err(Error::format(source.name, format!("tensor `{name}` occurs twice")));
        }
        model.graph.add_weight(name, weight);
    }
    model.manifest.extra.extend(source.beside()?);
    Ok(model)
}
