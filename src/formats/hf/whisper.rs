//! Whisper's folders: `config.json`, safetensors, `tokenizer.json`, and how to decode in `generation_config.json` or, of
//! older folders, in `config.json`.

use super::source::Source;
use crate::Result;
use crate::graph::Model;
use crate::models::speech::{self, Rules};
use crate::models::whisper::{self, Config};

pub fn build(source: &mut Source) -> Result<Model> {
    let keys = source.keys();
    let size = |key: &str| keys.size(key).ok_or_else(|| keys.wrong(key));
    let activation = keys.text("activation_function").unwrap_or("gelu");
    if activation != "gelu" || keys.json["scale_embedding"] == true || keys.json.get("quantization_config").is_some() {
        return Err(keys.unsupported("a Whisper with other layers than OpenAI's, or quantised"));
    }
    let config = Config {
        file: source.name.into(),
        encoder_layers: size("encoder_layers")?,
        encoder_heads: size("encoder_attention_heads")?,
        decoder_layers: size("decoder_layers")?,
        decoder_heads: size("decoder_attention_heads")?,
    };
    // The head is the embedding, whether or not it is stored twice.
    source.dense.remove("proj_out.weight");
    let graph = whisper::build(&config, source.weights()?)?;
    let generation = source.json("generation_config.json")?.unwrap_or_default();
    let list = |key: &str| match speech::ids(&generation, key) {
        none if none.is_empty() => speech::ids(&source.config.json, key),
        ids => ids,
    };
    let rules = Rules { suppress: list("suppress_tokens"), suppress_begin: list("begin_suppress_tokens") };
    speech::model(graph, source.json("tokenizer.json")?, rules)
}
