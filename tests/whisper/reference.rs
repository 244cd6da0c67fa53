//! The plain forward of Whisper: f64, all tokens at once, nothing kept but keys and values of tokens, which sessions keep in
//! half precision.

use std::collections::BTreeMap;

use fewbit::models::whisper::Config;
use fewbit::tensor::Tensor;
use half::f16;
use rand::Rng;
use rand::rngs::StdRng;

#[derive(Clone, Copy)]
pub struct Sizes {
    pub mels: usize,
    pub frames: usize,
    pub width: usize,
    pub inner: usize,
    pub vocabulary: usize,
    pub context: usize,
}

pub type Weights = BTreeMap<String, Tensor>;

pub fn random_weights(config: &Config, s: &Sizes, random: &mut StdRng) -> Weights {
    let mut weights = Weights::new();
    let mut add = |name: String, shape: &[usize], around: f32| {
        let inputs: usize = shape[1..].iter().product();
        let spread = if shape.len() > 1 { 1.7 / (inputs as f32).sqrt() } else { 0.3 };
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|_| around + spread * random.random_range(-1.0..1.0)).collect();
        weights.insert(name, Tensor::new(shape, &values).unwrap());
    };
    let w = s.width;
    add("model.encoder.conv1.weight".into(), &[w, s.mels, 3], 0.0);
    add("model.encoder.conv1.bias".into(), &[w], 0.0);
    add("model.encoder.conv2.weight".into(), &[w, w, 3], 0.0);
    add("model.encoder.conv2.bias".into(), &[w], 0.0);
    add("model.encoder.embed_positions.weight".into(), &[s.frames / 2, w], 0.0);
    add("model.decoder.embed_positions.weight".into(), &[s.context, w], 0.0);
    add("model.decoder.embed_tokens.weight".into(), &[s.vocabulary, w], 0.0);
    for (part, layers, attentions) in [
        ("encoder", config.encoder_layers, &["self_attn"][..]),
        ("decoder", config.decoder_layers, &["self_attn", "encoder_attn"]),
    ] {
        let mut norm = |name: String| {
            add(format!("{name}.weight"), &[w], 1.0);
            add(format!("{name}.bias"), &[w], 0.0);
        };
        norm(format!("model.{part}.layer_norm"));
        for i in 0..layers {
            let layer = format!("model.{part}.layers.{i}");
            norm(format!("{layer}.final_layer_norm"));
            attentions.iter().for_each(|attention| norm(format!("{layer}.{attention}_layer_norm")));
        }
        for i in 0..layers {
            let layer = format!("model.{part}.layers.{i}");
            let mut linear = |name: String, rows: usize, cols: usize, bias: bool| {
                add(format!("{layer}.{name}.weight"), &[rows, cols], 0.0);
                if bias {
                    add(format!("{layer}.{name}.bias"), &[rows], 0.0);
                }
            };
            for attention in attentions {
                for projection in ["q_proj", "k_proj", "v_proj", "out_proj"] {
                    linear(format!("{attention}.{projection}"), w, w, projection != "k_proj");
                }
            }
            linear("fc1".into(), s.inner, w, true);
            linear("fc2".into(), w, s.inner, true);
        }
    }
    weights
}

/// Rows of numbers.
type Rows = Vec<Vec<f64>>;

/// Logits after each token, `[tokens, vocabulary]`, of features `[mels, frames]`.
pub fn forward(config: &Config, s: &Sizes, weights: &Weights, features: &[f32], ids: &[u32]) -> Vec<f64> {
    let net = Net { weights };
    // Frames as rows.
    let mut x: Rows =
        (0..s.frames).map(|f| (0..s.mels).map(|m| f64::from(features[m * s.frames + f])).collect()).collect();
    x = net.convolution("model.encoder.conv1", &x, 1);
    x = net.convolution("model.encoder.conv2", &x, 2);
    let positions = net.rows("model.encoder.embed_positions.weight", s.width);
    x.iter_mut().zip(&positions).for_each(|(x, p)| add(x, p));
    for i in 0..config.encoder_layers {
        let layer = format!("model.encoder.layers.{i}");
        let normal = net.norm(&format!("{layer}.self_attn_layer_norm"), &x);
        net.attention(&format!("{layer}.self_attn"), config.encoder_heads, &mut x, &normal, &normal, Kind::Whole);
        net.feed_forward(&layer, &mut x);
    }
    let heard = net.norm("model.encoder.layer_norm", &x);

    let embedding = net.rows("model.decoder.embed_tokens.weight", s.width);
    let positions = net.rows("model.decoder.embed_positions.weight", s.width);
    let mut x: Rows = ids.iter().map(|&id| embedding[id as usize].clone()).collect();
    x.iter_mut().zip(&positions).for_each(|(x, p)| add(x, p));
    for i in 0..config.decoder_layers {
        let layer = format!("model.decoder.layers.{i}");
        let normal = net.norm(&format!("{layer}.self_attn_layer_norm"), &x);
        net.attention(&format!("{layer}.self_attn"), config.decoder_heads, &mut x, &normal, &normal, Kind::Kept);
        let normal = net.norm(&format!("{layer}.encoder_attn_layer_norm"), &x);
        net.attention(&format!("{layer}.encoder_attn"), config.decoder_heads, &mut x, &normal, &heard, Kind::Whole);
        net.feed_forward(&layer, &mut x);
    }
    let x = net.norm("model.decoder.layer_norm", &x);
    x.iter().flat_map(|x| embedding.iter().map(move |row| dot(row, x))).collect()
}

struct Net<'a> {
    weights: &'a Weights,
}

/// Over all keys, or those up to a token, which were kept in half precision.
#[derive(PartialEq)]
enum Kind {
    Whole,
    Kept,
}

impl Net<'_> {
    fn get(&self, name: &str) -> Vec<f64> {
        self.weights[name].to_f32().unwrap().into_iter().map(f64::from).collect()
    }

    fn rows(&self, name: &str, width: usize) -> Rows {
        self.get(name).chunks_exact(width).map(<[f64]>::to_vec).collect()
    }

    fn linear(&self, name: &str, x: &Rows) -> Rows {
        let weight = self.rows(&format!("{name}.weight"), x[0].len());
        let bias = format!("{name}.bias");
        let bias = if self.weights.contains_key(&bias) { self.get(&bias) } else { vec![0.0; weight.len()] };
        x.iter().map(|x| weight.iter().zip(&bias).map(|(row, b)| dot(row, x) + b).collect()).collect()
    }

    fn norm(&self, name: &str, x: &Rows) -> Rows {
        let (weight, bias) = (self.get(&format!("{name}.weight")), self.get(&format!("{name}.bias")));
        let row = |x: &Vec<f64>| {
            let mean = x.iter().sum::<f64>() / x.len() as f64;
            let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / x.len() as f64;
            let factor = 1.0 / (variance + 1e-5).sqrt();
            x.iter().zip(&weight).zip(&bias).map(|((v, w), b)| (v - mean) * factor * w + b).collect()
        };
        x.iter().map(row).collect()
    }

    /// Of three frames around every `stride`th, zeros beyond the ends, and GELU.
    fn convolution(&self, name: &str, x: &Rows, stride: usize) -> Rows {
        let (channels, bias) = (x[0].len(), self.get(&format!("{name}.bias")));
        let filters = self.rows(&format!("{name}.weight"), channels * 3);
        let at = |f: usize, filter: &[f64]| {
            let mut sum = 0.0;
            for k in 0..3 {
                if let Some(x) = (f + k).checked_sub(1).and_then(|f| x.get(f)) {
                    sum += (0..channels).map(|c| filter[c * 3 + k] * x[c]).sum::<f64>();
                }
            }
            sum
        };
        let frame = |f: usize| filters.iter().zip(&bias).map(|(filter, b)| gelu(at(f, filter) + b)).collect();
        (0..x.len()).step_by(stride).map(frame).collect()
    }

    fn attention(&self, name: &str, heads: usize, x: &mut Rows, from: &Rows, of: &Rows, kind: Kind) {
        let q = self.linear(&format!("{name}.q_proj"), from);
        let (mut k, mut v) = (self.linear(&format!("{name}.k_proj"), of), self.linear(&format!("{name}.v_proj"), of));
        if kind == Kind::Kept {
            k.iter_mut().chain(&mut v).flatten().for_each(|v| *v = f16::from_f64(*v).to_f64());
        }
        let head = q[0].len() / heads;
        let seen = q.iter().enumerate().map(|(token, q)| {
            let end = if kind == Kind::Kept { token + 1 } else { k.len() };
            let one = |h: usize| {
                let part = h * head..(h + 1) * head;
                let score = |k: &Vec<f64>| (dot(&q[part.clone()], &k[part.clone()]) / (head as f64).sqrt()).exp();
                let weights: Vec<f64> = k[..end].iter().map(score).collect();
                let total: f64 = weights.iter().sum();
                part.map(|i| weights.iter().zip(&v).map(|(w, v)| w * v[i]).sum::<f64>() / total).collect::<Vec<_>>()
            };
            (0..heads).flat_map(one).collect()
        });
        let out = self.linear(&format!("{name}.out_proj"), &seen.collect());
        x.iter_mut().zip(&out).for_each(|(x, o)| add(x, o));
    }

    fn feed_forward(&self, name: &str, x: &mut Rows) {
        let mut inner = self.linear(&format!("{name}.fc1"), &self.norm(&format!("{name}.final_layer_norm"), x));
        inner.iter_mut().flatten().for_each(|v| *v = gelu(*v));
        let out = self.linear(&format!("{name}.fc2"), &inner);
        x.iter_mut().zip(&out).for_each(|(x, o)| add(x, o));
    }
}

fn add(x: &mut [f64], y: &[f64]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `x · Φ(x)`, with the error function by its series or, far out, its limit.
fn gelu(x: f64) -> f64 {
    let z = x / std::f64::consts::SQRT_2;
    if z.abs() > 5.0 {
        return if z > 0.0 { x } else { 0.0 };
    }
    let (mut term, mut sum, mut n) = (z, z, 0.0);
    while term.abs() > 1e-17 {
        n += 1.0;
        term *= -z * z / n;
        sum += term / (2.0 * n + 1.0);
    }
    x * 0.5 * (1.0 + 2.0 / std::f64::consts::PI.sqrt() * sum)
}
