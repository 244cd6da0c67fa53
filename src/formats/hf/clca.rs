//! Folders of CLCA (`models::clca`): the authors' state dictionary, whose names are timm's, as safetensors, and a
//! `config.json` of this project, since theirs is a training script's arguments.
//!
//! `config.json`: `model_type` `clca`; `image_size`, `num_hidden_layers`, `num_attention_heads`, perhaps `layer_norm_eps`
//! and `id2label`, as of ViT; `keep_rate`, a share or one for each layer that reduces; `reduction_loc`, these layers ([3, 6,
//! 9]). A change of `keep_rate` alone is another model of the same tensors.

use serde_json::Value;

use super::keys::Keys;
use super::projections::split_projections;
use super::source::Source;
use super::{image, vision};
use crate::graph::Model;
use crate::models::clca::{self, Clca, Reduction};
use crate::models::net::Names;
use crate::{Error, Result};

const PARTS: &[(&str, &str)] = &[
    ("class_token", "cls_token"),
    ("carriers", "clr"),
    ("positions", "pos_embed"),
    ("patches", "patch_embed.proj"),
    ("embedding_norm", "norm_pre"),
    ("query", "attn.query"),
    ("key", "attn.key"),
    ("value", "attn.value"),
    ("attention_out", "attn.proj"),
    ("scale1", "ls1.gamma"),
    ("fc1", "mlp.fc1"),
    ("fc2", "mlp.fc2"),
    ("scale2", "ls2.gamma"),
    ("gather_norm", "ifa_head.0.0"),
    ("gather", "ifa_head.0.1"),
    ("gathered_norm", "ifa_head.0.2"),
    ("classifier", "ifa_head.0.4"),
];

/// What the authors' code can add and this does not compute: a tensor or a key of `config.json`.
const OTHER: [&str; 6] = [
    "reg_token",
    "blocks.0.attn.q_norm.weight",
    "attn_pool.q.weight",
    "clc_include_gap",
    "clc_recover_at_last",
    "dist_token",
];

pub fn build(source: &mut Source) -> Result<Model> {
    if let Some(other) = OTHER.iter().find(|&&name| source.has(name) || source.config.json[name] == true) {
        return Err(source.keys().unsupported(format!("CLCA with `{other}`")));
    }
    source.dense.retain(|name, _| !name.ends_with(".num_batches_tracked"));
    split_projections(source, "qkv.", ["query.", "key.", "value."])?;
    // A convolution of one element is a product.
    if let Some(weight) = source.dense.get_mut("ifa_head.0.4.weight")
        && let &[labels, channels, 1] = weight.shape()
    {
        *weight = weight.reshaped([labels, channels])?;
    }
    // Towers of CLIP have a norm before the blocks, and torch's own epsilon.
    let epsilon = if source.has("norm_pre.weight") { 1e-5 } else { 1e-6 };
    let keys = source.keys();
    let encoder = vision::blocks(&keys, epsilon)?;
    let description = Clca {
        file: source.name.into(),
        reductions: reductions(&keys, encoder.layers)?,
        encoder,
        names: Names { prefix: String::new(), block: "blocks.", parts: PARTS },
        size: vision::sides(&keys, "image_size")?,
    };
    let mut model = Model { graph: clca::build(&description, source.weights()?)?, ..Model::default() };
    image::describe(source, &mut model)?;
    model.manifest.task = Some("image-classification".into());
    Ok(model)
}

fn reductions(keys: &Keys, layers: usize) -> Result<Vec<Reduction>> {
    let at = match &keys.json["reduction_loc"] {
        Value::Null => vec![3, 6, 9],
        list => list.as_array().and_then(|list| list.iter().map(layer).collect()).unwrap_or_default(),
    };
    let rising = at.windows(2).all(|pair| pair[0] < pair[1]);
    if at.is_empty() || !rising || at.iter().any(|&layer| layer >= layers) {
        return Err(Error::format(
            keys.file,
            format!("config.json: `reduction_loc` must list layers of 0 to {layers}, rising"),
        ));
    }
    let rates = &keys.json["keep_rate"];
    let list = rates.as_array().map_or(std::slice::from_ref(rates), Vec::as_slice);
    if list.len() != 1 && list.len() != at.len() {
        return Err(keys.wrong("keep_rate"));
    }
    let keep = |i: usize| list[i % list.len()].as_f64().filter(|&keep| keep > 0.0 && keep <= 1.0);
    let reductions = at.iter().enumerate().map(|(i, &layer)| Some(Reduction { layer, keep: keep(i)? }));
    reductions.collect::<Option<_>>().ok_or_else(|| keys.wrong("keep_rate"))
}

fn layer(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}
