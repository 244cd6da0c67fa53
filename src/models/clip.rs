//! Towers of a picture and a text that are compared (CLIP, Radford et al. 2021; SigLIP, Zhai et al. 2023), together or
//! one alone. Names are Hugging Face's.
//!
//! Inputs of the picture's tower `pixel_values` f32 `[images, 3, height, width]`; of the text's `input_ids`, and for CLIP
//! `attention_mask` (0 for tokens that only fill up a batch), i64 `[texts, tokens]`. Outputs of both together
//! `logits_per_image` f32 `[images, texts]`, `logits_per_text`, which is it transposed, and what is compared, of length 1:
//! `image_embeds` f32 `[images, size]`, `text_embeds` f32 `[texts, size]`. Outputs of one tower `last_hidden_state` f32
//! `[images, tokens, width]`, and `pooler_output` `[images, width]` or, if the file has a projection, `image_embeds`
//! `[images, size]` as it is; of texts alike.

use std::collections::BTreeMap;

use super::bert;
use super::encoder::{self, Config};
use super::net::{Names, Net, symbol};
use super::vit;
use crate::Result;
use crate::graph::{Attr, Attrs, Dim, Graph, ValueId, Weight};
use crate::tensor::DType;

/// ONNX's numbers of types.
const FLOAT: i64 = 1;
const INT32: i64 = 6;

/// What a file says beside its tensors.
#[derive(Clone, Debug)]
pub struct Clip {
    /// Names the file in messages.
    pub file: String,
    pub vision: Option<Vision>,
    pub text: Option<Text>,
}

/// The picture's tower.
#[derive(Clone, Debug)]
pub struct Vision {
    pub encoder: Config,
    /// Parts as of `models::vit`; `norm` is behind the blocks.
    pub names: Names,
    /// Height and width of pictures in pixels.
    pub size: [usize; 2],
    pub pool: VisionPool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VisionPool {
    /// The class token, normalised; states are those of the last block.
    Class,
    /// What a learnt query finds in the states, which are normalised; the part `pool`.
    Attention,
    /// States only.
    None,
}

/// The text's tower.
#[derive(Clone, Debug)]
pub struct Text {
    pub encoder: Config,
    /// Parts `words`, `positions`, `norm`, those of blocks, and `head`.
    pub names: Names,
    pub pool: TextPool,
}

/// Which token stands for the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextPool {
    /// The first that is this one.
    First(i32),
    /// The first with the largest id: files of a time when they named another token as the end.
    Largest,
    /// The last, through `head`; all tokens are seen.
    Last,
}

/// The graph of a file.
pub fn build(config: &Clip, weights: BTreeMap<String, Weight>) -> Result<Graph> {
    let mut net = Net::new(&config.file, "clip", weights);
    let vision = config.vision.as_ref().map(|vision| picture(&mut net, vision)).transpose()?;
    let text = config.text.as_ref().map(|text| self::text(&mut net, text)).transpose()?;
    match (vision, text) {
        (Some(vision), Some(text)) => compare(&mut net, vision, text)?,
        (Some(tower), None) => tower.alone(&mut net, "visual_projection", "image_embeds")?,
        (None, Some(tower)) => tower.alone(&mut net, "text_projection", "text_embeds")?,
        (None, None) => return Err(net.error("has neither a picture's tower nor a text's")),
    }
    net.finish()
}

/// What a tower makes.
pub struct Tower {
    /// `[batch, tokens, width]`.
    pub states: ValueId,
    /// `[batch, pooled width]`.
    pub pooled: Option<ValueId>,
    dims: [Dim; 3],
    pooled_width: usize,
}

impl Tower {
    fn alone(self, net: &mut Net, projection: &str, embeds: &str) -> Result<()> {
        let projected = match self.pooled {
            Some(pooled) => projection_of(net, projection, pooled)?,
            None => None,
        };
        net.output("last_hidden_state", self.states, &self.dims);
        let [batch, ..] = self.dims;
        if let Some((embedded, size)) = projected {
            net.output(embeds, embedded, &[batch, Dim::Known(size)]);
        } else if let Some(pooled) = self.pooled {
            net.output("pooler_output", pooled, &[batch, Dim::Known(self.pooled_width)]);
        }
        Ok(())
    }
}

/// What a projection makes of pooled states, and its size; `None` without one.
fn projection_of(net: &mut Net, name: &str, pooled: ValueId) -> Result<Option<(ValueId, usize)>> {
    if net.find(&format!("{name}.weight")).is_none() {
        return Ok(None);
    }
    let [size, _] = net.shape(&format!("{name}.weight"))?;
    Ok(Some((net.linear(name, pooled)?, size)))
}

/// Adds the picture's tower with its input.
pub fn picture(net: &mut Net, config: &Vision) -> Result<Tower> {
    let (names, epsilon, size) = (&config.names, config.encoder.epsilon, Some(config.size));
    let pixels = vit::input(net, names, size, "images")?;
    let tokens = vit::embed(net, names, size, epsilon, pixels)?;
    let width = tokens.width;
    let mut x = encoder::blocks(net, &config.encoder, names, width, tokens.states, None)?;
    let norm = names.of(None, "norm");
    let pooled = match config.pool {
        VisionPool::Class if tokens.special == 0 => {
            return Err(net.error(format!("tensor `{}` is missing", names.of(None, "class_token"))));
        }
        VisionPool::Class => {
            let class = net.pick(&format!("{norm}.class"), x, 1, 0);
            Some(net.norm(&norm, epsilon, class)?)
        }
        VisionPool::Attention => {
            x = net.norm(&norm, epsilon, x)?;
            Some(attention_pool(net, config, x)?)
        }
        VisionPool::None => {
            x = net.norm(&norm, epsilon, x)?;
            None
        }
    };
    let dims = [symbol("images"), tokens.count, Dim::Known(width)];
    Ok(Tower { states: x, pooled, dims, pooled_width: width })
}

/// A learnt query's attention over the states `x`, and a feed-forward layer.
fn attention_pool(net: &mut Net, config: &Vision, x: ValueId) -> Result<ValueId> {
    let name = config.names.of(None, "pool");
    let probe = net.dense(&format!("{name}.probe"))?;
    let query = net.linear(&format!("{name}.attention.q_proj"), probe)?;
    let batch = net.size(&format!("{name}.batch"), x, 0);
    let ones = net.vector(&format!("{name}.ones"), &[1i64, 1])?;
    let shape = net.concat(&format!("{name}.shape"), &[batch, ones], 0);
    let query = net.plain("Expand", &format!("{name}.query"), &[query, shape]);
    let key = net.linear(&format!("{name}.attention.k_proj"), x)?;
    let value = net.linear(&format!("{name}.attention.v_proj"), x)?;
    let seen = encoder::attention(net, &format!("{name}.attention"), &config.encoder, [query, key, value], None);
    let seen = net.linear(&format!("{name}.attention.out_proj"), seen)?;
    let normal = net.norm(&format!("{name}.layernorm"), config.encoder.epsilon, seen)?;
    let inner = net.linear(&format!("{name}.mlp.fc1"), normal)?;
    let inner = config.encoder.activation.apply(net, &format!("{name}.mlp.act"), inner);
    let out = net.linear(&format!("{name}.mlp.fc2"), inner)?;
    let sum = net.plain("Add", &format!("{name}.add"), &[seen, out]);
    Ok(net.pick(&format!("{name}.found"), sum, 1, 0))
}

/// Adds the text's tower with its inputs.
pub fn text(net: &mut Net, config: &Text) -> Result<Tower> {
    let (names, epsilon) = (&config.names, config.encoder.epsilon);
    let words = format!("{}.weight", names.of(None, "words"));
    let [_, width] = net.shape(&words)?;
    let table = net.need(&words)?;
    let dims = vec![symbol("texts"), symbol("tokens")];
    let ids = net.graph.add_input("input_ids", DType::I64, dims.clone());
    let mask = match config.pool {
        TextPool::Last => None,
        TextPool::First(_) | TextPool::Largest => {
            let given = net.graph.add_input("attention_mask", DType::I64, dims);
            Some(encoder::mask(net, "mask", given)?)
        }
    };
    let mut x = net.plain("Gather", &names.of(None, "words"), &[table, ids]);
    let positions = bert::counted(net, &format!("{}.weight", names.of(None, "positions")), ids)?;
    x = net.plain("Add", "embeddings", &[x, positions]);
    x = encoder::blocks(net, &config.encoder, names, width, x, mask)?;
    x = net.norm(&names.of(None, "norm"), epsilon, x)?;
    let mut pooled_width = width;
    let pooled = match config.pool {
        TextPool::Last => {
            let last = net.pick("pooled", x, 1, -1);
            let head = names.of(None, "head");
            [pooled_width, _] = net.shape(&format!("{head}.weight"))?;
            net.linear(&head, last)?
        }
        TextPool::First(end) => {
            let narrow = net.with("Cast", "end.ids", &[ids], "to", Attr::Int(INT32));
            let end = net.scalar("end.token", end);
            let found = net.plain("Equal", "end.found", &[narrow, end]);
            at_largest(net, x, found)?
        }
        TextPool::Largest => at_largest(net, x, ids)?,
    };
    let dims = [symbol("texts"), symbol("tokens"), Dim::Known(width)];
    Ok(Tower { states: x, pooled: Some(pooled), dims, pooled_width })
}

/// The states `x` `[batch, tokens, width]` where `of` `[batch, tokens]` is largest first. Compared in f32, which holds ids
/// exactly and is what every device has kernels for.
fn at_largest(net: &mut Net, x: ValueId, of: ValueId) -> Result<ValueId> {
    let floats = net.with("Cast", "end.floats", &[of], "to", Attr::Int(FLOAT));
    let attrs = Attrs::from([("axis", Attr::Int(1)), ("keepdims", Attr::Int(1))]);
    let places = net.node("ArgMax", "end.places", &[floats], attrs);
    Ok(net.with("GatherND", "pooled", &[x, places], "batch_dims", Attr::Int(1)))
}

/// Both towers' vectors, of length 1, and their products.
fn compare(net: &mut Net, vision: Tower, text: Tower) -> Result<()> {
    let mut embed = |tower: &Tower, name: &str, projection: &str| {
        let pooled = tower.pooled.ok_or_else(|| net.error("a tower without a vector to compare"))?;
        let (x, size) = projection_of(net, projection, pooled)?.unwrap_or((pooled, tower.pooled_width));
        let axes = net.vector(&format!("{name}.axes"), &[-1i64])?;
        let length = net.with("ReduceL2", &format!("{name}.length"), &[x, axes], "keepdims", Attr::Int(1));
        Ok::<_, crate::Error>((net.plain("Div", name, &[x, length]), size))
    };
    let (image, image_size) = embed(&vision, "image_embeds", "visual_projection")?;
    let (words, text_size) = embed(&text, "text_embeds", "text_projection")?;
    if image_size != text_size {
        return Err(net.error(format!("vectors of pictures have {image_size} elements, of texts {text_size}")));
    }
    let turned = net.with("Transpose", "text_embeds.columns", &[words], "perm", Attr::Ints(vec![1, 0]));
    let mut logits = net.plain("MatMul", "cosines", &[image, turned]);
    let scale = net.dense("logit_scale")?;
    let scale = net.plain("Exp", "logit_scale.exp", &[scale]);
    logits = net.plain("Mul", "logits.scaled", &[logits, scale]);
    if net.find("logit_bias").is_some() {
        let bias = net.dense("logit_bias")?;
        logits = net.plain("Add", "logits.biased", &[logits, bias]);
    }
    let per_text = net.with("Transpose", "logits.per_text", &[logits], "perm", Attr::Ints(vec![1, 0]));
    let ([images, ..], [texts, ..]) = (vision.dims, text.dims);
    net.output("logits_per_image", logits, &[images.clone(), texts.clone()]);
    net.output("logits_per_text", per_text, &[texts.clone(), images.clone()]);
    net.output("image_embeds", image, &[images, Dim::Known(image_size)]);
    net.output("text_embeds", words, &[texts, Dim::Known(text_size)]);
    Ok(())
}
