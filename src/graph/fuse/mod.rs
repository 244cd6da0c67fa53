//! Fusion passes over a graph whose types are known: one pattern a file.
//!
//! A pass looks at one node as the *last* of its pattern and, when the rest is there, rewrites that node in place; what
//! the pattern leaves unused is pruned. So fused nodes stay in topological order by construction.

mod activation;
mod affine;
mod attention;
mod attention_heads;
mod edit;
mod elementwise;
#[cfg(feature = "full")]
mod gated;
mod index;
mod layer_norm;
mod linear;
mod matcher;
mod residual;

use edit::Edit;
use index::Index;
use matcher::Matcher;

use super::{Node, TypedGraph};

/// The node that replaces the one at `index`, if the pattern ends there. May add constants to the graph.
type Pass = fn(&Matcher, index: usize, &mut Edit) -> Option<Node>;

/// In order: patterns that later passes build on come first.
const PASSES: &[Pass] = &[
    elementwise::gelu,
    elementwise::hard_swish,
    elementwise::silu,
    layer_norm::layer_norm,
    affine::into_conv,
    linear::from_matmul,
    linear::from_gemm,
    linear::bias,
    linear::scale,
    attention::attention,
    attention_heads::attention_heads,
    activation::activation,
    residual::residual,
];

/// After the others: what is not computed then does not show in a graph.
#[cfg(feature = "full")]
const GATES: &[Pass] = &[gated::filters, gated::bent, gated::channels];

/// Applies every pass to every node, each until it finds nothing more.
pub fn fuse(typed: &mut TypedGraph) {
    apply(PASSES, typed);
}

/// Finds convolutions of which a mask chooses filters.
#[cfg(feature = "full")]
pub fn gate(typed: &mut TypedGraph) {
    apply(GATES, typed);
}

fn apply(passes: &[Pass], typed: &mut TypedGraph) {
    for pass in passes {
        let mut index = Index::of(typed);
        let mut at = 0;
        while at < typed.graph.nodes.len() {
            let mut edit = Edit::new(typed);
            // Nodes that fell away stay where they were until the pass is through.
            let is_there = !typed.graph.nodes[at].outputs.is_empty();
            let found = is_there.then(|| pass(&Matcher { typed, index: &index }, at, &mut edit)).flatten();
            match found {
                Some(node) => at = edit.apply(typed, &mut index, at, node),
                None => at += 1,
            }
        }
        typed.prune();
    }
}
