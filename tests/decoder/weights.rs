//! Random weights of small decoders.

use std::collections::BTreeMap;

use fewbit::graph::Weight;
use fewbit::models::llama::Config;
use fewbit::tensor::Tensor;
use rand::Rng;
use rand::rngs::StdRng;

/// What a description leaves to the tensors.
#[derive(Clone, Copy)]
pub struct Sizes {
    pub hidden: usize,
    pub head: usize,
    pub inner: usize,
    pub vocabulary: usize,
    pub biases: bool,
    pub tied: bool,
    /// 1: queries and keys are normalised; 2: outputs of attention and feed-forward too.
    pub norms: u32,
}

pub type Weights = BTreeMap<String, Weight>;

pub fn random_weights(config: &Config, s: &Sizes, random: &mut StdRng) -> Weights {
    let (q, kv) = (config.heads * s.head, config.kv_heads * s.head);
    let mut weights = Weights::new();
    let mut add = |name: String, shape: &[usize], around: f32| {
        let spread = if shape.len() == 2 { 1.7 / (shape[1] as f32).sqrt() } else { 0.3 };
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|_| around + spread * random.random_range(-1.0..1.0)).collect();
        weights.insert(name, Weight::Dense(Tensor::new(shape, &values).unwrap()));
    };
    add("token_embd.weight".into(), &[s.vocabulary, s.hidden], 0.0);
    add("output_norm.weight".into(), &[s.hidden], 1.0);
    if !s.tied {
        add("output.weight".into(), &[s.vocabulary, s.hidden], 0.0);
    }
    for i in 0..config.layers {
        for (part, rows, cols) in [
            ("attn_q", q, s.hidden),
            ("attn_k", kv, s.hidden),
            ("attn_v", kv, s.hidden),
            ("attn_output", s.hidden, q),
            ("ffn_gate", s.inner, s.hidden),
            ("ffn_up", s.inner, s.hidden),
            ("ffn_down", s.hidden, s.inner),
        ] {
            add(format!("blk.{i}.{part}.weight"), &[rows, cols], 0.0);
            if s.biases && ["attn_q", "attn_k", "attn_v"].contains(&part) {
                add(format!("blk.{i}.{part}.bias"), &[rows], 0.0);
            }
        }
        for (part, width, from) in [
            ("attn_norm", s.hidden, 0),
            ("ffn_norm", s.hidden, 0),
            ("attn_q_norm", s.head, 1),
            ("attn_k_norm", s.head, 1),
            ("post_attention_norm", s.hidden, 2),
            ("post_ffw_norm", s.hidden, 2),
        ] {
            if s.norms >= from {
                add(format!("blk.{i}.{part}.weight"), &[width], 1.0);
            }
        }
    }
    weights
}
