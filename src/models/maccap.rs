//! A photo as rows that a decoder goes on from, learnt from texts alone (MacCap, Qiu et al. 2024, "Mining Fine-Grained
//! Image-Text Alignment for Zero-Shot Captioning via Text-Only Training"): as in the authors' code, with one layer.
//!
//! CLIP's tokens are brought to the width at which photos and texts are compared, at length 1. Of the tokens that the class
//! token attends to most in the last layer, each gathers the vectors that it attends to itself; with the class token's added
//! and noise, so that they lie as far apart as texts do, they are what learnt queries look at.
//!
//! Tensors: `vision_tower.vision_model.*` and `vision_tower.visual_projection.weight` `[size, width]` as of Hugging Face's
//! `CLIPVisionModelWithProjection`, the others by the names of that code: `query_fusion.weight` `[queries, size]`,
//! `aligner.layers.0.*`, a decoder layer of torch, with projections of queries, keys and values apart, `aligner.norm`, and
//! `align_proj.layers.0` to `2`.

use super::net::Net;
use super::vit::PIXELS;
use super::{clip, encoder};
use crate::Result;
use crate::graph::{Attr, Attrs, Dim, ValueId};
use crate::tensor::DType;

/// The input that is added to the vectors that queries look at, f32 `[patches, size]`: 0 for none.
pub const NOISE: &str = "noise";

/// Of the norms of the aligner, torch's.
const EPSILON: f32 = 1e-5;

/// What a file says beside its tensors.
#[derive(Clone, Debug)]
pub struct Tower {
    /// Its pool is not looked at.
    pub vision: clip::Vision,
    /// Tokens that the class token attends to most.
    pub patches: usize,
    /// Of the aligner.
    pub heads: usize,
}

/// Adds the inputs `pixel_values` f32 `[1, 3, height, width]` and `noise`; the result is `[queries, width of the words]`.
pub fn tower(net: &mut Net, config: &Tower) -> Result<ValueId> {
    let vision = clip::Vision { pool: clip::VisionPool::None, ..config.vision.clone() };
    let states = clip::picture(net, &vision)?.states;
    // What the class token attends to is looked up in one photo.
    let pixels = net.graph.find(PIXELS);
    let dims = pixels.and_then(|id| net.graph.values[id.0 as usize].dims.as_mut());
    if let Some(photos) = dims.and_then(|dims| dims.first_mut()) {
        *photos = Dim::Known(1);
    }
    let attention = attention(net, config)?;
    let [size, _] = net.shape("vision_tower.visual_projection.weight")?;
    let vectors = net.linear("vision_tower.visual_projection", states)?;
    let vectors = net.reshape("vectors.rows", vectors, &[-1, size as i64])?;
    let vectors = of_length_one(net, "vectors", vectors)?;

    let class = net.pick("class.attention", attention, 0, 0);
    let count = net.vector("best.count", &[config.patches as i64])?;
    let [_, best] = net.wide("TopK", "best", &[Some(class), Some(count)], Attrs::default());
    let rows = net.plain("Gather", "best.attention", &[attention, best]);
    let rows = net.with("Softmax", "best.weights", &[rows], "axis", Attr::Int(-1));
    let mixed = net.plain("MatMul", "best.mixed", &[rows, vectors]);
    let mixed = of_length_one(net, "best.vectors", mixed)?;
    let class = net.pick("class.vector", vectors, 0, 0);
    let seen = net.plain("Add", "seen.class", &[mixed, class]);
    let dims = vec![Dim::Known(config.patches), Dim::Known(size)];
    let noise = net.graph.add_input(NOISE, DType::F32, dims);
    let seen = net.plain("Add", "seen.noisy", &[seen, noise]);
    let seen = of_length_one(net, "seen", seen)?;
    let memory = net.reshape("seen.batch", seen, &[1, config.patches as i64, size as i64])?;

    let found = aligner(net, config, memory, size)?;
    let mut x = net.reshape("found", found, &[-1, size as i64])?;
    for layer in 0..2 {
        x = net.linear(&format!("align_proj.layers.{layer}"), x)?;
        x = net.plain("Relu", &format!("align_proj.act.{layer}"), &[x]);
    }
    net.linear("align_proj.layers.2", x)
}

/// How much each token attends to each in the last layer, `[tokens, tokens]`, in the mean of heads.
fn attention(net: &mut Net, config: &Tower) -> Result<ValueId> {
    let last = net.graph.nodes.iter().rev().find(|node| node.op == "Attention");
    let Some(&[Some(query), Some(key), ..]) = last.map(|node| node.inputs.as_slice()) else {
        return Err(net.error("a tower without layers"));
    };
    let projection = config.vision.names.of(Some(config.vision.encoder.layers - 1), "query");
    let [width, _] = net.shape(&format!("{projection}.weight"))?;
    let heads = config.vision.encoder.heads;
    let head = width / heads;
    let mut turned = |name: &str, x, order: [i64; 4]| {
        let split = net.reshape(&format!("attention.{name}.heads"), x, &[0, 0, heads as i64, head as i64])?;
        Ok::<_, crate::Error>(net.with("Transpose", name, &[split], "perm", Attr::Ints(order.to_vec())))
    };
    let (query, key) = (turned("attention.query", query, [0, 2, 1, 3])?, turned("attention.key", key, [0, 2, 3, 1])?);
    let scores = net.plain("MatMul", "attention.scores", &[query, key]);
    let scale = net.scalar("attention.scale", 1.0 / (head as f32).sqrt());
    let scores = net.plain("Mul", "attention.scaled", &[scores, scale]);
    let each = net.with("Softmax", "attention.each", &[scores], "axis", Attr::Int(-1));
    let axes = net.vector("attention.axes", &[0i64, 1])?;
    Ok(net.with("ReduceMean", "attention", &[each, axes], "keepdims", Attr::Int(0)))
}

fn of_length_one(net: &mut Net, name: &str, x: ValueId) -> Result<ValueId> {
    let axes = net.vector(&format!("{name}.axes"), &[-1i64])?;
    let length = net.with("ReduceL2", &format!("{name}.length"), &[x, axes], "keepdims", Attr::Int(1));
    Ok(net.plain("Div", name, &[x, length]))
}

/// What the queries find in `memory` `[1, patches, size]`: `[1, queries, size]`.
fn aligner(net: &mut Net, config: &Tower, memory: ValueId, size: usize) -> Result<ValueId> {
    net.check_heads(size, config.heads)?;
    let layer = "aligner.layers.0";
    let queries = net.dense("query_fusion.weight")?;
    let mut x = net.reshape("query_fusion", queries, &[1, -1, size as i64])?;
    for (part, norm) in [("self_attn", "norm1"), ("multihead_attn", "norm2")] {
        let name = format!("{layer}.{part}");
        let from = if part == "self_attn" { x } else { memory };
        let query = net.linear(&format!("{name}.q_proj"), x)?;
        let (key, value) = (net.linear(&format!("{name}.k_proj"), from)?, net.linear(&format!("{name}.v_proj"), from)?);
        let heads = encoder::Config { heads: config.heads, ..config.vision.encoder };
        let seen = encoder::attention(net, &format!("{name}.heads"), &heads, [query, key, value], None);
        let seen = net.linear(&format!("{name}.out_proj"), seen)?;
        x = net.plain("Add", &format!("{name}.add"), &[x, seen]);
        x = net.norm(&format!("{layer}.{norm}"), EPSILON, x)?;
    }
    let inner = net.linear(&format!("{layer}.linear1"), x)?;
    let inner = net.plain("Relu", &format!("{layer}.act"), &[inner]);
    let out = net.linear(&format!("{layer}.linear2"), inner)?;
    x = net.plain("Add", &format!("{layer}.add"), &[x, out]);
    x = net.norm(&format!("{layer}.norm3"), EPSILON, x)?;
    net.norm("aligner.norm", EPSILON, x)
}
