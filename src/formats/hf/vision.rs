//! Folders of vision transformers: ViT, DeiT, DINOv2 (also with registers).

use super::image;
use super::keys::Keys;
use super::source::Source;
use crate::Result;
use crate::graph::Model;
use crate::models::encoder::{Activation, Config, Norm};
use crate::models::net::Names;
use crate::models::vit::{self, Head, Vit};

/// Parts that all have under one name.
macro_rules! parts {
    ($($own:expr),* $(,)?) => {
        &[
            ("class_token", "embeddings.cls_token"),
            ("positions", "embeddings.position_embeddings"),
            ("patches", "embeddings.patch_embeddings.projection"),
            ("query", "attention.attention.query"),
            ("key", "attention.attention.key"),
            ("value", "attention.attention.value"),
            ("attention_out", "attention.output.dense"),
            ("norm", "layernorm"),
            $($own),*
        ]
    };
}

const VIT: &[(&str, &str)] = parts![
    ("distillation_token", "embeddings.distillation_token"),
    ("norm1", "layernorm_before"),
    ("norm2", "layernorm_after"),
    ("fc1", "intermediate.dense"),
    ("fc2", "output.dense"),
    ("pooler", "pooler.dense"),
];

const DINOV2: &[(&str, &str)] = parts![
    ("registers", "embeddings.register_tokens"),
    ("scale1", "layer_scale1.lambda1"),
    ("scale2", "layer_scale2.lambda1"),
    ("fc1", "mlp.fc1"),
    ("fc2", "mlp.fc2"),
];

/// Of models with a gated feed-forward layer.
const DINOV2_GATED: &[(&str, &str)] = parts![
    ("registers", "embeddings.register_tokens"),
    ("scale1", "layer_scale1.lambda1"),
    ("scale2", "layer_scale2.lambda1"),
    ("gate_up", "mlp.weights_in"),
    ("fc2", "mlp.weights_out"),
];

pub fn build(source: &mut Source) -> Result<Model> {
    let keys = source.keys();
    let kind = keys.text("model_type").unwrap_or("");
    let dino = kind.starts_with("dinov2");
    let gated = keys.json["use_swiglu_ffn"] == true;
    let prefix = Some(format!("{kind}.")).filter(|prefix| source.has_prefix(prefix)).unwrap_or_default();
    let head = match (source.has("classifier.weight"), dino) {
        (true, false) => Head::Class,
        (true, true) => Head::ClassAndMean,
        (false, _) if source.has("cls_classifier.weight") => Head::Distilled,
        (false, true) => Head::HiddenAndClass,
        (false, false) => Head::Hidden,
    };
    let description = Vit {
        file: source.name.into(),
        encoder: Config {
            // The gate is SiLU's, whatever the file says about the other layer.
            activation: if gated { Activation::Silu } else { activation(&keys, "gelu")? },
            ..blocks(&keys, if dino { 1e-6 } else { 1e-12 })?
        },
        names: Names {
            prefix,
            block: "encoder.layer.",
            parts: match (dino, gated) {
                (true, true) => DINOV2_GATED,
                (true, false) => DINOV2,
                (false, _) => VIT,
            },
        },
        size: if dino { None } else { Some(sides(&keys, "image_size")?) },
        head,
    };
    let classifies = !matches!(head, Head::Hidden | Head::HiddenAndClass);
    let mut model = Model { graph: vit::build(&description, source.weights()?)?, ..Model::default() };
    image::describe(source, &mut model)?;
    if model.graph.outputs.iter().any(|&id| model.graph.value(id).name.starts_with("exit.")) {
        model.manifest.extra.insert("layers".into(), description.encoder.layers.into());
    }
    model.manifest.task = Some(if classifies { "image-classification" } else { "image-feature-extraction" }.into());
    Ok(model)
}

/// What `config.json` says about blocks with norms before.
pub fn blocks(keys: &Keys, epsilon: f64) -> Result<Config> {
    Ok(Config {
        layers: keys.need("num_hidden_layers")?,
        heads: keys.need("num_attention_heads")?,
        epsilon: keys.float("layer_norm_eps").unwrap_or(epsilon) as f32,
        norm: Norm::Before,
        activation: Activation::Gelu,
        causal: false,
    })
}

/// The activation `hidden_act`, or what files leave out.
pub fn activation(keys: &Keys, default: &str) -> Result<Activation> {
    Activation::of(keys.file, keys.text("hidden_act").unwrap_or(default))
}

/// Height and width: one number for both, or two.
pub fn sides(keys: &Keys, key: &str) -> Result<[usize; 2]> {
    match keys.json[key].as_array().map(Vec::as_slice) {
        None => Ok([keys.need(key)?; 2]),
        Some([height, width]) => {
            let side = |v: &serde_json::Value| v.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
            side(height).zip(side(width)).map(|(height, width)| [height, width]).ok_or_else(|| keys.wrong(key))
        }
        Some(_) => Err(keys.wrong(key)),
    }
}
