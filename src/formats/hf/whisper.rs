//! Whisper's folders: `config.json`, safetensors, `tokenizer.json`, and how to decode in `generation_config.json` or, of
//! older folders, in `config.json`.

use std::path::Path;

use serde_json::Value;

use super::folder;
use crate::formats::halves;
use crate::graph::Model;
use crate::models::speech::{self, Rules};
use crate::models::whisper::{self, Config};
use crate::{Error, Result};

/// `None` for other architectures.
pub fn config(file: &str, json: &Value) -> Result<Option<Config>> {
    if json["model_type"] != "whisper" {
        return Ok(None);
    }
    let size = |key: &str| {
        let found = json[key].as_u64().and_then(|n| usize::try_from(n).ok());
        found.ok_or_else(|| Error::format(file, format!("config.json: `{key}` is missing or no number")))
    };
    let activation = json["activation_function"].as_str().unwrap_or("gelu");
    if activation != "gelu" || json["scale_embedding"] == true || json.get("quantization_config").is_some() {
        return Err(Error::Unsupported(format!("{file}: a Whisper with other layers than OpenAI's, or quantised")));
    }
    Ok(Some(Config {
        file: file.into(),
        encoder_layers: size("encoder_layers")?,
        encoder_heads: size("encoder_attention_heads")?,
        decoder_layers: size("decoder_layers")?,
        decoder_heads: size("decoder_attention_heads")?,
    }))
}

/// Reads the rest of the folder.
pub fn open(config: &Config, json: Value, folder: &Path) -> Result<Model> {
    let tensors = folder::tensors(folder)?.into_iter();
    // The head is the embedding, whether or not it is stored twice.
    let tensors = tensors.filter(|(name, _)| name != "proj_out.weight");
    let weights = tensors.map(|(name, tensor)| Ok((name, halves::weight(tensor)?))).collect::<Result<_>>()?;
    let graph = whisper::build(config, weights)?;
    let tokenizer = folder::json(&folder.join("tokenizer.json"))?;
    let generation = folder::json(&folder.join("generation_config.json"))?.unwrap_or_default();
    let list = |key: &str| match speech::ids(&generation, key) {
        none if none.is_empty() => speech::ids(&json, key),
        ids => ids,
    };
    let rules = Rules { suppress: list("suppress_tokens"), suppress_begin: list("begin_suppress_tokens") };
    let mut model = speech::model(graph, tokenizer, rules)?;
    model.manifest.extra.insert("config".into(), json);
    Ok(model)
}
