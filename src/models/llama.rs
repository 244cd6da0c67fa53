//! Decoders of the Llama family (Touvron et al. 2023) as one description: Llama, SmolLM2, Mistral, Qwen2 (biases), Qwen3
//! (normalised queries and keys) and Gemma 3 (both, windows, more norms). What a layer has beyond Llama's is told by the
//! tensors that are there.
//!
//! Inputs `input_ids`, i64 `[batch, tokens]`, of sequences of one length; `position_ids`, i64 `[1, tokens]`, counting up;
//! `logits_to_keep`, i64 `[kept]`: which of the tokens. Output `logits` f32 `[batch, kept, vocabulary]`. Keys and values
//! stay in the session: a run goes on after what earlier runs brought in before its first position.

use std::collections::BTreeMap;

use super::rope::Rope;
use crate::graph::{Attr, Attrs, Dim, Graph, Node, ValueId, Weight};
use crate::tensor::{DType, Tensor};
use crate::{Error, Result};

/// What a decoder's file says about it beside its tensors.
#[derive(Clone, Debug)]
pub struct Config {
    /// Names the file in messages.
    pub file: String,
    pub layers: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub epsilon: f32,
    pub rope: Rope,
    /// Of layers with a window, if it is another.
    pub local_rope: Option<Rope>,
    /// Factor of scores; without, 1 / √head.
    pub scale: Option<f32>,
    pub window: Option<Window>,
    pub gate: Gate,
    /// Factor of embeddings.
    pub embedding_scale: f32,
}

/// Layers that see the last positions only.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Positions that a token sees, itself included.
    pub size: usize,
    /// Every layer of this number sees all; 0: none does.
    pub period: usize,
}

/// What the gate of a feed-forward layer applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    Silu,
    /// With tanh instead of the error function.
    Gelu,
}

/// How a file names a tensor: of a layer or of none, and its part in GGUF's words, e.g. `attn_q.weight`.
pub type Names = fn(Option<usize>, &str) -> String;

/// GGUF's own names.
pub fn gguf_names(layer: Option<usize>, part: &str) -> String {
    layer.map_or_else(|| part.to_string(), |i| format!("blk.{i}.{part}"))
}

/// What a decoder sees beside text.
#[derive(Clone, Debug)]
pub struct Sight {
    /// `[features, width]`: what stands for the ids from the vocabulary's size on.
    pub features: ValueId,
    /// Pairs of a head that turn by each of a token's positions in time, in height and in width (M-RoPE, Wang et al. 2024),
    /// which are then a further input, `rotary_positions`, i64 `[3, tokens]`. Empty: a token turns by where it stands.
    pub sections: Vec<usize>,
}

/// The further input of decoders with sections.
pub const ROTARY_POSITIONS: &str = "rotary_positions";

/// The graph of a decoder, which keeps every weight under its name.
pub fn build(config: &Config, names: Names, weights: BTreeMap<String, Weight>) -> Result<Graph> {
    let mut graph = Graph { name: "decoder".into(), ..Graph::default() };
    let ids_of = weights.into_iter().map(|(name, weight)| (name.clone(), graph.add_weight(name, weight)));
    let weights = ids_of.collect();
    extend(graph, config, names, weights, None)
}

/// Adds a decoder to a graph that has its weights, by their names.
pub fn extend(
    mut graph: Graph,
    config: &Config,
    names: Names,
    weights: BTreeMap<String, ValueId>,
    sight: Option<&Sight>,
) -> Result<Graph> {
    let [batch, tokens, kept] = ["batch", "tokens", "kept"].map(|name| Dim::Symbol(name.into()));
    let ids = graph.add_input("input_ids", DType::I64, vec![batch.clone(), tokens.clone()]);
    let positions = graph.add_input("position_ids", DType::I64, vec![Dim::Known(1), tokens.clone()]);
    let keep = graph.add_input("logits_to_keep", DType::I64, vec![kept.clone()]);
    let sections = sight.map_or(&[][..], |sight| &sight.sections);
    let turns_by = match sections.is_empty() {
        true => positions,
        false => {
            let dims = vec![Dim::Known(AXES), tokens];
            graph.add_input(ROTARY_POSITIONS, DType::I64, dims)
        }
    };
    let mut net = Builder { config, names, weights, graph, angles: [None, None], positions, turns_by, sections };

    let embedding = net.need(None, "token_embd.weight")?;
    let mut x = match sight {
        Some(sight) => net.words_or_features(embedding, ids, sight.features)?,
        None => net.graph.add_node("Gather", "embedding", &[embedding, ids], Attrs::default()),
    };
    if config.embedding_scale != 1.0 {
        let factor = net.graph.add_weight("embedding_scale", Weight::Dense(Tensor::scalar(config.embedding_scale)));
        x = net.graph.add_node("Mul", "embedding.scaled", &[x, factor], Attrs::default());
    }
    for layer in 0..config.layers {
        x = net.attention(layer, x)?;
        x = net.feed_forward(layer, x)?;
    }
    x = net.graph.add_node("Gather", "kept", &[x, keep], Attrs::from([("axis", Attr::Int(1))]));
    x = net.norm(None, "output_norm.weight", x)?;
    let head = net.find(None, "output.weight").unwrap_or(embedding);
    let logits = net.product("logits", x, head, None);
    let vocabulary = net.rows(head)?;
    let mut graph = net.graph;
    let declared = &mut graph.values[logits.0 as usize];
    declared.dtype = Some(DType::F32);
    declared.dims = Some(vec![batch, kept, Dim::Known(vocabulary)]);
    graph.outputs.push(logits);
    graph.validate()?;
    Ok(graph)
}

/// A token's positions by which heads turn in sections.
const AXES: usize = 3;

struct Builder<'a> {
    config: &'a Config,
    names: Names,
    weights: BTreeMap<String, ValueId>,
    graph: Graph,
    /// Cosines and sines of the two rotary embeddings, made on first use.
    angles: [Option<[ValueId; 2]>; 2],
    positions: ValueId,
    /// The positions of the angles, and how many of them are for each of its rows.
    turns_by: ValueId,
    sections: &'a [usize],
}

impl Builder<'_> {
    fn find(&self, layer: Option<usize>, part: &str) -> Option<ValueId> {
        self.weights.get(&(self.names)(layer, part)).copied()
    }

    fn need(&self, layer: Option<usize>, part: &str) -> Result<ValueId> {
        self.find(layer, part).ok_or_else(|| {
            let name = (self.names)(layer, part);
            Error::format(&self.config.file, format!("tensor `{name}` of the decoder is missing"))
        })
    }

    fn rows(&self, weight: ValueId) -> Result<usize> {
        let ty = self.graph.weights.get(&weight).map(Weight::ty);
        let what = || format!("`{}` is no matrix", self.graph.value(weight).name);
        match ty.as_ref().map(|ty| ty.shape.as_slice()) {
            Some(&[rows, _]) => Ok(rows),
            _ => Err(Error::format(&self.config.file, what())),
        }
    }

    fn norm(&mut self, layer: Option<usize>, part: &str, x: ValueId) -> Result<ValueId> {
        let weight = self.need(layer, part)?;
        Ok(self.normalise(layer, part, x, weight))
    }

    fn normalise(&mut self, layer: Option<usize>, part: &str, x: ValueId, weight: ValueId) -> ValueId {
        let name = label(layer, part);
        let attrs = Attrs::from([("axis", Attr::Int(-1)), ("epsilon", Attr::Float(self.config.epsilon))]);
        self.graph.add_node("RMSNormalization", &name, &[x, weight], attrs)
    }

    /// A norm that only some architectures have.
    fn maybe_norm(&mut self, layer: usize, part: &str, x: ValueId) -> ValueId {
        match self.find(Some(layer), part) {
            Some(weight) => self.normalise(Some(layer), part, x, weight),
            None => x,
        }
    }

    /// `x · Wᵀ + bias`.
    fn linear(&mut self, layer: usize, part: &str, x: ValueId) -> Result<ValueId> {
        let weight = self.need(Some(layer), &format!("{part}.weight"))?;
        let bias = self.find(Some(layer), &format!("{part}.bias"));
        Ok(self.product(&label(Some(layer), part), x, weight, bias))
    }

    fn product(&mut self, name: &str, x: ValueId, weight: ValueId, bias: Option<ValueId>) -> ValueId {
        let inputs: Vec<ValueId> = [x, weight].into_iter().chain(bias).collect();
        self.graph.add_node("fewbit.Linear", name, &inputs, Attrs::from([("transposed", Attr::Int(1))]))
    }

    /// Queries or keys of a layer, with every head normalised where the model does that.
    fn heads(&mut self, layer: usize, part: &str, count: usize, x: ValueId) -> Result<ValueId> {
        let all = self.linear(layer, part, x)?;
        let Some(weight) = self.find(Some(layer), &format!("{part}_norm.weight")) else { return Ok(all) };
        let name = label(Some(layer), part);
        let split = self.reshape(&format!("{name}.heads"), all, &[0, 0, count as i64, -1])?;
        let normal = self.normalise(Some(layer), &format!("{part}_norm"), split, weight);
        self.reshape(&format!("{name}.joined"), normal, &[0, 0, -1])
    }

    fn reshape(&mut self, name: &str, x: ValueId, shape: &[i64]) -> Result<ValueId> {
        let shape = Weight::Dense(Tensor::new([shape.len()], shape)?);
        let shape = self.graph.add_weight(format!("{name}.shape"), shape);
        Ok(self.graph.add_node("Reshape", name, &[x, shape], Attrs::default()))
    }

    /// Embeddings of ids: rows of the table, and beyond it those of `features`.
    fn words_or_features(&mut self, table: ValueId, ids: ValueId, features: ValueId) -> Result<ValueId> {
        // Both are looked up for every id, of which one is there; the other takes a row that is there too.
        let vocabulary = self.rows(table)? as i64;
        let graph = &mut self.graph;
        let mut number = |name: &str, n: i64| graph.add_weight(name, Weight::Dense(Tensor::scalar(n)));
        let (last, size, zero) = (number("last_word", vocabulary - 1), number("words", vocabulary), number("zero", 0));
        let mut node = |op: &str, name: &str, inputs: &[ValueId]| graph.add_node(op, name, inputs, Attrs::default());
        let word = node("Min", "word", &[ids, last]);
        let words = node("Gather", "embedding.words", &[table, word]);
        let beyond = node("Sub", "beyond_words", &[ids, size]);
        let feature = node("Max", "feature", &[beyond, zero]);
        let seen = node("Gather", "embedding.features", &[features, feature]);
        let is_feature = node("GreaterOrEqual", "is_feature", &[ids, size]);
        let axis = graph.add_weight("is_feature.axis", Weight::Dense(Tensor::new([1], &[-1i64])?));
        let is_feature = graph.add_node("Unsqueeze", "is_feature.wide", &[is_feature, axis], Attrs::default());
        Ok(graph.add_node("Where", "embedding", &[is_feature, seen, words], Attrs::default()))
    }

    fn attention(&mut self, layer: usize, x: ValueId) -> Result<ValueId> {
        let config = self.config;
        let window = config.window.filter(|w| w.period == 0 || !(layer + 1).is_multiple_of(w.period));
        let normal = self.norm(Some(layer), "attn_norm.weight", x)?;
        let q = self.heads(layer, "attn_q", config.heads, normal)?;
        let k = self.heads(layer, "attn_k", config.kv_heads, normal)?;
        let v = self.linear(layer, "attn_v", normal)?;
        let rope = match (&config.local_rope, window) {
            (Some(local), Some(_)) => local,
            _ => &config.rope,
        };
        let [cos, sin] = self.angles(rope);
        let mut options = Attrs::from([
            ("cache", Attr::Int(layer as i64)),
            ("q_num_heads", Attr::Int(config.heads as i64)),
            ("kv_num_heads", Attr::Int(config.kv_heads as i64)),
            ("interleaved", Attr::Int(rope.interleaved.into())),
        ]);
        if let Some(scale) = config.scale {
            options.set("scale", Attr::Float(scale));
        }
        if let Some(window) = window {
            options.set("window", Attr::Int(i64::try_from(window.size).unwrap_or(0)));
        }
        let inputs = [q, k, v, self.positions, cos, sin];
        let seen = self.graph.add_node("fewbit.CachedAttention", &label(Some(layer), "attention"), &inputs, options);
        let out = self.linear(layer, "attn_output", seen)?;
        let out = self.maybe_norm(layer, "post_attention_norm.weight", out);
        Ok(self.graph.add_node("Add", &label(Some(layer), "attn_add"), &[x, out], Attrs::default()))
    }

    fn feed_forward(&mut self, layer: usize, x: ValueId) -> Result<ValueId> {
        let normal = self.norm(Some(layer), "ffn_norm.weight", x)?;
        let gate = self.linear(layer, "ffn_gate", normal)?;
        let name = label(Some(layer), "ffn_act");
        let gate = match self.config.gate {
            Gate::Silu => self.graph.add_node("Swish", &name, &[gate], Attrs::default()),
            Gate::Gelu => {
                let tanh = Attrs::from([("approximate", Attr::String("tanh".into()))]);
                self.graph.add_node("Gelu", &name, &[gate], tanh)
            }
        };
        let up = self.linear(layer, "ffn_up", normal)?;
        let inner = self.graph.add_node("Mul", &label(Some(layer), "ffn_mul"), &[gate, up], Attrs::default());
        let out = self.linear(layer, "ffn_down", inner)?;
        let out = self.maybe_norm(layer, "post_ffw_norm.weight", out);
        Ok(self.graph.add_node("Add", &label(Some(layer), "ffn_add"), &[x, out], Attrs::default()))
    }

    fn angles(&mut self, rope: &Rope) -> [ValueId; 2] {
        let slot = usize::from(*rope != self.config.rope);
        if let Some(known) = self.angles[slot] {
            return known;
        }
        let name = if slot == 0 { "rope" } else { "local_rope" };
        let made = ["cos", "sin"].map(|part| self.graph.add_value(format!("{name}.{part}")));
        let mut attrs =
            Attrs::from([("frequencies", Attr::Floats(rope.frequencies())), ("scale", Attr::Float(rope.magnitude()))]);
        if !self.sections.is_empty() {
            attrs.set("sections", Attr::Ints(self.sections.iter().map(|&n| n as i64).collect()));
        }
        self.graph.nodes.push(Node {
            name: name.into(),
            op: "fewbit.RotaryAngles".into(),
            inputs: vec![Some(self.turns_by)],
            outputs: made.map(Some).to_vec(),
            attrs,
        });
        self.angles[slot] = Some(made);
        made
    }
}

/// The name of a node: GGUF's, whatever the file's are.
fn label(layer: Option<usize>, part: &str) -> String {
    gguf_names(layer, part.trim_end_matches(".weight"))
}
