//! Folders of CLIP and SigLIP: both towers, or one alone.

use super::image;
use super::keys::Keys;
use super::projections::split_projections;
use super::source::Source;
use super::vision::{activation, sides};
use crate::Result;
use crate::graph::Model;
use crate::models::clip::{self, Clip, Text, TextPool, Vision, VisionPool};
use crate::models::encoder::{Config, Norm};
use crate::models::net::Names;

/// Parts of blocks that all towers have.
macro_rules! parts {
    ($($own:expr),* $(,)?) => {
        &[
            ("norm1", "layer_norm1"),
            ("query", "self_attn.q_proj"),
            ("key", "self_attn.k_proj"),
            ("value", "self_attn.v_proj"),
            ("attention_out", "self_attn.out_proj"),
            ("norm2", "layer_norm2"),
            ("fc1", "mlp.fc1"),
            ("fc2", "mlp.fc2"),
            $($own),*
        ]
    };
}

const VISION: &[(&str, &str)] = parts![
    ("class_token", "embeddings.class_embedding"),
    ("patches", "embeddings.patch_embedding"),
    ("positions", "embeddings.position_embedding.weight"),
    // The spelling is the files'.
    ("embedding_norm", "pre_layrnorm"),
    ("norm", "post_layernorm"),
    ("pool", "head"),
];

const TEXT: &[(&str, &str)] = parts![
    ("words", "embeddings.token_embedding"),
    ("positions", "embeddings.position_embedding"),
    ("norm", "final_layer_norm"),
    ("head", "head"),
];

/// The end of texts that CLIP's files named wrongly for a time, so that it does not count.
const OLD_END: i64 = 2;

/// CLIP's, which files that say nothing have.
const END: i64 = 49407;

pub fn build(source: &mut Source) -> Result<Model> {
    let keys = source.keys();
    let kind = keys.text("model_type").unwrap_or("");
    let (both, siglip) = (["clip", "siglip"].contains(&kind), kind.starts_with("siglip"));
    let part = |key: &str| if both { keys.inner(key) } else { keys };
    let sees = both || kind.ends_with("_vision_model");
    let description = Clip {
        file: source.name.into(),
        vision: if sees { Some(vision(&part("vision_config"), "vision_model.", siglip)?) } else { None },
        text: if both || !sees { Some(text(&part("text_config"), siglip)?) } else { None },
    };
    let task = match (both, sees) {
        (true, _) => "zero-shot-image-classification",
        (false, true) => "image-feature-extraction",
        (false, false) => "feature-extraction",
    };
    split_torch(source)?;
    let mut model = Model { graph: clip::build(&description, source.weights()?)?, ..Model::default() };
    if sees {
        image::describe(source, &mut model)?;
    }
    if both || !sees {
        model.manifest.extra.extend(source.beside()?);
    }
    model.manifest.task = Some(task.into());
    Ok(model)
}

/// A picture's tower of CLIP or SigLIP as its `config.json` describes it; `prefix` begins its tensors' names.
pub fn vision(keys: &Keys, prefix: &str, siglip: bool) -> Result<Vision> {
    let size = if keys.json["image_size"].is_null() { [224; 2] } else { sides(keys, "image_size")? };
    Ok(Vision {
        encoder: blocks(keys, 12, siglip)?,
        names: Names { prefix: prefix.into(), block: "encoder.layers.", parts: VISION },
        size,
        pool: match siglip {
            false => VisionPool::Class,
            true if keys.json["vision_use_head"] == false => VisionPool::None,
            true => VisionPool::Attention,
        },
    })
}

fn text(keys: &Keys, siglip: bool) -> Result<Text> {
    let end = if keys.json["eos_token_id"].is_null() { Some(END) } else { keys.json["eos_token_id"].as_i64() };
    let pool = match end {
        _ if siglip => TextPool::Last,
        Some(OLD_END) => TextPool::Largest,
        Some(end) => TextPool::First(i32::try_from(end).map_err(|_| keys.wrong("eos_token_id"))?),
        None => return Err(keys.wrong("eos_token_id")),
    };
    Ok(Text {
        encoder: Config { causal: !siglip, ..blocks(keys, if siglip { 12 } else { 8 }, siglip)? },
        names: Names { prefix: "text_model.".into(), block: "encoder.layers.", parts: TEXT },
        pool,
    })
}

/// Parts of larger files say only what differs from the smallest model.
fn blocks(keys: &Keys, heads: usize, siglip: bool) -> Result<Config> {
    let epsilon = if siglip { 1e-6 } else { 1e-5 };
    Ok(Config {
        layers: keys.need_or("num_hidden_layers", 12)?,
        heads: keys.need_or("num_attention_heads", heads)?,
        epsilon: keys.float("layer_norm_eps").unwrap_or(epsilon) as f32,
        norm: Norm::Before,
        activation: activation(keys, if siglip { "gelu_pytorch_tanh" } else { "quick_gelu" })?,
        causal: false,
    })
}

/// Torch's projections of queries, keys and values are one tensor in files, and three in the graph.
pub fn split_torch(source: &mut Source) -> Result<()> {
    split_projections(source, "in_proj_", ["q_proj.", "k_proj.", "v_proj."])
}
