//! Whisper (Radford et al. 2022): an encoder of log-mel windows and a decoder of text, as one graph. Names are Hugging
//! Face's.
//!
//! Inputs `input_features` f32 `[1, mels, frames]`; `input_ids` and `position_ids`, i64 `[1, tokens]`, positions counting
//! up; `logits_to_keep`, i64 `[kept]`: which of the tokens. Output `logits` f32 `[1, kept, vocabulary]`. Keys and values of
//! tokens stay in the session, as those of `models::llama` do; those of the window are values between the encoder and the
//! decoder, where `Graph::split` cuts.

use std::collections::BTreeMap;

use crate::graph::{Attr, Attrs, Dim, Graph, ValueId, Weight};
use crate::tensor::DType;
use crate::{Error, Result};

/// The input with a window of audio.
pub const FEATURES: &str = "input_features";

/// What a file says beside its tensors.
#[derive(Clone, Debug)]
pub struct Config {
    /// Names the file in messages.
    pub file: String,
    pub encoder_layers: usize,
    pub encoder_heads: usize,
    pub decoder_layers: usize,
    pub decoder_heads: usize,
}

const EPSILON: f32 = 1e-5;

/// Frames that the second convolution makes one.
const STRIDE: usize = 2;

/// The graph, which keeps every weight under its name. Fails for missing tensors and those of another rank.
pub fn build(config: &Config, weights: BTreeMap<String, Weight>) -> Result<Graph> {
    let mut graph = Graph { name: "whisper".into(), ..Graph::default() };
    let mut net = {
        let ids_of = weights.into_iter().map(|(name, weight)| (name.clone(), graph.add_weight(name, weight)));
        let weights = ids_of.collect();
        Builder { config, weights, graph }
    };
    let heard = net.encoder()?;
    let logits = net.decoder(heard)?;
    net.graph.outputs.push(logits);
    net.graph.validate()?;
    Ok(net.graph)
}

/// Tokens that the decoder has positions for.
pub fn context(graph: &Graph) -> Option<usize> {
    let positions = graph.weights.get(&graph.find("model.decoder.embed_positions.weight")?)?;
    positions.ty().shape.first().copied()
}

struct Builder<'a> {
    config: &'a Config,
    weights: BTreeMap<String, ValueId>,
    graph: Graph,
}

impl Builder<'_> {
    fn encoder(&mut self) -> Result<ValueId> {
        let [_, mels, _] = self.shape("model.encoder.conv1.weight")?;
        let [frames, width] = self.shape("model.encoder.embed_positions.weight")?;
        let dims = vec![Dim::Known(1), Dim::Known(mels), Dim::Known(STRIDE * frames)];
        let features = self.graph.add_input(FEATURES, DType::F32, dims);
        let mut x = self.convolution("model.encoder.conv1", features, 1)?;
        x = self.convolution("model.encoder.conv2", x, STRIDE)?;
        let turned = Attrs::from([("perm", Attr::Ints(vec![0, 2, 1]))]);
        x = self.graph.add_node("Transpose", "model.encoder.frames", &[x], turned);
        let positions = self.positions("model.encoder.embed_positions.weight")?;
        x = self.add("model.encoder.positions", x, positions);
        for layer in 0..self.config.encoder_layers {
            let name = format!("model.encoder.layers.{layer}");
            let heads = self.config.encoder_heads;
            let normal = self.norm(&format!("{name}.self_attn_layer_norm"), x)?;
            let part = format!("{name}.self_attn");
            let [q, k, v] = self.projections(&part, normal, normal)?;
            let seen = self.attention(&part, heads, [q, k, v]);
            x = self.output(&part, seen, x)?;
            x = self.feed_forward(&name, x)?;
        }
        self.check_heads("encoder", width, self.config.encoder_heads)?;
        self.norm("model.encoder.layer_norm", x)
    }

    fn decoder(&mut self, heard: ValueId) -> Result<ValueId> {
        let [vocabulary, width] = self.shape("model.decoder.embed_tokens.weight")?;
        self.check_heads("decoder", width, self.config.decoder_heads)?;
        let tokens = vec![Dim::Known(1), Dim::Symbol("tokens".into())];
        let ids = self.graph.add_input("input_ids", DType::I64, tokens.clone());
        let positions = self.graph.add_input("position_ids", DType::I64, tokens);
        let keep = self.graph.add_input("logits_to_keep", DType::I64, vec![Dim::Symbol("kept".into())]);
        let embedding = self.need("model.decoder.embed_tokens.weight")?;
        let mut x = self.graph.add_node("Gather", "model.decoder.tokens", &[embedding, ids], Attrs::default());
        let table = self.positions("model.decoder.embed_positions.weight")?;
        let places = self.graph.add_node("Gather", "model.decoder.places", &[table, positions], Attrs::default());
        x = self.add("model.decoder.positions", x, places);
        for layer in 0..self.config.decoder_layers {
            let name = format!("model.decoder.layers.{layer}");
            x = self.self_attention(layer, &name, positions, x)?;
            let normal = self.norm(&format!("{name}.encoder_attn_layer_norm"), x)?;
            let part = format!("{name}.encoder_attn");
            let projections = self.projections(&part, normal, heard)?;
            let seen = self.attention(&part, self.config.decoder_heads, projections);
            x = self.output(&part, seen, x)?;
            x = self.feed_forward(&name, x)?;
        }
        let axis = Attrs::from([("axis", Attr::Int(1))]);
        x = self.graph.add_node("Gather", "model.decoder.kept", &[x, keep], axis);
        x = self.norm("model.decoder.layer_norm", x)?;
        let logits = self.product("logits", x, embedding, None);
        let declared = &mut self.graph.values[logits.0 as usize];
        declared.dtype = Some(DType::F32);
        declared.dims = Some(vec![Dim::Known(1), Dim::Symbol("kept".into()), Dim::Known(vocabulary)]);
        Ok(logits)
    }

    fn find(&self, name: &str) -> Option<ValueId> {
        self.weights.get(name).copied()
    }

    fn need(&self, name: &str) -> Result<ValueId> {
        self.find(name).ok_or_else(|| self.error(name, "is missing"))
    }

    fn error(&self, name: &str, what: &str) -> Error {
        Error::format(&self.config.file, format!("tensor `{name}` of Whisper {what}"))
    }

    fn shape<const N: usize>(&self, name: &str) -> Result<[usize; N]> {
        let ty = self.graph.weights.get(&self.need(name)?).map(Weight::ty);
        let shape = ty.and_then(|ty| <[usize; N]>::try_from(ty.shape).ok());
        shape.ok_or_else(|| self.error(name, &format!("has no {N} dimensions")))
    }

    fn check_heads(&self, part: &str, width: usize, heads: usize) -> Result<()> {
        match heads > 0 && width.is_multiple_of(heads) {
            true => Ok(()),
            false => {
                Err(Error::format(&self.config.file, format!("{heads} heads of the {part} for a width of {width}")))
            }
        }
    }

    /// A table of positions, which is added to as it is.
    fn positions(&mut self, name: &str) -> Result<ValueId> {
        let id = self.need(name)?;
        if let Some(Weight::Encoded(encoded)) = self.graph.weights.get(&id) {
            let dense = encoded.to_dense()?;
            self.graph.weights.insert(id, Weight::Dense(dense));
        }
        Ok(id)
    }

    fn convolution(&mut self, name: &str, x: ValueId, stride: usize) -> Result<ValueId> {
        let (weight, bias) = (self.need(&format!("{name}.weight"))?, self.need(&format!("{name}.bias"))?);
        let [_, _, kernel] = self.shape(&format!("{name}.weight"))?;
        let attrs = Attrs::from([
            ("kernel_shape", Attr::Ints(vec![kernel as i64])),
            ("pads", Attr::Ints(vec![kernel as i64 / 2; 2])),
            ("strides", Attr::Ints(vec![stride as i64])),
        ]);
        let x = self.graph.add_node("Conv", name, &[x, weight, bias], attrs);
        Ok(self.graph.add_node("Gelu", &format!("{name}.act"), &[x], Attrs::default()))
    }

    fn norm(&mut self, name: &str, x: ValueId) -> Result<ValueId> {
        let (weight, bias) = (self.need(&format!("{name}.weight"))?, self.need(&format!("{name}.bias"))?);
        let attrs = Attrs::from([("axis", Attr::Int(-1)), ("epsilon", Attr::Float(EPSILON))]);
        Ok(self.graph.add_node("LayerNormalization", name, &[x, weight, bias], attrs))
    }

    /// `x · Wᵀ + bias`; keys have no bias.
    fn linear(&mut self, name: &str, x: ValueId) -> Result<ValueId> {
        let weight = self.need(&format!("{name}.weight"))?;
        let bias = self.find(&format!("{name}.bias"));
        Ok(self.product(name, x, weight, bias))
    }

    fn product(&mut self, name: &str, x: ValueId, weight: ValueId, bias: Option<ValueId>) -> ValueId {
        let inputs: Vec<ValueId> = [x, weight].into_iter().chain(bias).collect();
        self.graph.add_node("fewbit.Linear", name, &inputs, Attrs::from([("transposed", Attr::Int(1))]))
    }

    fn add(&mut self, name: &str, a: ValueId, b: ValueId) -> ValueId {
        self.graph.add_node("Add", name, &[a, b], Attrs::default())
    }

    /// Queries of `x`, keys and values of `of`.
    fn projections(&mut self, name: &str, x: ValueId, of: ValueId) -> Result<[ValueId; 3]> {
        let q = self.linear(&format!("{name}.q_proj"), x)?;
        Ok([q, self.linear(&format!("{name}.k_proj"), of)?, self.linear(&format!("{name}.v_proj"), of)?])
    }

    fn attention(&mut self, name: &str, heads: usize, inputs: [ValueId; 3]) -> ValueId {
        self.graph.add_node("Attention", name, &inputs, heads_of(heads))
    }

    fn self_attention(&mut self, layer: usize, name: &str, positions: ValueId, x: ValueId) -> Result<ValueId> {
        let normal = self.norm(&format!("{name}.self_attn_layer_norm"), x)?;
        let part = format!("{name}.self_attn");
        let [q, k, v] = self.projections(&part, normal, normal)?;
        let mut options = heads_of(self.config.decoder_heads);
        options.set("cache", Attr::Int(layer as i64));
        let seen = self.graph.add_node("fewbit.CachedAttention", &part, &[q, k, v, positions], options);
        self.output(&part, seen, x)
    }

    /// What attention saw, brought back and added.
    fn output(&mut self, name: &str, seen: ValueId, x: ValueId) -> Result<ValueId> {
        let out = self.linear(&format!("{name}.out_proj"), seen)?;
        Ok(self.add(&format!("{name}.add"), x, out))
    }

    fn feed_forward(&mut self, name: &str, x: ValueId) -> Result<ValueId> {
        let normal = self.norm(&format!("{name}.final_layer_norm"), x)?;
        let inner = self.linear(&format!("{name}.fc1"), normal)?;
        let inner = self.graph.add_node("Gelu", &format!("{name}.act"), &[inner], Attrs::default());
        let out = self.linear(&format!("{name}.fc2"), inner)?;
        Ok(self.add(&format!("{name}.add"), x, out))
    }
}

fn heads_of(heads: usize) -> Attrs {
    Attrs::from([("q_num_heads", Attr::Int(heads as i64)), ("kv_num_heads", Attr::Int(heads as i64))])
}
