//! Decoders of the Llama family (Touvron et al. 2023) as one description: Llama, SmolLM2, Mistral, Qwen2 (biases), Qwen3
//! (normalised queries and keys) and Gemma 3 (both, windows, more norms). What a layer has beyond Llama's is told by the
//! tensors that are there.
//!
//! Inputs `input_ids` and `position_ids`, i64 `[1, tokens]`, positions counting up; `logits_to_keep`, i64 `[kept]`: which of
//! the tokens. Output `logits` f32 `[1, kept, vocabulary]`. Keys and values stay in the session: a run goes on after what
//! earlier runs brought in before its first position.

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

/// The graph of a decoder, which keeps every weight under its name.
pub fn build(config: &Config, names: Names, weights: BTreeMap<String, Weight>) -> Result<Graph> {
    let mut graph = Graph { name: "decoder".into(), ..Graph::default() };
    let tokens = [Dim::Known(1), Dim::Symbol("tokens".into())];
    let ids = graph.add_input("input_ids", DType::I64, tokens.to_vec());
    let positions = graph.add_input("position_ids", DType::I64, tokens.to_vec());
    let keep = graph.add_input("logits_to_keep", DType::I64, vec![Dim::Symbol("kept".into())]);
    let ids_of = weights.into_iter().map(|(name, weight)| (name.clone(), graph.add_weight(name, weight)));
    let weights: BTreeMap<String, ValueId> = ids_of.collect();
    let mut net = Builder { config, names, weights, graph, angles: [None, None], positions };

    let embedding = net.need(None, "token_embd.weight")?;
    let mut x = net.graph.add_node("Gather", "embedding", &[embedding, ids], Attrs::default());
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
    declared.dims = Some(vec![Dim::Known(1), Dim::Symbol("kept".into()), Dim::Known(vocabulary)]);
    graph.outputs.push(logits);
    graph.validate()?;
    Ok(graph)
}

struct Builder<'a> {
    config: &'a Config,
    names: Names,
    weights: BTreeMap<String, ValueId>,
    graph: Graph,
    /// Cosines and sines of the two rotary embeddings, made on first use.
    angles: [Option<[ValueId; 2]>; 2],
    positions: ValueId,
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
        self.graph.nodes.push(Node {
            name: name.into(),
            op: "fewbit.RotaryAngles".into(),
            inputs: vec![Some(self.positions)],
            outputs: made.map(Some).to_vec(),
            attrs: Attrs::from([
                ("frequencies", Attr::Floats(rope.frequencies())),
                ("scale", Attr::Float(rope.magnitude())),
            ]),
        });
        self.angles[slot] = Some(made);
        made
    }
}

/// The name of a node: GGUF's, whatever the file's are.
fn label(layer: Option<usize>, part: &str) -> String {
    gguf_names(layer, part.trim_end_matches(".weight"))
}
