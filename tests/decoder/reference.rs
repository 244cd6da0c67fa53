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

/// Parts of 32 elements of turned blocks of 64, as `part` keeps them, turned back.
fn in_parts(row: &[f64], part: impl Fn(&[f64], f64) -> Vec<f64>) -> Vec<f64> {
    let largest = |part: &[f64]| part.iter().fold(0f64, |m, v| m.max(v.abs()));
    let block = |block: &[f64]| {
        let kept: Vec<f64> = turned(block).chunks(32).flat_map(|p| part(p, largest(p))).collect();
        turned(&kept)
    };
    row.chunks(64).flat_map(block).collect()
}

/// Turned, in half precision: what a cache of 8 bits keeps of recent tokens.
fn recent(row: &[f64]) -> Vec<f64> {
    in_parts(row, |part, _| f16(part))
}

/// Integers.
pub fn q8(row: &[f64]) -> Vec<f64> {
    in_parts(row, |part, largest| {
        let scale = halved(largest / 127.0);
        part.iter().map(|v| (v / scale).round().clamp(-127.0, 127.0) * scale).collect()
    })
}

/// `levels` numbers in the middle between steps.
fn q4(row: &[f64], levels: f64) -> Vec<f64> {
    in_parts(row, |part, largest| {
        let step = halved(largest / (levels / 2.0));
        let level = |v: &f64| (v / step + levels / 2.0).floor().clamp(0.0, levels - 1.0) + 0.5 - levels / 2.0;
        part.iter().map(|v| level(v) * step).collect()
    })
}

pub fn keys4(row: &[f64]) -> Vec<f64> {
    q4(row, 22.0)
}

pub fn values4(row: &[f64]) -> Vec<f64> {
    q4(row, 16.0)
}

/// Element i of n, a power of two: Σ ±x[j] / √n with the sign of the bits that i and j share; 70 elements as 64, 4 and 2.
fn turned(block: &[f64]) -> Vec<f64> {
    if block.is_empty() {
        return Vec::new();
    }
    let (piece, rest) = block.split_at(1 << block.len().ilog2());
    let sign = |i: usize, j: usize| if (i & j).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
    let sum = |i: usize| piece.iter().enumerate().map(|(j, v)| sign(i, j) * v).sum::<f64>();
    let own = (0..piece.len()).map(|i| sum(i) / (piece.len() as f64).sqrt());
    own.chain(turned(rest)).collect()
}

struct Reference<'a> {
    config: &'a Config,
    sizes: &'a Sizes,
    weights: &'a Weights,
    keep: [Keep; 2],
    recent: &'a [usize],
}

/// Logits after each token, `[tokens, vocabulary]`. Token i sees keys and values from position `from[i]` on in half precision,
/// others as `keep` does it; where `from` ends it sees none so.
pub fn forward(
    config: &Config,
    sizes: &Sizes,
    weights: &Weights,
    (keep, from): ([Keep; 2], &[usize]),
    ids: &[i64],
) -> Vec<f64> {
    let net = Reference { config, sizes, weights, keep, recent: from };
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

/// Of every position a row as it is kept, and one of recent tokens; of keys, and of values.
type Kept = (Vec<[Vec<f64>; 2]>, Vec<[Vec<f64>; 2]>);

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
        let kept = |x: Vec<f64>, keep: Keep| [keep, recent].map(|keep| x.chunks_exact(head).flat_map(keep).collect());
        keys.push(kept(heads("attn_k"), self.keep[0]));
        values.push(kept(self.linear(layer, "attn_v", &normal), self.keep[1]));
        let first = window.map_or(0, |w| (position + 1).saturating_sub(w.size));
        let scale = config.scale.map_or(1.0 / (head as f64).sqrt(), f64::from);
        let recent = self.recent.get(position).copied().unwrap_or(usize::MAX);
        let rows = |all: &[[Vec<f64>; 2]]| -> Vec<Vec<f64>> {
            all.iter().enumerate().skip(first).map(|(i, row)| row[usize::from(i >= recent)].clone()).collect()
        };
        let (keys, values) = (rows(keys), rows(values));
        let mut seen = Vec::new();
        for (h, query) in queries.chunks_exact(head).enumerate() {
            let at = h / (config.heads / config.kv_heads) * head;
            let dot = |key: &Vec<f64>| query.iter().zip(&key[at..]).map(|(a, b)| a * b).sum::<f64>();
            let weights: Vec<f64> = keys.iter().map(|key| (scale * dot(key)).exp()).collect();
            let total: f64 = weights.iter().sum();
            seen.extend(
                (0..head).map(|i| weights.iter().zip(&values).map(|(w, v)| w * v[at + i]).sum::<f64>() / total),
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
