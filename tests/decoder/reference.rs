//! The plain forward of a decoder: f64, one token after the other, nothing kept but all keys and values.

use fewbit::models::llama::{Config, Gate};
use fewbit::models::rope::Rope;
use half::f16;

use super::weights::{Sizes, Weights};

/// What a session makes of the keys or values of a head that it keeps.
pub type Keep = fn(&[f64]) -> Vec<f64>;

fn halved(v: f64) -> f64 {
    f16::from_f64(v).to_f64()
}

pub fn f16(row: &[f64]) -> Vec<f64> {
    row.iter().map(|&v| halved(v)).collect()
}

/// Blocks of 64 as integers.
pub fn q8(row: &[f64]) -> Vec<f64> {
    let block = |block: &[f64]| {
        let scale = halved(block.iter().fold(0f64, |m, v| m.max(v.abs())) / 127.0);
        block.iter().map(|v| (v / scale).round().clamp(-127.0, 127.0) * scale).collect::<Vec<_>>()
    };
    row.chunks(64).flat_map(block).collect()
}

/// Blocks of 64 as codes.
pub fn q4(row: &[f64]) -> Vec<f64> {
    let block = |block: &[f64]| {
        let low = halved(block.iter().copied().fold(f64::INFINITY, f64::min));
        let scale = halved((block.iter().copied().fold(f64::NEG_INFINITY, f64::max) - low) / 15.0);
        block.iter().map(|v| ((v - low) / scale).round().clamp(0.0, 15.0) * scale + low).collect::<Vec<_>>()
    };
    row.chunks(64).flat_map(block).collect()
}

struct Reference<'a> {
    config: &'a Config,
    sizes: &'a Sizes,
    weights: &'a Weights,
    keep: Keep,
}

/// Logits after each token, `[tokens, vocabulary]`.
pub fn forward(config: &Config, sizes: &Sizes, weights: &Weights, keep: Keep, ids: &[i64]) -> Vec<f64> {
    let net = Reference { config, sizes, weights, keep };
    let mut kept = vec![(Vec::new(), Vec::new()); config.layers];
    let embedding = net.get("token_embd.weight").unwrap();
    let mut all = Vec::new();
    for (position, &id) in ids.iter().enumerate() {
        let row = &embedding[id as usize * sizes.hidden..][..sizes.hidden];
        let mut x: Vec<f64> = row.iter().map(|v| v * f64::from(config.embedding_scale)).collect();
        for (layer, kept) in kept.iter_mut().enumerate() {
            net.layer(layer, position, &mut x, kept);
        }
        let x = net.norm("output_norm.weight", &x);
        let head = if sizes.tied { "token_embd.weight" } else { "output.weight" };
        all.extend(net.product(head, &x));
    }
    all
}

type Kept = (Vec<Vec<f64>>, Vec<Vec<f64>>);

impl Reference<'_> {
    fn get(&self, name: &str) -> Option<Vec<f64>> {
        let tensor = self.weights.get(name)?.dense().unwrap();
        Some(tensor.to_f32().unwrap().into_iter().map(f64::from).collect())
    }

    fn product(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let weight = self.get(name).unwrap();
        weight.chunks_exact(x.len()).map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum()).collect()
    }

    fn linear(&self, layer: usize, part: &str, x: &[f64]) -> Vec<f64> {
        let mut y = self.product(&format!("blk.{layer}.{part}.weight"), x);
        if let Some(bias) = self.get(&format!("blk.{layer}.{part}.bias")) {
            y.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
        }
        y
    }

    /// As it is where there is no such weight.
    fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let Some(weight) = self.get(name) else { return x.to_vec() };
        let groups = x.chunks_exact(weight.len());
        groups
            .flat_map(|x| {
                let mean = x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64;
                let factor = 1.0 / (mean + f64::from(self.config.epsilon)).sqrt();
                x.iter().zip(&weight).map(move |(v, w)| v * factor * w).collect::<Vec<_>>()
            })
            .collect()
    }

    fn layer(&self, layer: usize, position: usize, x: &mut [f64], (keys, values): &mut Kept) {
        let (config, head) = (self.config, self.sizes.head);
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        let window = config.window.filter(|w| w.period == 0 || !(layer + 1).is_multiple_of(w.period));
        let rope = config.local_rope.as_ref().filter(|_| window.is_some()).unwrap_or(&config.rope);

        let normal = self.norm(&name("attn_norm"), x);
        let heads = |part: &str| {
            let mut all = self.norm(&name(&format!("{part}_norm")), &self.linear(layer, part, &normal));
            all.chunks_exact_mut(head).for_each(|head| turn(rope, position, head));
            all
        };
        let queries = heads("attn_q");
        let kept = |x: Vec<f64>| x.chunks_exact(head).flat_map(self.keep).collect();
        keys.push(kept(heads("attn_k")));
        values.push(kept(self.linear(layer, "attn_v", &normal)));
        let first = window.map_or(0, |w| (position + 1).saturating_sub(w.size));
        let scale = config.scale.map_or(1.0 / (head as f64).sqrt(), f64::from);
        let mut seen = Vec::new();
        for (h, query) in queries.chunks_exact(head).enumerate() {
            let at = h / (config.heads / config.kv_heads) * head;
            let dot = |key: &Vec<f64>| query.iter().zip(&key[at..]).map(|(a, b)| a * b).sum::<f64>();
            let weights: Vec<f64> = keys[first..].iter().map(|key| (scale * dot(key)).exp()).collect();
            let total: f64 = weights.iter().sum();
            seen.extend(
                (0..head)
                    .map(|i| weights.iter().zip(&values[first..]).map(|(w, v)| w * v[at + i]).sum::<f64>() / total),
            );
        }
        let out = self.norm(&name("post_attention_norm"), &self.linear(layer, "attn_output", &seen));
        x.iter_mut().zip(out).for_each(|(x, o)| *x += o);

        let normal = self.norm(&name("ffn_norm"), x);
        let (gate, up) = (self.linear(layer, "ffn_gate", &normal), self.linear(layer, "ffn_up", &normal));
        let inner: Vec<f64> = gate.iter().zip(up).map(|(&g, u)| act(config.gate, g) * u).collect();
        let out = self.norm(&name("post_ffw_norm"), &self.linear(layer, "ffn_down", &inner));
        x.iter_mut().zip(out).for_each(|(x, o)| *x += o);
    }
}

fn act(gate: Gate, x: f64) -> f64 {
    match gate {
        Gate::Silu => x / (1.0 + (-x).exp()),
        Gate::Gelu => 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh()),
    }
}

fn turn(rope: &Rope, position: usize, head: &mut [f64]) {
    let half = rope.dims / 2;
    for (i, f) in rope.frequencies().into_iter().enumerate() {
        let angle = position as f64 * f64::from(f);
        let (cos, sin) = (angle.cos() * f64::from(rope.magnitude()), angle.sin() * f64::from(rope.magnitude()));
        let (a, b) = if rope.interleaved { (2 * i, 2 * i + 1) } else { (i, i + half) };
        (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[a] * sin + head[b] * cos);
    }
}
