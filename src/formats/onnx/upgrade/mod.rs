//! Rewrites operators of old opsets to the form of the newest one, so that nothing above knows opsets.
//!
//! A rule applies to an operator of a file whose opset is older than the one that changed it. Rules of one operator
//! apply from the oldest change to the newest.

mod attributes;
mod broadcast;
mod norm;
mod resize;
mod rewrite;
mod softmax;

use crate::Result;
use crate::graph::Node;
use crate::tensor::order;

pub use rewrite::Upgrade;
use rewrite::{Table, first_input, set_input, take, take_ints, too_old};

const TABLES: &[Table] = &[attributes::RULES, broadcast::RULES, norm::RULES, resize::RULES, softmax::RULES];

impl Upgrade {
    /// Upgrades a node of the default domain and appends it.
    pub fn push(&mut self, mut node: Node) -> Result<()> {
        let rules = TABLES.iter().copied().flatten();
        let mut rules: Vec<_> = rules.filter(|(op, before, _)| *op == node.op && self.opset < *before).collect();
        order::sort(&mut rules, &|a, b| a.1.cmp(&b.1));
        for (_, _, rule) in rules {
            node = rule(self, node)?;
        }
        self.push_as_is(node)
    }
}
