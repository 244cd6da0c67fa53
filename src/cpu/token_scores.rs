//! Which tokens matter and which are alike; semantics in `ops/tokens.rs`. GPU twin: `gpu/tokens.rs`.

use super::simd::{fma, multiversion};
use super::{Call, Kernel, vector};
use crate::Result;
use crate::ops::tokens::{Matching, NOT_FINITE, Sides, class_shape};

pub const KERNELS: &[Kernel] =
    &[Kernel::new("fewbit.ClassAttention", class_attention), Kernel::new("fewbit.MatchTokens", match_tokens)];

fn class_attention(call: &mut Call) -> Result<()> {
    let node = call.node;
    let (q, k) = (call.input(0)?, call.input(1)?);
    let s = class_shape(node, q.shape, k.shape)?;
    let scale = node.attrs.float_or("scale", 1.0 / (s.head as f32).sqrt());
    let (q, k, sizes) = (q.slice::<f32>()?, k.slice::<f32>()?, call.opt_slice::<f32>(2)?);
    let (q_strides, k_strides) = (s.strides(s.q_heads, s.q_len, s.head), s.strides(s.kv_heads, s.kv_len, s.head));
    let level = call.threads.level();
    let out = call.output::<f32>(0)?;
    let (mut logits, mut weights) = (vec![0f32; s.q_len], vec![0f32; s.q_len]);
    for (batch, out) in out.chunks_exact_mut(s.q_len).enumerate() {
        out.fill(0.0);
        for head in 0..s.q_heads {
            let query = &q[batch * q_strides[0] + head * q_strides[1]..][..s.head];
            let keys = &k[batch * k_strides[0] + head / (s.q_heads / s.kv_heads) * k_strides[1]..];
            for (token, logit) in logits.iter_mut().enumerate() {
                *logit = scale * dot(level, query, &keys[token * k_strides[2]..][..s.head]);
            }
            if let Some(sizes) = sizes {
                logits.iter_mut().zip(&sizes[batch * s.q_len..]).for_each(|(logit, size)| *logit += size);
            }
            vector::softmax(level, &logits, &mut weights);
            out.iter_mut().zip(&weights).for_each(|(out, weight)| *out += weight / s.q_heads as f32);
        }
        if out.iter().any(|score| !score.is_finite()) {
            return Err(node.error(NOT_FINITE));
        }
    }
    Ok(())
}

fn match_tokens(call: &mut Call) -> Result<()> {
    let x = call.input(0)?;
    let ranks: Option<&[i32]> = call.opt_slice(1)?;
    let m = Matching::new(call.node, x.shape, ranks.is_some())?;
    let x = x.slice::<f32>()?;
    let threads = call.threads;
    let [partners, likeness, ..] = &mut *call.outputs else { return Ok(()) };
    let (partners, likeness) = (partners.slice::<i32>()?, likeness.slice::<f32>()?);
    partners.fill(-1);
    likeness.fill(f32::NEG_INFINITY);
    for batch in 0..m.batch {
        let ranks = ranks.and_then(|r| r.get(batch * m.tokens..(batch + 1) * m.tokens));
        let (seeking, sought) = sides(&m, ranks);
        let (from, to) = (directions(&m, x, batch, &seeking), directions(&m, x, batch, &sought));
        if sought.is_empty() {
            continue;
        }
        let mut best = vec![(0usize, 0f32); seeking.len()];
        let width = m.width.max(1);
        threads.for_chunks(&mut best, 16, |chunk, best| {
            for (best, from) in best.iter_mut().zip(from[chunk * 16 * width..].chunks_exact(width)) {
                *best = (0, f32::NEG_INFINITY);
                for (i, to) in to.chunks_exact(width).enumerate() {
                    let cosine = dot(threads.level(), from, to);
                    // The first of equals; one that is no number is never best.
                    if cosine > best.1 {
                        *best = (i, cosine);
                    }
                }
            }
        });
        for (&token, &(i, cosine)) in seeking.iter().zip(&best) {
            partners[batch * m.tokens + token] = sought[i] as i32;
            likeness[batch * m.tokens + token] = if cosine == f32::NEG_INFINITY { 0.0 } else { cosine };
        }
    }
    Ok(())
}

/// Tokens that look for a partner, and those among which, in the order in which the first of equals is meant.
fn sides(m: &Matching, ranks: Option<&[i32]>) -> (Vec<usize>, Vec<usize>) {
    match (m.sides, ranks) {
        (Sides::Ranked { keep, seen }, Some(ranks)) => {
            let mut by_rank = vec![0; m.tokens];
            for (token, &rank) in ranks.iter().enumerate() {
                if let Some(place) = usize::try_from(rank).ok().and_then(|rank| by_rank.get_mut(rank)) {
                    *place = token;
                }
            }
            let [keep, seen] = [keep, seen].map(|n| (n as usize).min(m.tokens));
            (by_rank[keep..seen.max(keep)].to_vec(), by_rank[m.pinned.min(keep)..keep].to_vec())
        }
        _ => (m.pinned..m.tokens).partition(|token| token.is_multiple_of(2)),
    }
}

/// `[tokens, width]`: mean over heads of each token's row, of length 1.
fn directions(m: &Matching, x: &[f32], batch: usize, tokens: &[usize]) -> Vec<f32> {
    let mut out = vec![0f32; tokens.len() * m.width];
    for (out, token) in out.chunks_exact_mut(m.width.max(1)).zip(tokens) {
        for head in 0..m.heads {
            let row = &x[batch * m.strides[0] + head * m.strides[1] + token * m.strides[2]..][..m.width];
            out.iter_mut().zip(row).for_each(|(out, x)| *out += x);
        }
        let length = out.iter().map(|x| x * x).sum::<f32>().sqrt();
        out.iter_mut().for_each(|out| *out /= length);
    }
    out
}

multiversion! {
    /// Σ a·b in sixteen interleaved sums.
    fn dot = dot_body(a: &[f32], b: &[f32]) -> f32
}

#[inline(always)]
fn dot_body<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; 16];
    let (mut left, mut right) = (a.chunks_exact(16), b.chunks_exact(16));
    for (a, b) in (&mut left).zip(&mut right) {
        for i in 0..16 {
            sums[i] = fma::<FMA>(a[i], b[i], sums[i]);
        }
    }
    let rest: f32 = left.remainder().iter().zip(right.remainder()).map(|(a, b)| a * b).sum();
    rest + sums.iter().sum::<f32>()
}
