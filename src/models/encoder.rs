//! Transformer encoders (Vaswani et al. 2017) as one description: blocks of attention and a feed-forward layer, each with
//! its norm before (ViT, CLIP, SigLIP, DINOv2) or behind it (BERT). Biases and layer scale (Touvron et al. 2021, CaiT) are
//! told by the tensors that are there, a gate in the feed-forward layer by the names.
//!
//! Parts of a block in `Names`: `norm1`, `query`, `key`, `value`, `attention_out`, `scale1`; `norm2`, `fc1`, `fc2`,
//! `scale2`, or for a gated layer `gate_up` instead of `fc1`.

use super::net::{Names, Net};
use crate::graph::{Attr, Attrs, ValueId};
use crate::{Error, Result};

/// ONNX's number of bool.
const BOOL: i64 = 9;

/// What a file says about its blocks beside their tensors.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub layers: usize,
    pub heads: usize,
    pub epsilon: f32,
    pub norm: Norm,
    pub activation: Activation,
    /// A token sees those before it only.
    pub causal: bool,
}

/// Where norms stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// `x + f(norm(x))`.
    Before,
    /// `norm(x + f(x))`.
    After,
}

/// What the feed-forward layer applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x · Φ(x)`.
    Gelu,
    /// The same with tanh instead of the error function.
    GeluTanh,
    /// `x · sigmoid(1.702 · x)`.
    QuickGelu,
    Relu,
    Silu,
}

impl Activation {
    /// By the names of `config.json`; `file` names it in messages.
    pub fn of(file: &str, name: &str) -> Result<Self> {
        match name {
            "gelu" => Ok(Activation::Gelu),
            "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
            "quick_gelu" => Ok(Activation::QuickGelu),
            "relu" => Ok(Activation::Relu),
            "silu" | "swish" => Ok(Activation::Silu),
            other => Err(Error::Unsupported(format!("{file}: an encoder with the activation `{other}`"))),
        }
    }

    pub fn apply(self, net: &mut Net, name: &str, x: ValueId) -> ValueId {
        match self {
            Activation::Gelu => net.plain("Gelu", name, &[x]),
            Activation::GeluTanh => net.with("Gelu", name, &[x], "approximate", Attr::String("tanh".into())),
            Activation::QuickGelu => net.with("Swish", name, &[x], "alpha", Attr::Float(1.702)),
            Activation::Relu => net.plain("Relu", name, &[x]),
            Activation::Silu => net.plain("Swish", name, &[x]),
        }
    }
}

/// Adds all blocks: `x` and the result `[batch, tokens, width]`. `mask`, if not all keys are seen: bool, broadcast to
/// `[batch, heads, tokens, tokens]`.
pub fn blocks(
    net: &mut Net,
    config: &Config,
    names: &Names,
    width: usize,
    mut x: ValueId,
    mask: Option<ValueId>,
) -> Result<ValueId> {
    net.check_heads(width, config.heads)?;
    for block in 0..config.layers {
        x = Block { config, names, block }.add_to(net, x, mask)?;
    }
    Ok(x)
}

/// The keys of a text that count, from i64 `[batch, tokens]` with 0 for those that do not, as the mask of `blocks`.
pub fn mask(net: &mut Net, name: &str, given: ValueId) -> Result<ValueId> {
    let keys = net.with("Cast", &format!("{name}.keys"), &[given], "to", Attr::Int(BOOL));
    let axes = net.vector(&format!("{name}.axes"), &[1i64, 2])?;
    Ok(net.plain("Unsqueeze", name, &[keys, axes]))
}

/// Attention of `q` over `k` and `v`, `[batch, tokens, width]` each, with the scale 1 / √(width / heads).
pub fn attention(net: &mut Net, name: &str, config: &Config, inputs: [ValueId; 3], mask: Option<ValueId>) -> ValueId {
    let heads = Attr::Int(config.heads as i64);
    let attrs = Attrs::from([
        ("q_num_heads", heads.clone()),
        ("kv_num_heads", heads),
        ("is_causal", Attr::Int(config.causal.into())),
    ]);
    let inputs: Vec<ValueId> = inputs.into_iter().chain(mask).collect();
    net.node("Attention", name, &inputs, attrs)
}

/// One block, for builders that do something between its two halves or behind it.
#[derive(Clone, Copy)]
pub struct Block<'a> {
    pub config: &'a Config,
    pub names: &'a Names,
    /// Its number.
    pub block: usize,
}

impl Block<'_> {
    /// States `[batch, tokens, width]` with attention among them added, and its queries and keys, of the same shape.
    pub fn attend(&self, net: &mut Net, x: ValueId, mask: Option<ValueId>) -> Result<(ValueId, [ValueId; 2])> {
        self.add(net, ["norm1", "scale1"], x, |net, x| self.attention(net, x, mask))
    }

    /// The whole block.
    pub fn add_to(&self, net: &mut Net, x: ValueId, mask: Option<ValueId>) -> Result<ValueId> {
        let (x, _) = self.attend(net, x, mask)?;
        self.feed(net, x)
    }

    /// The same states with the feed-forward layer added.
    pub fn feed(&self, net: &mut Net, x: ValueId) -> Result<ValueId> {
        let (x, ()) = self.add(net, ["norm2", "scale2"], x, |net, x| Ok((self.feed_forward(net, x)?, ())))?;
        Ok(x)
    }

    fn name(&self, part: &str) -> String {
        self.names.of(Some(self.block), part)
    }

    /// `x` and what `layer` makes of it, added; and what `layer` tells beside.
    fn add<T>(
        &self,
        net: &mut Net,
        [norm, scale]: [&str; 2],
        x: ValueId,
        layer: impl Fn(&mut Net, ValueId) -> Result<(ValueId, T)>,
    ) -> Result<(ValueId, T)> {
        let normal = |net: &mut Net, x| net.norm(&self.name(norm), self.config.epsilon, x);
        let before = self.config.norm == Norm::Before;
        let seen = if before { normal(net, x)? } else { x };
        let (mut out, told) = layer(net, seen)?;
        let scale = self.name(scale);
        if net.find(&scale).is_some() {
            let factors = net.dense(&scale)?;
            out = net.plain("Mul", &format!("{scale}.mul"), &[out, factors]);
        }
        let sum = net.plain("Add", &format!("{}.add", self.name(norm)), &[x, out]);
        Ok((if before { sum } else { normal(net, sum)? }, told))
    }

    /// Also its queries and keys.
    fn attention(&self, net: &mut Net, x: ValueId, mask: Option<ValueId>) -> Result<(ValueId, [ValueId; 2])> {
        let mut project = |part: &str| net.linear(&self.name(part), x);
        let [q, k, v] = [project("query")?, project("key")?, project("value")?];
        let out = self.name("attention_out");
        let seen = attention(net, &format!("{out}.heads"), self.config, [q, k, v], mask);
        Ok((net.linear(&out, seen)?, [q, k]))
    }

    fn feed_forward(&self, net: &mut Net, x: ValueId) -> Result<ValueId> {
        let activation = self.config.activation;
        let (inner, gate) = (self.name("fc1"), self.name("gate_up"));
        let inner = if self.names.has("gate_up") {
            let both = net.linear(&gate, x)?;
            let halves = Attrs::from([("axis", Attr::Int(-1)), ("num_outputs", Attr::Int(2))]);
            let [open, up] = net.wide("Split", &format!("{gate}.split"), &[Some(both)], halves);
            let open = activation.apply(net, &format!("{gate}.act"), open);
            net.plain("Mul", &format!("{gate}.mul"), &[open, up])
        } else {
            let x = net.linear(&inner, x)?;
            activation.apply(net, &format!("{inner}.act"), x)
        };
        net.linear(&self.name("fc2"), inner)
    }
}
