//! Folders of text encoders: BERT, RoBERTa, XLM-RoBERTa, DistilBERT.

use super::keys::Keys;
use super::source::Source;
use super::vision::activation;
use crate::Result;
use crate::graph::Model;
use crate::models::bert::{self, Bert, Positions};
use crate::models::encoder::{Activation, Config, Norm};
use crate::models::net::Names;

const BERT: &[(&str, &str)] = &[
    ("words", "embeddings.word_embeddings"),
    ("positions", "embeddings.position_embeddings"),
    ("kinds", "embeddings.token_type_embeddings"),
    ("embedding_norm", "embeddings.LayerNorm"),
    ("query", "attention.self.query"),
    ("key", "attention.self.key"),
    ("value", "attention.self.value"),
    ("attention_out", "attention.output.dense"),
    ("norm1", "attention.output.LayerNorm"),
    ("fc1", "intermediate.dense"),
    ("fc2", "output.dense"),
    ("norm2", "output.LayerNorm"),
    ("pooler", "pooler.dense"),
];

const DISTILBERT: &[(&str, &str)] = &[
    ("words", "embeddings.word_embeddings"),
    ("positions", "embeddings.position_embeddings"),
    ("embedding_norm", "embeddings.LayerNorm"),
    ("query", "attention.q_lin"),
    ("key", "attention.k_lin"),
    ("value", "attention.v_lin"),
    ("attention_out", "attention.out_lin"),
    ("norm1", "sa_layer_norm"),
    ("fc1", "ffn.lin1"),
    ("fc2", "ffn.lin2"),
    ("norm2", "output_layer_norm"),
];

/// Names of the weights and biases of norms in files that were TensorFlow's.
const OLD_ENDS: [(&str, &str); 2] = [("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")];

pub fn bert(source: &mut Source) -> Result<Model> {
    build(source, "bert.", "encoder.layer.", BERT, Positions::Counted)
}

/// Also XLM-RoBERTa, whose tensors have the same names.
pub fn roberta(source: &mut Source) -> Result<Model> {
    let keys = source.keys();
    let padding = if keys.json["pad_token_id"].is_null() { Some(1) } else { keys.json["pad_token_id"].as_i64() };
    let padding = padding.and_then(|id| i32::try_from(id).ok()).ok_or_else(|| keys.wrong("pad_token_id"))?;
    build(source, "roberta.", "encoder.layer.", BERT, Positions::AfterPadding(padding))
}

pub fn distilbert(source: &mut Source) -> Result<Model> {
    build(source, "distilbert.", "transformer.layer.", DISTILBERT, Positions::Counted)
}

fn build(
    source: &mut Source,
    prefix: &str,
    block: &'static str,
    parts: &'static [(&'static str, &'static str)],
    positions: Positions,
) -> Result<Model> {
    let keys = source.keys();
    let kind = keys.text("position_embedding_type").unwrap_or("absolute");
    if kind != "absolute" || keys.json["is_decoder"] == true {
        return Err(keys.unsupported(format!("an encoder with positions `{kind}`, or one that decodes")));
    }
    let encoder = blocks(&keys)?;
    let prefix = if source.has_prefix(prefix) { prefix } else { "" };
    for (old, new) in OLD_ENDS {
        let names = source.dense.keys().filter(|name| name.ends_with(old)).cloned();
        for name in names.collect::<Vec<_>>() {
            let stem = name.strip_suffix(old).unwrap_or_default();
            let tensor = source.dense.remove(&name);
            source.dense.extend(tensor.map(|tensor| (format!("{stem}{new}"), tensor)));
        }
    }
    let names = Names { prefix: prefix.into(), block, parts };
    let description = Bert { file: source.name.into(), encoder, names, positions };
    let mut model = Model { graph: bert::build(&description, source.weights()?)?, ..Model::default() };
    model.manifest.extra.extend(source.beside()?);
    model.manifest.task = Some("feature-extraction".into());
    Ok(model)
}

/// DistilBERT has other words for it.
fn blocks(keys: &Keys) -> Result<Config> {
    let either = |word: &str, other: &str| keys.need(if keys.json[word].is_null() { other } else { word });
    let activation = match keys.text("activation") {
        Some(name) => Activation::of(keys.file, name)?,
        None => activation(keys, "gelu")?,
    };
    Ok(Config {
        layers: either("n_layers", "num_hidden_layers")?,
        heads: either("n_heads", "num_attention_heads")?,
        epsilon: keys.float("layer_norm_eps").unwrap_or(1e-12) as f32,
        norm: Norm::After,
        activation,
        causal: false,
    })
}
