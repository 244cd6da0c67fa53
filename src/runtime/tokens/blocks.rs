//! Finds the blocks of a vision transformer in a fused graph.

use std::collections::{HashMap, HashSet};

use crate::graph::{Node, TypedGraph, ValueId};
use crate::ops::attention::AttentionShape;

/// A block: attention among all tokens, whose result is added to their states.
pub struct Block {
    /// Name of its `Attention` node.
    pub attention: String,
    /// Queries and keys as it takes them.
    pub queries: ValueId,
    pub keys: ValueId,
    pub heads: usize,
    pub kv_heads: usize,
    pub scale: Option<f32>,
    /// States with the attention added, f32 `[batch, tokens, width]`: here tokens are reduced.
    pub stream: ValueId,
    pub batch: usize,
    pub tokens: usize,
}

/// Blocks of one number of tokens in the order of their computation.
pub fn find(typed: &TypedGraph) -> Vec<Block> {
    let mut users: HashMap<ValueId, Vec<&Node>> = HashMap::new();
    for node in &typed.graph.nodes {
        for &id in node.inputs.iter().flatten() {
            users.entry(id).or_default().push(node);
        }
    }
    let blocks = typed.graph.nodes.iter().filter(|node| node.op == "Attention");
    let mut blocks: Vec<Block> = blocks.filter_map(|node| block(typed, &users, node)).collect();
    if let Some(tokens) = blocks.first().map(|block| block.tokens) {
        blocks.retain(|block| block.tokens == tokens);
    }
    blocks
}

fn block(typed: &TypedGraph, users: &HashMap<ValueId, Vec<&Node>>, node: &Node) -> Option<Block> {
    let [queries, keys, values] = [node.input(0)?, node.input(1)?, node.input(2)?];
    let [q, k, v] = [queries, keys, values].map(|id| typed.shape(id));
    let shape = AttentionShape::new(node, q?, k?, v?, None).ok()?;
    let plain = node.inputs.iter().skip(3).flatten().next().is_none() && !node.attrs.flag("is_causal");
    if !plain || node.outputs.len() != 1 || shape.q_len != shape.kv_len || shape.q_len < 3 {
        return None;
    }
    let stream = stream(typed, users, node.outputs[0]?)?;
    let &[batch, tokens, _] = typed.shape(stream)? else { return None };
    (batch == shape.batch && tokens == shape.q_len).then(|| Block {
        attention: node.name.clone(),
        queries,
        keys,
        heads: shape.q_heads,
        kv_heads: shape.kv_heads,
        scale: node.attrs.float("scale"),
        stream,
        batch,
        tokens,
    })
}

/// Where what attention gives is added to what was there: through layers that look at each token alone.
fn stream(typed: &TypedGraph, users: &HashMap<ValueId, Vec<&Node>>, mut value: ValueId) -> Option<ValueId> {
    loop {
        let [user] = users.get(&value)?.as_slice() else { return None };
        let varies = |i: usize| user.input(i).is_some_and(|id| !typed.graph.weights.contains_key(&id));
        let added = match user.op.as_str() {
            "fewbit.Linear" => user.input(0) == Some(value) && varies(3),
            "Add" => varies(0) && varies(1),
            "Mul" if varies(0) && varies(1) => return None,
            "Mul" | "Reshape" | "Transpose" | "Squeeze" | "LayerNormalization" => false,
            _ => return None,
        };
        value = (*user.outputs.first()?)?;
        if added {
            return Some(value);
        }
    }
}

/// The states behind a block's feed-forward layer: where something is added to `stream` again.
pub fn end(typed: &TypedGraph, stream: ValueId) -> Option<ValueId> {
    let adds = |node: &&Node| {
        let place = node.inputs.iter().position(|&id| id == Some(stream));
        matches!((node.op.as_str(), place), ("Add", Some(_)) | ("fewbit.Linear", Some(3)))
    };
    typed.graph.nodes.iter().find(adds).and_then(|node| *node.outputs.first()?)
}

/// Tokens that are no patches: what the number of tokens exceeds a picture's patches by, else the class token alone.
pub fn pinned(typed: &TypedGraph, tokens: usize) -> usize {
    let grids = typed.graph.nodes.iter().filter(|node| node.op == "Conv");
    let patches = grids.filter_map(|node| match *typed.shape(node.outputs[0]?)? {
        [_, a, b, c] => [a * b, b * c].into_iter().filter(|&n| n <= tokens && tokens - n <= 16).max(),
        _ => None,
    });
    patches.max().map_or(1, |patches| tokens - patches)
}

/// Operators that see each token alone, states in input 0.
const TOKENWISE: &[&str] = &[
    "LayerNormalization",
    "RMSNormalization",
    "fewbit.Linear",
    "Add",
    "Mul",
    "Sub",
    "Div",
    "Gelu",
    "Tanh",
    "Cast",
    "Identity",
];

/// Whether all that is made of `states` looks at tokens before `pinned` alone: class token and registers.
pub fn only_front(typed: &TypedGraph, states: ValueId, pinned: usize) -> bool {
    let mut same: HashSet<ValueId> = HashSet::from([states]);
    for node in &typed.graph.nodes {
        let Some(from) = node.inputs.iter().flatten().find(|id| same.contains(id)) else { continue };
        if picks(typed, node, *from, pinned) {
            continue;
        }
        if !TOKENWISE.contains(&node.op.as_str()) {
            return false;
        }
        same.extend(node.outputs.iter().flatten());
    }
    !typed.graph.outputs.iter().any(|id| same.contains(id))
}

/// Takes tokens before `pinned`, and no others.
fn picks(typed: &TypedGraph, node: &Node, from: ValueId, pinned: usize) -> bool {
    let rank = typed.shape(from).map_or(0, <[usize]>::len) as i64;
    let list = |i: usize| node.input(i).and_then(|id| typed.constant(id)?.to_i64().ok());
    let tokens = |axis: i64| axis == 1 || axis + rank == 1;
    match node.op.as_str() {
        "Gather" => {
            let wanted = list(1).unwrap_or_default();
            tokens(node.attrs.int_or("axis", 0))
                && !wanted.is_empty()
                && wanted.iter().all(|&i| (0..pinned as i64).contains(&i))
        }
        "Slice" => {
            let (starts, ends, axes) = (list(1).unwrap_or_default(), list(2).unwrap_or_default(), list(3));
            let at = axes.unwrap_or_else(|| (0..rank).collect()).iter().position(|&axis| tokens(axis));
            at.is_some_and(|i| {
                starts.get(i).is_some_and(|&s| s >= 0) && ends.get(i).is_some_and(|&e| (0..=pinned as i64).contains(&e))
            })
        }
        _ => false,
    }
}
