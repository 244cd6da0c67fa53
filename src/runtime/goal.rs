//! What a plan is to compute.

use std::borrow::Cow;

#[cfg(all(feature = "gpu", feature = "full"))]
use crate::graph::Attrs;
use crate::graph::Graph;

#[derive(Clone, Copy, PartialEq)]
pub enum Goal {
    /// The graph's outputs.
    Outputs,
    /// The greatest logit of each row of the first one: ids i64, −1 where a logit is no finite number.
    #[cfg(all(feature = "gpu", feature = "full"))]
    NextToken,
}

impl Goal {
    /// The graph that computes it.
    pub fn of(self, graph: &Graph) -> Cow<'_, Graph> {
        match self {
            Goal::Outputs => Cow::Borrowed(graph),
            #[cfg(all(feature = "gpu", feature = "full"))]
            Goal::NextToken => {
                let mut graph = graph.clone();
                let logits: Vec<_> = graph.outputs.first().copied().into_iter().collect();
                let ids = graph.add_node("fewbit.NextToken", "next_token", &logits, Attrs::default());
                graph.outputs = vec![ids];
                Cow::Owned(graph)
            }
        }
    }
}
