//! What a plan is to compute.

use std::borrow::Cow;

use crate::graph::Graph;
#[cfg(all(feature = "gpu", feature = "full"))]
use crate::graph::{Attrs, Dim};
#[cfg(all(feature = "gpu", feature = "full"))]
use crate::tensor::DType;

#[derive(Clone, Copy, PartialEq)]
pub enum Goal {
    /// The graph's outputs.
    Outputs,
    /// The greatest logit of each row of the first one: ids i64, −1 where a logit is no finite number.
    #[cfg(all(feature = "gpu", feature = "full"))]
    NextToken,
    /// One drawn of each row, by a further input: see `ops::next_token::Draw`.
    #[cfg(all(feature = "gpu", feature = "full"))]
    DrawnToken,
}

impl Goal {
    /// The graph that computes it.
    pub fn of(self, graph: &Graph) -> Cow<'_, Graph> {
        match self {
            Goal::Outputs => Cow::Borrowed(graph),
            #[cfg(all(feature = "gpu", feature = "full"))]
            Goal::NextToken | Goal::DrawnToken => {
                let mut graph = graph.clone();
                let mut inputs: Vec<_> = graph.outputs.first().copied().into_iter().collect();
                let op = match self {
                    Goal::DrawnToken => {
                        inputs.push(graph.add_input("draw", DType::F32, vec![Dim::Known(5)]));
                        "fewbit.DrawToken"
                    }
                    _ => "fewbit.NextToken",
                };
                let ids = graph.add_node(op, "next_token", &inputs, Attrs::default());
                graph.outputs = vec![ids];
                Cow::Owned(graph)
            }
        }
    }
}
