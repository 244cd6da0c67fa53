//! Puts reductions into a graph that is written anew, node by node.

use std::collections::HashMap;

use super::blocks::Block;
use super::method::Step;
use super::retype::retype;
use crate::Result;
use crate::graph::{Attr, Attrs, Node, TypedGraph, ValueId};
use crate::tensor::{Tensor, TensorType};

/// Name of the output that says which row each input token ended in: i32 `[batch, tokens]`, −1 for none. Rows are those of
/// the last block, the input's tokens those of its first: class token and registers, then patches row by row.
pub const TOKEN_MAP: &str = "token_map";

pub struct Insert<'a> {
    typed: &'a mut TypedGraph,
    /// Types before any reduction.
    old: Vec<Option<TensorType>>,
    pinned: usize,
    /// Attention counts tokens by their sizes.
    proportional: bool,
    /// What stands for a value from here on.
    instead: HashMap<ValueId, ValueId>,
    /// f32 `[batch, tokens]`, once something was reduced; and its logarithm.
    sizes: Option<ValueId>,
    logs: Option<ValueId>,
    map: Option<ValueId>,
    /// States before each reduction, rows that they went to, and the row that is no token's own.
    undo: Vec<(ValueId, ValueId, i64)>,
    prefix: String,
}

impl<'a> Insert<'a> {
    /// `typed` has lost its nodes, which come to `node` one by one.
    pub fn new(typed: &'a mut TypedGraph, pinned: usize, proportional: bool) -> Self {
        Insert {
            old: typed.types.clone(),
            typed,
            pinned,
            proportional,
            instead: HashMap::new(),
            sizes: None,
            logs: None,
            map: None,
            undo: Vec::new(),
            prefix: String::new(),
        }
    }

    /// The next node of the graph; `attends` if it is the attention of a block.
    pub fn node(&mut self, mut node: Node, attends: bool) -> Result<()> {
        let before = node.input(0);
        for id in node.inputs.iter_mut().flatten() {
            *id = self.current(*id);
        }
        if let (true, true, Some(logs)) = (attends, self.proportional, self.logs) {
            node.inputs.resize(4, None);
            node.inputs[3] = Some(logs);
        }
        if self.sizes.is_some() {
            let before = before.and_then(|id| self.old[id.0 as usize].as_ref()).map(|ty| ty.shape.as_slice());
            retype(self.typed, &mut node, before)?;
        }
        self.typed.graph.nodes.push(node);
        Ok(())
    }

    fn current(&self, id: ValueId) -> ValueId {
        self.instead.get(&id).copied().unwrap_or(id)
    }

    /// Reduces the tokens of `block`, whose states were just computed.
    pub fn step(&mut self, block: &Block, step: Step) -> Result<()> {
        self.prefix = block.attention.clone();
        let states = self.current(block.stream);
        let &[batch, tokens, _] = self.typed.shape(states).unwrap_or_default() else { return Ok(()) };
        let sizes = match self.sizes {
            Some(sizes) => sizes,
            None => {
                let ones = Tensor::new([batch, tokens], &vec![1f32; batch * tokens])?;
                self.typed.add_constant("tokens.sizes", ones)
            }
        };
        let pinned = ("pinned", self.pinned);
        let (into, factors, mode) = match step {
            Step::Rank { keep, seen } => {
                let rank = self.rank(block)?;
                let (partners, likeness) = if keep < seen {
                    let attrs = ints(&[("keep", keep), ("seen", seen), pinned]);
                    let [partners, likeness] = self.add("fewbit.MatchTokens", &[states, rank], attrs)?;
                    (Some(partners), Some(likeness))
                } else {
                    (None, None)
                };
                let inputs: Vec<ValueId> = [rank].into_iter().chain(partners).collect();
                let [into] = self.add("fewbit.PlaceTokens", &inputs, ints(&[("keep", keep), ("seen", seen)]))?;
                (into, likeness, "mean")
            }
            Step::Fuse { keep } => {
                let scores = self.scores(block)?;
                let [rank] = self.add("fewbit.RankTokens", &[scores], ints(&[pinned]))?;
                let attrs = ints(&[("keep", keep), ("seen", keep), ("fuse", 1)]);
                let [into] = self.add("fewbit.PlaceTokens", &[rank], attrs)?;
                (into, Some(scores), "fuse")
            }
            Step::Pair { merge } => {
                let keys = self.current(block.keys);
                let [partners, likeness] =
                    self.add("fewbit.MatchTokens", &[keys], ints(&[("heads", block.heads), pinned]))?;
                let [rank] = self.add("fewbit.RankTokens", &[likeness], Attrs::default())?;
                let [into] = self.add("fewbit.PlaceTokens", &[rank, partners], ints(&[("merge", merge), pinned]))?;
                (into, None, "sizes")
            }
        };
        let mut attrs = ints(&[("rows", step.left(tokens))]);
        attrs.set("mode", Attr::String(mode.into()));
        let inputs: Vec<ValueId> = [states, into, sizes].into_iter().chain(factors).collect();
        let [reduced, sizes, logs] = self.add("fewbit.PoolTokens", &inputs, attrs)?;
        self.map = Some(match self.map {
            None => into,
            Some(map) => {
                let [map] = self.add("fewbit.FollowTokens", &[map, into], Attrs::default())?;
                map
            }
        });
        let dropped = if let Step::Fuse { keep } = step { keep as i64 } else { -1 };
        self.undo.push((states, into, dropped));
        self.instead.insert(block.stream, reduced);
        (self.sizes, self.logs) = (Some(sizes), Some(logs));
        Ok(())
    }

    /// The class token's attention in `block`, f32 `[batch, tokens]`.
    fn scores(&mut self, block: &Block) -> Result<ValueId> {
        let heads = Attr::Int(block.heads as i64);
        let kv_heads = Attr::Int(block.kv_heads as i64);
        let mut attrs = Attrs::from([("q_num_heads", heads), ("kv_num_heads", kv_heads)]);
        if let Some(scale) = block.scale {
            attrs.set("scale", Attr::Float(scale));
        }
        let logs = self.logs.filter(|_| self.proportional);
        let inputs = [self.current(block.queries), self.current(block.keys)];
        let inputs: Vec<ValueId> = inputs.into_iter().chain(logs).collect();
        let [scores] = self.add("fewbit.ClassAttention", &inputs, attrs)?;
        Ok(scores)
    }

    fn rank(&mut self, block: &Block) -> Result<ValueId> {
        let scores = self.scores(block)?;
        let [rank] = self.add("fewbit.RankTokens", &[scores], ints(&[("pinned", self.pinned)]))?;
        Ok(rank)
    }

    /// From here on every token of `end` has its state back: of the row that it became part of, else its last own.
    pub fn restore(&mut self, end: ValueId) -> Result<()> {
        let mut states = self.current(end);
        for (before, into, dropped) in std::mem::take(&mut self.undo).into_iter().rev() {
            let attrs = Attrs::from([("dropped", Attr::Int(dropped))]);
            [states] = self.add("fewbit.UnpoolTokens", &[states, into, before], attrs)?;
        }
        self.instead.insert(end, states);
        Ok(())
    }

    /// Outputs of the finished graph; `map` adds `TOKEN_MAP`, of `tokens` tokens.
    pub fn finish(self, batch: usize, tokens: usize, map: bool) -> Result<()> {
        let outputs = self.typed.graph.outputs.iter().map(|&id| self.current(id)).collect();
        self.typed.graph.outputs = outputs;
        if map {
            let id = match self.map {
                Some(id) => id,
                None => {
                    let own: Vec<i32> = (0..batch).flat_map(|_| 0..tokens as i32).collect();
                    self.typed.add_constant(TOKEN_MAP, Tensor::new([batch, tokens], &own)?)
                }
            };
            self.typed.graph.outputs.push(id);
        }
        Ok(())
    }

    /// Appends a node with `N` outputs.
    fn add<const N: usize>(&mut self, op: &str, inputs: &[ValueId], attrs: Attrs) -> Result<[ValueId; N]> {
        let name = format!("{}.{}", self.prefix, op.trim_start_matches("fewbit."));
        let outputs = std::array::from_fn(|i| {
            self.typed.types.push(None);
            self.typed.graph.add_value(format!("{name}:{i}"))
        });
        let inputs = inputs.iter().map(|&id| Some(id)).collect();
        let mut node = Node { name, op: op.into(), inputs, outputs: outputs.map(Some).to_vec(), attrs };
        retype(self.typed, &mut node, None)?;
        self.typed.graph.nodes.push(node);
        Ok(outputs)
    }
}

fn ints(list: &[(&str, usize)]) -> Attrs {
    let mut attrs = Attrs::default();
    list.iter().for_each(|&(name, value)| attrs.set(name, Attr::Int(value as i64)));
    attrs
}
