//! Attention over keys and values that stay in the session between runs, and the angles of rotary position embedding.

use std::str::FromStr;

use super::infer::{Infer, InferFn};
use crate::graph::Node;
use crate::tensor::{DType, TensorType};
use crate::{Error, Result};

pub const OPS: &[(&str, InferFn)] =
    &[("fewbit.CachedAttention", cached_attention), ("fewbit.RotaryAngles", rotary_angles)];

/// Sizes of a `fewbit.CachedAttention` node: causal attention of `tokens` new tokens of each of `batch` sequences over all
/// up to them.
///
/// Inputs: queries `[batch, tokens, q_heads · head]`, keys and values `[batch, tokens, kv_heads · head]`, positions i64
/// `[1, tokens]`, which count up by one and are those of every sequence, and optionally cosines and sines
/// `[1, tokens, rotated / 2]`, by which queries and keys are turned. Output: as the queries. The node's keys and values
/// from the first position on replace those of its cache (attribute `cache`), which keeps those of each sequence; none
/// before it may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachedShape {
    pub batch: usize,
    pub tokens: usize,
    pub q_heads: usize,
    pub kv_heads: usize,
    pub head: usize,
    /// Elements of a head that turn.
    pub rotated: usize,
}

impl CachedShape {
    /// From the shapes of queries, keys, values, positions and, if there are any, of cosines and sines.
    pub fn new(node: &Node, inputs: [&[usize]; 4], angles: Option<[&[usize]; 2]>) -> Result<Self> {
        let misfit = || node.error(format!("queries, keys, values and positions {inputs:?} do not fit"));
        let heads = |name: &str| usize::try_from(node.attrs.int_or(name, 0)).unwrap_or(0);
        let (q_heads, kv_heads) = (heads("q_num_heads"), heads("kv_num_heads"));
        let (&[batch, tokens, q_width], &[_, _, k_width]) = (inputs[0], inputs[1]) else { return Err(misfit()) };
        if q_heads == 0 || kv_heads == 0 || !q_heads.is_multiple_of(kv_heads) {
            return Err(node.error(format!("{kv_heads} heads of keys cannot serve {q_heads} of queries")));
        }
        let head = q_width / q_heads;
        let fits = q_width == q_heads * head && kv_heads.checked_mul(head) == Some(k_width) && head > 0;
        if !fits || inputs[1][..2] != [batch, tokens] || inputs[2] != inputs[1] || inputs[3] != [1, tokens] {
            return Err(misfit());
        }
        let rotated = match angles {
            None => 0,
            Some([cos, sin]) => match *cos {
                [1, rows, half] if cos == sin && rows == tokens && half <= head / 2 => 2 * half,
                _ => return Err(node.error(format!("cosines {cos:?} and sines {sin:?} do not fit {inputs:?}"))),
            },
        };
        Ok(CachedShape { batch, tokens, q_heads, kv_heads, head, rotated })
    }

    /// Query heads that share a head of keys.
    pub fn share(&self) -> usize {
        self.q_heads / self.kv_heads
    }
}

/// How keys and values are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KvKind {
    /// Half precision.
    #[default]
    F16,
    /// 8.5 bits: blocks of a head are turned (`hadamard`), which spreads what a few elements have too much of (QuaRot,
    /// Ashkboos et al. 2024), and kept as integers from −127 to 127 with a scale for every `STEP` elements. Queries are
    /// turned alike, and what comes out is turned back. Of the `RECENT` positions up to itself a token sees keys and values
    /// in half precision, turned too, as far as the last `RING` positions hold them (KIVI, Liu et al. 2024). Since these take
    /// room beside, memory is saved from 342 tokens on.
    Q8,
    /// 4.75 bits: the same with `KEY_LEVELS` and `VALUE_LEVELS` numbers, each in the middle between two steps from 0.
    Q4,
}

impl KvKind {
    /// Elements of a head that are turned together.
    pub const BLOCK: usize = 64;
    /// Elements that share a scale, which is in half precision.
    pub const STEP: usize = 32;
    /// Two keys are a number below 2⁹. Errors of keys weigh more than those of values.
    pub const KEY_LEVELS: u32 = 22;
    pub const VALUE_LEVELS: u32 = 16;
    /// Positions up to a token's own that it sees in half precision where the rest has 8 bits.
    pub const RECENT: usize = 128;
    /// Positions of which these are kept, position p in place p modulo `RING`. More than `RECENT`: up to 33 tokens at once see
    /// what each would see alone, and drafts that do not come true take nothing away.
    pub const RING: usize = 160;
}

/// Walsh and Hadamard's transform of a block, orthonormal and so its own inverse, in pieces that are powers of two: 70
/// elements as 64, 4 and 2.
pub fn hadamard(block: &mut [f32]) {
    let mut rest = block;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at_mut(1 << rest.len().ilog2());
        let mut step = 1;
        while step < piece.len() {
            for pair in piece.chunks_exact_mut(2 * step) {
                let (a, b) = pair.split_at_mut(step);
                a.iter_mut().zip(b).for_each(|(a, b)| (*a, *b) = (*a + *b, *a - *b));
            }
            step *= 2;
        }
        let scale = 1.0 / (piece.len() as f32).sqrt();
        piece.iter_mut().for_each(|v| *v *= scale);
        rest = behind;
    }
}

impl FromStr for KvKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "f16" => Ok(KvKind::F16),
            "q8" => Ok(KvKind::Q8),
            "q4" => Ok(KvKind::Q4),
            other => Err(Error::Usage(format!("keys and values cannot be kept as `{other}`; use f16, q8 or q4"))),
        }
    }
}

/// What the attributes of a `fewbit.CachedAttention` node say beside its sizes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CachedOptions {
    /// Which of the session's caches.
    pub cache: usize,
    pub scale: f32,
    /// Positions that a token sees, itself included; `usize::MAX`: all.
    pub window: usize,
    /// Pairs that turn are neighbours; else a half of a head apart.
    pub interleaved: bool,
}

impl CachedOptions {
    pub fn of(node: &Node, head: usize) -> Result<Self> {
        let cache = usize::try_from(node.attrs.int_or("cache", -1));
        Ok(CachedOptions {
            cache: cache.map_err(|_| node.error("attribute `cache` is missing"))?,
            scale: node.attrs.float("scale").unwrap_or_else(|| 1.0 / (head as f32).sqrt()),
            window: match node.attrs.int_or("window", 0) {
                0 => usize::MAX,
                w => usize::try_from(w).map_err(|_| node.error(format!("a window of {w} positions")))?,
            },
            interleaved: node.attrs.flag("interleaved"),
        })
    }
}

/// The first and the last of the positions, which must count up by one from 0 or more; `None` if there are none.
pub fn span(positions: &[i64]) -> Result<Option<(usize, usize)>> {
    let Some(&first) = positions.first() else { return Ok(None) };
    let first = usize::try_from(first).map_err(|_| Error::Usage(format!("position {first} is negative")))?;
    let mut last = first;
    for &position in &positions[1..] {
        match last.checked_add(1) {
            Some(next) if usize::try_from(position) == Ok(next) => last = next,
            _ => return Err(Error::Usage("positions must count up by one".into())),
        }
    }
    Ok(Some((first, last)))
}

/// That a session does not have what comes before a position, of as many sequences as go on.
pub fn missing(first: usize) -> Error {
    let what = "keys and values before it are missing; begin at 0, leave none out and go on with as many sequences";
    Error::Usage(format!("position {first}: {what}"))
}

/// The numbers of sequences that go on each have to be one of those that are there.
pub fn check_order(order: &[usize], sequences: usize) -> Result<()> {
    match order.iter().find(|&&from| from >= sequences) {
        Some(from) => {
            Err(Error::Usage(format!("sequence {from} cannot go on: keys and values are kept of {sequences}")))
        }
        None => Ok(()),
    }
}

fn cached_attention(infer: &Infer) -> Result<Vec<TensorType>> {
    let inputs = [infer.shape(0)?, infer.shape(1)?, infer.shape(2)?, infer.shape(3)?];
    let angles = if infer.has(4) { Some([infer.shape(4)?, infer.shape(5)?]) } else { None };
    let shape = CachedShape::new(infer.node, inputs, angles)?;
    CachedOptions::of(infer.node, shape.head)?;
    infer.one(infer.dtype(0)?, infer.shape(0)?)
}

/// Angles per step of a `fewbit.RotaryAngles` node (attribute `frequencies`).
pub fn frequencies(node: &Node) -> Result<&[f32]> {
    node.attrs.floats("frequencies").ok_or_else(|| node.error("attribute `frequencies` is missing"))
}

/// Which row of positions each frequency of a `fewbit.RotaryAngles` node is for: `sections` frequencies for one row after
/// the other, from the first again where there are more sections than rows; without the attribute all for the only row.
pub fn sections(node: &Node, rows: usize) -> Result<Vec<usize>> {
    let count = frequencies(node)?.len();
    let Some(sections) = node.attrs.ints("sections") else {
        return if rows == 1 { Ok(vec![0; count]) } else { Err(node.error(format!("{rows} rows of positions"))) };
    };
    let size = |&n: &i64| usize::try_from(n).ok().filter(|&n| n <= count);
    let sizes: Option<Vec<usize>> = sections.iter().map(size).collect();
    let rows_of = sizes.into_iter().flatten().enumerate();
    let all: Vec<usize> = rows_of.flat_map(|(i, n)| std::iter::repeat_n(i.checked_rem(rows).unwrap_or(0), n)).collect();
    match all.len() == count && rows > 0 {
        true => Ok(all),
        false => Err(node.error(format!("sections {sections:?} of {count} frequencies for {rows} rows of positions"))),
    }
}

/// Positions i64 `[rows, tokens]` → cosines and sines f32 `[1, tokens, frequencies]`.
fn rotary_angles(infer: &Infer) -> Result<Vec<TensorType>> {
    let &[rows, tokens] = infer.shape(0)? else {
        return Err(infer.node.error(format!("positions of shape {:?}", infer.shape(0)?)));
    };
    let ty = TensorType::new(DType::F32, [1, tokens, sections(infer.node, rows)?.len()]);
    Ok(vec![ty.clone(), ty])
}
