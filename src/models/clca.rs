//! CLCA (Rios et al. 2025): a vision transformer that drops tokens on its way, carries what they knew past the drops, and
//! labels by its class token at several depths.
//!
//! After the attention of a layer that reduces, the share of tokens that the class token attends to most stay, sorted by
//! that, and all others become one more token, their sum weighted by that attention (EViT, Liang et al. 2022). Learnt
//! carriers stand last among the tokens at first and have no privilege: what a layer caches is whatever stands last behind
//! it. A layer that reduces appends all that was cached since the one before. The head sees the class token behind each of
//! these layers and behind the last, without a norm.
//!
//! Input `pixel_values` f32 `[batch, channels, height, width]`; output `logits` f32 `[batch, classes]`.
//!
//! Parts in `Names`, beside those of blocks: `patches`, `positions` (of all tokens, or of patches alone), `class_token`;
//! `carriers` and `embedding_norm` where there are such; the head `gather_norm`, `gather`, `gathered_norm`, `classifier`.

use std::collections::BTreeMap;

use super::encoder::{Block, Config};
use super::net::{Names, Net, symbol};
use super::vit;
use crate::Result;
use crate::graph::{Attr, Attrs, Dim, Graph, ValueId, Weight};

/// What a file says beside its tensors.
#[derive(Clone, Debug)]
pub struct Clca {
    /// Names the file in messages.
    pub file: String,
    pub encoder: Config,
    pub names: Names,
    /// Height and width of pictures in pixels.
    pub size: [usize; 2],
    /// In any order.
    pub reductions: Vec<Reduction>,
}

/// A layer that drops tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reduction {
    pub layer: usize,
    /// The share of tokens that stay, the class token not counted; above 0 and up to 1.
    pub keep: f64,
}

impl Reduction {
    /// Tokens that stay of so many, class token included; `None` if all do.
    fn kept(self, tokens: usize) -> Option<usize> {
        let others = tokens.saturating_sub(1);
        let kept = (self.keep * others as f64).ceil() as usize;
        (kept < others).then_some(kept + 1)
    }
}

/// Tokens on their way through the layers.
struct Tokens {
    /// `[batch, count, width]`.
    states: ValueId,
    count: usize,
    width: usize,
    /// Learnt carriers, so tokens that a layer caches.
    carriers: usize,
}

/// The graph of a whole file.
pub fn build(config: &Clca, weights: BTreeMap<String, Weight>) -> Result<Graph> {
    let mut net = Net::new(&config.file, "clca", weights);
    let pixels = vit::input(&mut net, &config.names, Some(config.size), "batch")?;
    let mut tokens = embed(&mut net, config, pixels)?;
    net.check_heads(tokens.width, config.encoder.heads)?;
    let last = config.reductions.iter().map(|r| r.layer).max();
    let (mut cache, mut classes) = (Vec::new(), Vec::new());
    for layer in 0..config.encoder.layers {
        let block = Block { config: &config.encoder, names: &config.names, block: layer };
        let name = config.names.of(Some(layer), "reduce");
        let reduction = config.reductions.iter().find(|reduction| reduction.layer == layer);
        let (states, seen) = block.attend(&mut net, tokens.states, None)?;
        tokens.states = states;
        if let Some(kept) = reduction.and_then(|reduction| reduction.kept(tokens.count)) {
            fuse(&mut net, &name, config.encoder.heads, &mut tokens, seen, kept);
        }
        tokens.states = block.feed(&mut net, tokens.states)?;
        if reduction.is_some() && !cache.is_empty() {
            tokens.count += cache.len() * tokens.carriers;
            let parts: Vec<ValueId> = [tokens.states].into_iter().chain(cache.drain(..)).collect();
            tokens.states = net.concat(&format!("{name}.with_cache"), &parts, 1);
        }
        if tokens.carriers > 0 && Some(layer) < last {
            let from = tokens.count as i64 - tokens.carriers as i64;
            let end = net.vector(&format!("{name}.end"), &[i64::MAX])?;
            cache.push(net.part(&format!("{name}.carriers"), tokens.states, 1, from, end)?);
        }
        if reduction.is_some() || layer + 1 == config.encoder.layers {
            let one = net.vector(&format!("{name}.one"), &[1i64])?;
            classes.push(net.part(&format!("{name}.class"), tokens.states, 1, 0, one)?);
        }
    }
    head(&mut net, config, &classes, tokens.width)?;
    net.finish()
}

/// Class token, patches row by row, carriers; with positions.
fn embed(net: &mut Net, config: &Clca, pixels: ValueId) -> Result<Tokens> {
    let name = |part: &str| config.names.of(None, part);
    let patches = vit::cut(net, &name("patches"), pixels)?;
    let width = patches.width;
    let along = |i: usize| config.size[i].checked_div(patches.sides[i]).unwrap_or(0);
    let of_patches = along(0).checked_mul(along(1)).filter(|&n| n > 0);
    let of_patches = of_patches.ok_or_else(|| net.error("pictures are smaller than a patch, or far too large"))?;
    let carriers = match net.find(&name("carriers")) {
        Some(_) => net.shape::<3>(&name("carriers"))?[1],
        None => 0,
    };
    let count = of_patches + 1 + carriers;
    let positions = net.dense(&name("positions"))?;
    let [_, rows, _] = net.shape(&name("positions"))?;
    let with = |net: &mut Net, x: ValueId| net.plain("Add", "with_positions", &[x, positions]);

    let mut states = if rows == of_patches { with(net, patches.states) } else { patches.states };
    let batch = net.size("batch", pixels, 0);
    let mut parts = vec![vit::repeated(net, &name("class_token"), batch, 1, width)?, states];
    if carriers > 0 {
        parts.push(vit::repeated(net, &name("carriers"), batch, carriers, width)?);
    }
    states = net.concat("tokens", &parts, 1);
    if rows == count {
        states = with(net, states);
    } else if rows != of_patches {
        return Err(net.error(format!(
            "`{}` has {rows} rows, but there are {count} tokens, {of_patches} of them patches",
            name("positions")
        )));
    }
    let norm = name("embedding_norm");
    if net.find(&format!("{norm}.weight")).is_some() {
        states = net.norm(&norm, config.encoder.epsilon, states)?;
    }
    Ok(Tokens { states, count, width, carriers })
}

/// Leaves `kept` tokens and a fused one; `seen` are the queries and keys of the attention before.
fn fuse(net: &mut Net, name: &str, heads: usize, tokens: &mut Tokens, seen: [ValueId; 2], kept: usize) {
    let int = |n: usize| Attr::Int(n as i64);
    let attrs = Attrs::from([("q_num_heads", int(heads)), ("kv_num_heads", int(heads))]);
    let scores = net.node("fewbit.ClassAttention", &format!("{name}.scores"), &seen, attrs);
    let ranks = net.with("fewbit.RankTokens", &format!("{name}.ranks"), &[scores], "pinned", int(1));
    let attrs = Attrs::from([("keep", int(kept)), ("seen", int(kept)), ("fuse", int(1))]);
    let into = net.node("fewbit.PlaceTokens", &format!("{name}.rows"), &[ranks], attrs);
    let attrs = Attrs::from([("rows", int(kept + 1)), ("mode", Attr::String("fuse".into()))]);
    // Nobody asks for the sizes of rows: any numbers will do for those of tokens.
    let inputs = [tokens.states, into, scores, scores].map(Some);
    let [states, _sizes, _logs] = net.wide("fewbit.PoolTokens", &format!("{name}.pool"), &inputs, attrs);
    (tokens.states, tokens.count) = (states, kept + 1);
}

/// Labels by the class tokens, each `[batch, 1, width]`.
fn head(net: &mut Net, config: &Clca, classes: &[ValueId], width: usize) -> Result<()> {
    let name = |part: &str| config.names.of(None, part);
    let gather = name("gather");
    let [channels, _, depths] = net.shape(&format!("{gather}.weight"))?;
    if depths != classes.len() || width == 0 || channels % width != 0 {
        return Err(net.error(format!(
            "`{gather}` makes {channels} channels of {depths} class tokens, but there are {} of width {width}",
            classes.len()
        )));
    }
    let stack = net.concat(&format!("{gather}.classes"), classes, 1);
    let x = net.with("Transpose", &format!("{gather}.stack"), &[stack], "perm", Attr::Ints(vec![0, 2, 1]));
    let x = batch_norm(net, &name("gather_norm"), x)?;
    let inputs = [x, net.dense(&format!("{gather}.weight"))?, net.dense(&format!("{gather}.bias"))?];
    let x = net.with("Conv", &gather, &inputs, "group", Attr::Int(width as i64));
    let x = batch_norm(net, &name("gathered_norm"), x)?;
    let x = net.plain("Gelu", &format!("{gather}.act"), &[x]);
    let x = net.reshape(&format!("{gather}.flat"), x, &[0, channels as i64])?;
    let classifier = name("classifier");
    let [labels, _] = net.shape(&format!("{classifier}.weight"))?;
    let logits = net.linear(&classifier, x)?;
    net.output("logits", logits, &[symbol("batch"), Dim::Known(labels)]);
    Ok(())
}

/// With the statistics of the file, and torch's epsilon.
fn batch_norm(net: &mut Net, name: &str, x: ValueId) -> Result<ValueId> {
    let mut inputs = vec![x];
    for part in ["weight", "bias", "running_mean", "running_var"] {
        inputs.push(net.dense(&format!("{name}.{part}"))?);
    }
    Ok(net.with("BatchNormalization", name, &inputs, "epsilon", Attr::Float(1e-5)))
}
