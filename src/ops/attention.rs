//! Scaled dot-product attention and rotary position embedding.

use super::infer::{Infer, InferFn};
use crate::Result;
use crate::graph::Node;
use crate::tensor::TensorType;

pub const OPS: &[(&str, InferFn)] = &[("Attention", attention), ("RotaryEmbedding", rotary)];

/// Sizes of an Attention node, and where a head's rows lie in 3-D or 4-D inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    pub batch: usize,
    pub q_heads: usize,
    pub kv_heads: usize,
    pub q_len: usize,
    /// Keys that come in with this call.
    pub kv_len: usize,
    /// Keys already in the cache.
    pub past: usize,
    pub head: usize,
    pub v_head: usize,
    /// 3-D inputs: `[batch, len, heads · head]` instead of `[batch, heads, len, head]`.
    pub interleaved: bool,
}

impl AttentionShape {
    /// From the shapes of Q, K, V and of the past keys.
    pub fn new(node: &Node, q: &[usize], k: &[usize], v: &[usize], past: Option<&[usize]>) -> Result<Self> {
        let misfit = || node.error(format!("Q {q:?}, K {k:?} and V {v:?} do not fit"));
        let heads = |name: &str| usize::try_from(node.attrs.int_or(name, 0)).unwrap_or(0);
        let split = |shape: &[usize], heads: usize| match *shape {
            [batch, heads, len, head] => Ok((batch, heads, len, head)),
            [batch, len, hidden] if heads > 0 && hidden % heads == 0 => Ok((batch, heads, len, hidden / heads)),
            _ => Err(misfit()),
        };
        let (batch, q_heads, q_len, head) = split(q, heads("q_num_heads"))?;
        let (k_batch, kv_heads, kv_len, k_head) = split(k, heads("kv_num_heads"))?;
        let (v_batch, v_heads, v_len, v_head) = split(v, heads("kv_num_heads"))?;
        let past = match past {
            None => 0,
            Some(&[b, h, len, d]) if (b, h, d) == (batch, kv_heads, head) => len,
            Some(other) => return Err(node.error(format!("past_key has shape {other:?}"))),
        };
        let same = q.len() == k.len() && k.len() == v.len() && batch == k_batch && batch == v_batch;
        let fits = head == k_head && kv_heads == v_heads && kv_len == v_len;
        if !same || !fits || (q_heads > 0 && (kv_heads == 0 || q_heads % kv_heads != 0)) {
            return Err(misfit());
        }
        let interleaved = q.len() == 3;
        Ok(AttentionShape { batch, q_heads, kv_heads, q_len, kv_len, past, head, v_head, interleaved })
    }

    /// Keys each query can see: past and new.
    pub fn total(&self) -> usize {
        self.past + self.kv_len
    }

    /// Elements between the first elements of batches, heads and positions of an input with `heads` heads of `head`.
    pub fn strides(&self, heads: usize, len: usize, head: usize) -> [usize; 3] {
        if self.interleaved { [len * heads * head, head, heads * head] } else { [heads * len * head, len * head, head] }
    }
}

fn attention(infer: &Infer) -> Result<Vec<TensorType>> {
    let past = infer.opt_ty(4).map(|t| t.shape.as_slice());
    let s = AttentionShape::new(infer.node, infer.shape(0)?, infer.shape(1)?, infer.shape(2)?, past)?;
    let dtype = infer.dtype(0)?;
    let y = if s.interleaved {
        vec![s.batch, s.q_len, s.q_heads * s.v_head]
    } else {
        vec![s.batch, s.q_heads, s.q_len, s.v_head]
    };
    let mut types = vec![
        TensorType::new(dtype, y),
        TensorType::new(infer.dtype(1)?, [s.batch, s.kv_heads, s.total(), s.head]),
        TensorType::new(infer.dtype(2)?, [s.batch, s.kv_heads, s.total(), s.v_head]),
        TensorType::new(dtype, [s.batch, s.q_heads, s.q_len, s.total()]),
    ];
    types.truncate(infer.node.outputs.len());
    Ok(types)
}

/// `[batch, heads, len, head]` of a RotaryEmbedding input; 3-D inputs are `[batch, len, heads · head]`.
pub fn rotary_sizes(node: &Node, x: &[usize]) -> Result<[usize; 4]> {
    let heads = usize::try_from(node.attrs.int_or("num_heads", 0)).unwrap_or(0);
    match *x {
        [batch, heads, len, head] => Ok([batch, heads, len, head]),
        [batch, len, hidden] if heads > 0 && hidden % heads == 0 => Ok([batch, heads, len, hidden / heads]),
        _ => Err(node.error(format!("input of shape {x:?} does not divide into {heads} heads"))),
    }
}

fn rotary(infer: &Infer) -> Result<Vec<TensorType>> {
    let x = infer.ty(0)?;
    rotary_sizes(infer.node, &x.shape)?;
    infer.one(x.dtype, x.shape.clone())
}
