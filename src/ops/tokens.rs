//! Token reduction in vision transformers: which tokens matter, which are alike, and what becomes of them.
//!
//! A reduction is a chain of these: scores (`ClassAttention`) or likenesses (`MatchTokens`) are ranked (`RankTokens`), ranks
//! say to which output row each token goes (`PlaceTokens`: row or −1, i32 `[batch, tokens]`), and `PoolTokens` makes the rows.
//! `FollowTokens` keeps track of input patches; `UnpoolTokens` gives every token its state back. Everywhere tokens are
//! rows of `[batch, tokens, width]`, and the first `pinned` of them (class token, registers) always stay in front.

use super::attention::AttentionShape;
use super::infer::{Infer, InferFn};
use crate::Result;
use crate::graph::Node;
use crate::tensor::{DType, TensorType};

pub const OPS: &[(&str, InferFn)] = &[
    ("fewbit.ClassAttention", class_attention),
    ("fewbit.RankTokens", rank),
    ("fewbit.MatchTokens", match_tokens),
    ("fewbit.PlaceTokens", place),
    ("fewbit.PoolTokens", pool),
    ("fewbit.UnpoolTokens", unpool),
    ("fewbit.FollowTokens", follow),
];

/// What is wrong where the class token's attention is not finite.
pub const NOT_FINITE: &str = "the class token's attention is not finite: the model overflows on this input";

/// More tokens than this are refused: kernels keep a bit for each.
pub const MOST_TOKENS: usize = 1 << 16;

/// A non-negative attribute.
pub fn count(node: &Node, name: &str) -> Result<usize> {
    usize::try_from(node.attrs.int_or(name, 0)).map_err(|_| node.error(format!("{name} is negative")))
}

fn pair(infer: &Infer, i: usize, dtype: DType) -> Result<[usize; 2]> {
    match *infer.shape(i)? {
        [batch, tokens] if infer.dtype(i)? == dtype && tokens <= MOST_TOKENS => Ok([batch, tokens]),
        ref shape => {
            let (want, got) = (dtype.name(), infer.dtype(i)?.name());
            Err(infer.node.error(format!("input {i} must be {want} [batch, tokens], got {got} {shape:?}")))
        }
    }
}

fn rows(infer: &Infer, i: usize) -> Result<[usize; 3]> {
    match *infer.shape(i)? {
        [batch, tokens, width] if infer.dtype(i)? == DType::F32 && tokens <= MOST_TOKENS => Ok([batch, tokens, width]),
        ref shape => Err(infer.node.error(format!("input {i} must be f32 [batch, tokens, width], got {shape:?}"))),
    }
}

fn same(infer: &Infer, i: usize, shape: &[usize]) -> Result<()> {
    match infer.opt_ty(i) {
        Some(ty) if ty.shape != shape => {
            Err(infer.node.error(format!("input {i} has shape {:?} instead of {shape:?}", ty.shape)))
        }
        _ => Ok(()),
    }
}

/// Sizes of the queries and keys of a `ClassAttention`.
pub fn class_shape(node: &Node, q: &[usize], k: &[usize]) -> Result<AttentionShape> {
    let shape = AttentionShape::new(node, q, k, k, None)?;
    if shape.q_len != shape.kv_len || shape.q_len == 0 || shape.q_len > MOST_TOKENS {
        return Err(node.error(format!("{} queries of {} keys", shape.q_len, shape.kv_len)));
    }
    Ok(shape)
}

/// Queries and keys as `Attention` takes them (attributes too), and f32 `[batch, 1, 1, tokens]` added to the scores
/// → f32 `[batch, tokens]`: the first token's attention to each, mean over heads.
fn class_attention(infer: &Infer) -> Result<Vec<TensorType>> {
    let shape = class_shape(infer.node, infer.shape(0)?, infer.shape(1)?)?;
    same(infer, 2, &[shape.batch, 1, 1, shape.q_len])?;
    infer.one(DType::F32, [shape.batch, shape.q_len])
}

/// Scores f32 `[batch, tokens]` → i32 `[batch, tokens]`: each token's place when sorted by falling score, equals in their
/// order, behind the first `pinned`, which keep theirs. What is not a number comes last.
fn rank(infer: &Infer) -> Result<Vec<TensorType>> {
    infer.one(DType::I32, pair(infer, 0, DType::F32)?)
}

/// Which tokens look for a partner, and among which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sides {
    /// Every other token (ToMe, Bolya et al. 2023): even ones among odd ones, without the pinned.
    Alternate,
    /// Tokens of ranks `keep..seen` among those of ranks `pinned..keep` (DiffRate, Chen et al. 2023).
    Ranked { keep: i32, seen: i32 },
}

/// How `MatchTokens` sees its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matching {
    pub batch: usize,
    pub tokens: usize,
    pub heads: usize,
    /// Of a head; what is compared is the mean over heads.
    pub width: usize,
    /// Elements between the first elements of batches, heads and tokens.
    pub strides: [usize; 3],
    pub sides: Sides,
    pub pinned: usize,
}

impl Matching {
    pub fn new(node: &Node, x: &[usize], ranked: bool) -> Result<Self> {
        let heads = count(node, "heads")?.max(1);
        let (batch, tokens, heads, width, strides) = match *x {
            [b, n, all] if all % heads == 0 => (b, n, heads, all / heads, [n * all, all / heads, all]),
            [b, heads, n, width] => (b, n, heads, width, [heads * n * width, n * width, width]),
            _ => return Err(node.error(format!("rows of shape {x:?} in {heads} heads"))),
        };
        let limit = |name| count(node, name).map(|n| n.min(MOST_TOKENS) as i32);
        let sides = match ranked {
            true => Sides::Ranked { keep: limit("keep")?, seen: limit("seen")? },
            false => Sides::Alternate,
        };
        Ok(Matching { batch, tokens, heads, width, strides, sides, pinned: count(node, "pinned")? })
    }
}

/// Rows f32 `[batch, tokens, heads · width]` or `[batch, heads, tokens, width]`, and ranks i32 `[batch, tokens]` or
/// nothing (`Sides`) → i32 `[batch, tokens]`, each seeking token's nearest by cosine, the first of equals, −1 for others; and
/// f32 `[batch, tokens]`, that cosine, −∞ for others.
fn match_tokens(infer: &Infer) -> Result<Vec<TensorType>> {
    let m = Matching::new(infer.node, infer.shape(0)?, infer.has(1))?;
    same(infer, 1, &[m.batch, m.tokens])?;
    if infer.dtype(0)? != DType::F32 || m.tokens > MOST_TOKENS {
        return Err(infer.node.error(format!("{} tokens in {}", m.tokens, infer.dtype(0)?.name())));
    }
    let shape = [m.batch, m.tokens];
    Ok(vec![TensorType::new(DType::I32, shape), TensorType::new(DType::F32, shape)])
}

/// Where tokens go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placing {
    /// Ranks below `keep` become rows in their order, those below `seen` go to their partner's row, the rest nowhere, or
    /// `fuse`: into one more row.
    Ranked { keep: i32, seen: i32, fuse: bool },
    /// The `merge` first-ranked go to their partner's row; other seekers come first, in their order, then the sought.
    Paired { merge: i32, pinned: i32 },
}

impl Placing {
    pub fn new(node: &Node) -> Result<Self> {
        let limit = |name| count(node, name).map(|n| n.min(MOST_TOKENS) as i32);
        Ok(match node.attrs.get("merge") {
            Some(_) => Placing::Paired { merge: limit("merge")?, pinned: limit("pinned")? },
            None => Placing::Ranked { keep: limit("keep")?, seen: limit("seen")?, fuse: node.attrs.flag("fuse") },
        })
    }
}

/// Ranks and partners, i32 `[batch, tokens]` → i32 `[batch, tokens]`: the row each token goes to, −1 for none.
fn place(infer: &Infer) -> Result<Vec<TensorType>> {
    let shape = pair(infer, 0, DType::I32)?;
    same(infer, 1, &shape)?;
    if matches!(Placing::new(infer.node)?, Placing::Paired { .. }) && !infer.has(1) {
        return Err(infer.node.error("pairs need partners"));
    }
    infer.one(DType::I32, shape)
}

/// What a row is of the tokens that go to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean (DiffRate).
    Mean,
    /// Their mean by sizes (ToMe).
    Sizes,
    /// The last row is the sum of its tokens by weights; all others are of one token (EViT, Liang et al. 2022).
    Fuse,
}

impl Pooling {
    pub fn new(node: &Node) -> Result<Self> {
        match node.attrs.string_or("mode", "mean") {
            "mean" => Ok(Pooling::Mean),
            "sizes" => Ok(Pooling::Sizes),
            "fuse" => Ok(Pooling::Fuse),
            other => Err(node.error(format!("mode `{other}`"))),
        }
    }
}

/// Size below which a token's logarithm is taken of this instead: DiffRate's sizes may fall to zero and below.
pub const LEAST_SIZE: f32 = 1e-6;

/// States f32 `[batch, tokens, width]`, rows i32 `[batch, tokens]`, sizes f32 `[batch, tokens]`, and for `Mean` gains, for
/// `Fuse` weights, f32 `[batch, tokens]` → states f32 `[batch, rows, width]`, sizes f32 `[batch, rows]`: of all tokens of a row,
/// each times its gain (−∞ counts as 1), and their logarithms as `Attention` adds them, f32 `[batch, 1, 1, rows]`.
fn pool(infer: &Infer) -> Result<Vec<TensorType>> {
    let [batch, tokens, width] = rows(infer, 0)?;
    let into = pair(infer, 1, DType::I32)?;
    for i in [2, 3].into_iter().filter(|&i| infer.has(i)) {
        pair(infer, i, DType::F32)?;
        same(infer, i, &into)?;
    }
    let rows = count(infer.node, "rows")?;
    let weighted = Pooling::new(infer.node)? != Pooling::Fuse || infer.has(3);
    if into != [batch, tokens] || rows > tokens + 1 || !infer.has(2) || !weighted {
        return Err(infer.node.error(format!("{rows} rows of {tokens} tokens placed as {into:?}")));
    }
    let f32 = |shape: &[usize]| TensorType::new(DType::F32, shape);
    Ok(vec![f32(&[batch, rows, width]), f32(&[batch, rows]), f32(&[batch, 1, 1, rows])])
}

/// States f32 `[batch, rows, width]`, rows i32 `[batch, tokens]`, earlier states f32 `[batch, tokens, width]` → f32 `[batch, tokens,
/// width]`: each token's row; its earlier state where that is none, or row `dropped`.
fn unpool(infer: &Infer) -> Result<Vec<TensorType>> {
    let ([batch, _, width], shape) = (rows(infer, 0)?, rows(infer, 2)?);
    let into = pair(infer, 1, DType::I32)?;
    if shape != [batch, into[1], width] || into[0] != batch {
        return Err(infer.node.error(format!("{into:?} tokens of states {shape:?}")));
    }
    infer.one(DType::F32, shape)
}

/// Which token an input is now, i32 `[batch, inputs]`, and rows i32 `[batch, tokens]` → i32 `[batch, inputs]`; −1 stays.
fn follow(infer: &Infer) -> Result<Vec<TensorType>> {
    let (map, into) = (pair(infer, 0, DType::I32)?, pair(infer, 1, DType::I32)?);
    if map[0] != into[0] {
        return Err(infer.node.error(format!("{} maps for {} pictures", map[0], into[0])));
    }
    infer.one(DType::I32, map)
}
