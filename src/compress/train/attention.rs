//! `fewbit.CachedAttention` of whole sequences, that begin at position 0: the probabilities are computed once more, in f32,
//! head by head.

use std::sync::Mutex;

use super::linear::times;
use super::step::{Gradient, Step};
use crate::Result;
use crate::cpu::Threads;
use crate::cpu::cached_attention::Turn;
use crate::cpu::gemm::Strided;
use crate::ops::cached_attention::{CachedOptions, CachedShape, span};

pub const GRADIENTS: &[(&str, Gradient)] = &[("fewbit.CachedAttention", cached_attention)];

/// Queries, keys or values `[batch, tokens, heads · head]`, or their gradients.
struct Heads<'a> {
    data: &'a [f32],
    tokens: usize,
    heads: usize,
    head: usize,
}

impl<'a> Heads<'a> {
    fn of(&self, sequence: usize, head: usize) -> &'a [f32] {
        &self.data[(sequence * self.tokens * self.heads + head) * self.head..]
    }

    /// Lanes are tokens.
    fn rows(&self, sequence: usize, head: usize) -> Strided<'a> {
        Strided { data: self.of(sequence, head), lane_stride: self.heads * self.head, depth_stride: 1 }
    }

    /// Lanes are a head's elements.
    fn columns(&self, sequence: usize, head: usize) -> Strided<'a> {
        Strided { data: self.of(sequence, head), lane_stride: 1, depth_stride: self.heads * self.head }
    }
}

fn cached_attention(step: &mut Step) -> Result<()> {
    let node = step.node;
    let (q, k, v, positions) = (step.input(0)?, step.input(1)?, step.input(2)?, step.input(3)?);
    let angles = match (step.opt_input(4)?, step.opt_input(5)?) {
        (Some(cos), Some(sin)) => Some([cos, sin]),
        _ => None,
    };
    let shapes = [q.shape(), k.shape(), v.shape(), positions.shape()];
    let shape = CachedShape::new(node, shapes, angles.as_ref().map(|pair| [pair[0].shape(), pair[1].shape()]))?;
    let options = CachedOptions::of(node, shape.head)?;
    if !matches!(span(&positions.to_i64()?)?, Some((0, _))) {
        return Err(node.error("training knows sequences from their first position on only"));
    }
    let [cos, sin] = match &angles {
        Some([cos, sin]) => [cos.slice::<f32>()?, sin.slice::<f32>()?],
        None => [&[][..], &[][..]],
    };
    let back: Vec<f32> = sin.iter().map(|v| -v).collect();
    let turn = |sin| Turn { half: shape.rotated / 2, interleaved: options.interleaved, cos, sin };
    let turned = |values: &[f32], by: &Turn| {
        let mut values = values.to_vec();
        let width = values.len() / (shape.batch * shape.tokens).max(1);
        for (row, heads) in values.chunks_exact_mut(width.max(1)).enumerate() {
            heads.chunks_exact_mut(shape.head).for_each(|head| by.apply(row % shape.tokens, head));
        }
        values
    };
    let (q, k) = (turned(q.slice()?, &turn(sin)), turned(k.slice()?, &turn(sin)));
    let heads = |data, heads| Heads { data, tokens: shape.tokens, heads, head: shape.head };
    let job = Job {
        q: heads(&q, shape.q_heads),
        k: heads(&k, shape.kv_heads),
        v: heads(v.slice()?, shape.kv_heads),
        dy: heads(step.gradient, shape.q_heads),
        shape,
        options,
    };
    let sums = [q.len(), k.len(), k.len()].map(|len| Mutex::new(vec![0f32; len]));
    let all: Vec<_> = (0..shape.batch).flat_map(|s| (0..shape.q_heads).map(move |head| (s, head))).collect();
    step.threads.for_each(all, |(sequence, head)| job.run(sequence, head, &sums));
    let [dq, dk, dv] = sums.map(|sum| sum.into_inner().unwrap_or_default());
    step.give(0, turned(&dq, &turn(&back)));
    step.give(1, turned(&dk, &turn(&back)));
    step.give(2, dv);
    Ok(())
}

struct Job<'a> {
    q: Heads<'a>,
    k: Heads<'a>,
    v: Heads<'a>,
    dy: Heads<'a>,
    shape: CachedShape,
    options: CachedOptions,
}

impl Job<'_> {
    /// Adds what a head of queries of a sequence gives to the gradients of queries, keys and values.
    fn run(&self, sequence: usize, head: usize, sums: &[Mutex<Vec<f32>>; 3]) {
        let (tokens, width) = (self.shape.tokens, self.shape.head);
        let kv_head = head / self.shape.share();
        let times = |sizes, a, b| times(&Threads::single(), sizes, a, b);
        let (q, k, dy) = (&self.q, &self.k, &self.dy);
        let mut p = times([tokens, tokens, width], q.rows(sequence, head), k.rows(sequence, kv_head));
        for (token, row) in p.chunks_exact_mut(tokens).enumerate() {
            self.softmax(token, row);
        }
        // dP, then dS = P (dP − Σ P dP), with the scale of the scores.
        let mut ds = times([tokens, tokens, width], dy.rows(sequence, head), self.v.rows(sequence, kv_head));
        for (ds, p) in ds.chunks_exact_mut(tokens).zip(p.chunks_exact(tokens)) {
            let mean: f32 = ds.iter().zip(p).map(|(d, p)| d * p).sum();
            ds.iter_mut().zip(p).for_each(|(d, p)| *d = self.options.scale * p * (*d - mean));
        }
        let sizes = [tokens, width, tokens];
        let dq = times(sizes, Strided::rows(&ds, tokens), k.columns(sequence, kv_head));
        let dk = times(sizes, Strided::columns(&ds, tokens), q.columns(sequence, head));
        let dv = times(sizes, Strided::columns(&p, tokens), dy.columns(sequence, head));
        let places = [(head, self.shape.q_heads), (kv_head, self.shape.kv_heads), (kv_head, self.shape.kv_heads)];
        for ((sum, part), (head, heads)) in sums.iter().zip([dq, dk, dv]).zip(places) {
            let Ok(mut sum) = sum.lock() else { continue };
            for (token, part) in part.chunks_exact(width).enumerate() {
                let at = ((sequence * tokens + token) * heads + head) * width;
                sum[at..][..width].iter_mut().zip(part).for_each(|(s, p)| *s += p);
            }
        }
    }

    /// Scores of a token → what it attends to with which share: none behind it, none before its window.
    fn softmax(&self, token: usize, row: &mut [f32]) {
        let start = (token + 1).saturating_sub(self.options.window);
        row[..start].fill(0.0);
        row[token + 1..].fill(0.0);
        let seen = &mut row[start..=token];
        let top = seen.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        seen.iter_mut().for_each(|v| *v = (self.options.scale * (*v - top)).exp());
        let sum: f32 = seen.iter().sum();
        seen.iter_mut().for_each(|v| *v /= sum);
    }
}

#[cfg(test)]
mod tests {
    use super::super::step::{check_slopes, node, noise};
    use super::*;
    use crate::graph::{Attr, Attrs};
    use crate::tensor::Tensor;

    /// Two sequences of five tokens, four heads of queries that share two of keys; of each head's six elements four turn.
    #[test]
    fn slopes() {
        let (batch, tokens, q_heads, kv_heads, head, half) = (2, 5, 4, 2, 6, 2);
        for (interleaved, window) in [(false, 0usize), (true, 3)] {
            let attrs = Attrs::from([
                ("cache", Attr::Int(0)),
                ("q_num_heads", Attr::Int(q_heads as i64)),
                ("kv_num_heads", Attr::Int(kv_heads as i64)),
                ("interleaved", Attr::Int(interleaved.into())),
                ("window", Attr::Int(window as i64)),
                ("scale", Attr::Float(0.75)),
            ]);
            let inputs = [
                noise(&[batch, tokens, q_heads * head], 1),
                noise(&[batch, tokens, kv_heads * head], 2),
                noise(&[batch, tokens, kv_heads * head], 3),
                Tensor::new([1, tokens], &[0i64, 1, 2, 3, 4]).unwrap(),
                noise(&[1, tokens, half], 4),
                noise(&[1, tokens, half], 5),
            ];
            check_slopes(cached_attention, &node("fewbit.CachedAttention", 6, attrs), &inputs, |given| {
                let turned = |values: &[f64], heads: usize, s: usize, t: usize, h: usize| -> Vec<f64> {
                    let mut x = values[((s * tokens + t) * heads + h) * head..][..head].to_vec();
                    for i in 0..half {
                        let (cos, sin) = (given[4][t * half + i], given[5][t * half + i]);
                        let (a, b) = if interleaved { (2 * i, 2 * i + 1) } else { (i, i + half) };
                        (x[a], x[b]) = (x[a] * cos - x[b] * sin, x[a] * sin + x[b] * cos);
                    }
                    x
                };
                let mut y = Vec::new();
                for at in 0..batch * tokens * q_heads {
                    let (s, t, h) = (at / q_heads / tokens, at / q_heads % tokens, at % q_heads);
                    let q = turned(&given[0], q_heads, s, t, h);
                    let first = if window == 0 { 0 } else { (t + 1).saturating_sub(window) };
                    let dot =
                        |u| turned(&given[1], kv_heads, s, u, h / 2).iter().zip(&q).map(|(k, q)| k * q).sum::<f64>();
                    let weights: Vec<f64> = (first..=t).map(|u| (0.75 * dot(u)).exp()).collect();
                    let sum: f64 = weights.iter().sum();
                    y.extend((0..head).map(|i| {
                        let value = |u: usize| given[2][((s * tokens + u) * kv_heads + h / 2) * head + i];
                        (first..=t).zip(&weights).map(|(u, w)| w / sum * value(u)).sum::<f64>()
                    }));
                }
                y
            });
        }
    }
}
