//! Token reduction: a pass over a vision transformer's fused graph that puts operators of `ops/tokens.rs` between the
//! attention and the feed-forward layer of its blocks. Nothing is trained anew.

mod blocks;
mod insert;
mod method;
mod retype;

pub use insert::TOKEN_MAP;
pub use method::{Method, Schedule, Step};

use insert::Insert;

use crate::graph::TypedGraph;
use crate::{Error, Result};

/// What a session does to the tokens of its model.
#[derive(Clone, Debug, PartialEq)]
pub struct Tokens {
    pub method: Method,
    /// `TOKEN_MAP` becomes one more output.
    pub map: bool,
}

/// A model's blocks, as they are without a reduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    pub layers: usize,
    pub tokens: usize,
    /// Tokens in front that are no patches: class token, registers.
    pub pinned: usize,
}

fn none() -> Error {
    Error::Usage(
        "the model has no blocks whose tokens could be reduced: attention among all tokens of a picture, added to them; \
         `tokens` must stay `none`"
            .into(),
    )
}

/// Reduces the tokens of a fused graph; says what there were.
pub fn reduce(typed: &mut TypedGraph, tokens: &Tokens) -> Result<Sizes> {
    if typed.graph.nodes.iter().any(|node| node.op == "fewbit.PoolTokens") {
        let what = "the model reduces its tokens by itself, as it was trained to; use `--tokens none`";
        return Err(Error::Usage(what.into()));
    }
    let blocks = blocks::find(typed);
    let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return Err(none()) };
    let pinned = blocks::pinned(typed, first.tokens);
    let steps = tokens.method.steps(blocks.len(), first.tokens, pinned)?;
    let end = blocks::end(typed, last.stream).ok_or_else(none)?;
    let whole = !blocks::only_front(typed, end, pinned);
    let nodes = std::mem::take(&mut typed.graph.nodes);
    let mut insert = Insert::new(typed, pinned, tokens.method.sizes_count());
    for node in nodes {
        let attends = node.op == "Attention" && blocks.iter().any(|block| block.attention == node.name);
        let reduced = blocks.iter().zip(&steps).find(|(block, _)| node.outputs.contains(&Some(block.stream)));
        let ends = node.outputs.contains(&Some(end));
        insert.node(node, attends)?;
        if let Some((block, Some(step))) = reduced {
            insert.step(block, *step)?;
        }
        if ends && whole {
            insert.restore(end)?;
        }
    }
    insert.finish(first.batch, first.tokens, tokens.map)?;
    Ok(Sizes { layers: blocks.len(), tokens: first.tokens, pinned })
}
