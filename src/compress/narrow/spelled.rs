//! Finds the heads of attentions that exporters spell out: products, a softmax, and what splits heads and joins them again.

use super::group::{Group, Kind, Links, Part, Product, shape, writer};
use crate::graph::{Graph, Node, ValueId};

/// Nodes between a product and the softmax, or behind a mask's broadcast axes, at most.
const STEPS: usize = 8;

/// `[batch, tokens, heads, size]` to `[batch, heads, tokens, size]` and back, and to keys as columns.
const HEADS_SECOND: &[i64] = &[0, 2, 1, 3];
const COLUMNS: &[i64] = &[0, 2, 3, 1];

/// The heads around the product of attention and values at node `at`.
pub fn find(graph: &Graph, links: &Links, at: usize) -> Option<Group> {
    let spelled = Spelled { graph, links };
    let node = &graph.nodes[at];
    if node.op != "MatMul" || graph.weights.contains_key(&node.input(1)?) {
        return None;
    }
    let scores = spelled.scores(node.input(0)?)?;
    let keys = &graph.nodes[scores];
    let inputs = [(keys.input(0)?, false), (keys.input(1)?, true), (node.input(1)?, false)];
    let splits = inputs.map(|(id, columns)| spelled.split(id, columns));
    let [Some(q), Some(k), Some(v)] = splits else { return None };
    if q.heads != k.heads || q.heads != v.heads || q.heads < 2 {
        return None;
    }
    let mut group = Group::new(Kind::Heads, q.heads);
    for split in [q, k, v] {
        let data = graph.nodes[split.reshape].input(0)?;
        let product = writer(graph, links, data, split.reshape, &mut group)?;
        // A matrix without batches would have no axis 1 to leave as it is.
        if graph.nodes[product].op == "Gemm"
            || Product::of(graph, &graph.nodes[product])?.outputs != split.heads * split.size
        {
            return None;
        }
        group.reshapes.push((split.reshape, vec![0, 0, -1, split.size as i64]));
    }
    spelled.join(at, &mut group)?;
    Some(group)
}

/// A reshape of a layer's outputs into heads.
struct Split {
    reshape: usize,
    heads: usize,
    size: usize,
}

struct Spelled<'a> {
    graph: &'a Graph,
    links: &'a Links,
}

impl<'a> Spelled<'a> {
    fn node(&self, id: ValueId) -> Option<(usize, &'a Node)> {
        let at = *self.links.producers.get(&id)?;
        Some((at, &self.graph.nodes[at]))
    }

    /// The node that computes `id` for one other node alone.
    fn only(&self, id: ValueId) -> Option<(usize, &'a Node)> {
        self.node(id).filter(|_| self.links.users(id).len() == 1 && !self.graph.outputs.contains(&id))
    }

    fn ints(&self, id: ValueId) -> Option<Vec<i64>> {
        self.graph.weights.get(&id)?.dense()?.to_i64().ok()
    }

    /// The product of queries and keys whose softmax `id` is, over the last axis, with factors and masks between.
    fn scores(&self, id: ValueId) -> Option<usize> {
        let (_, softmax) = self.only(id).filter(|(_, node)| node.op == "Softmax")?;
        if !matches!(softmax.attrs.int_or("axis", -1), -1 | 3) {
            return None;
        }
        let mut id = softmax.input(0)?;
        for _ in 0..STEPS {
            let (at, node) = self.only(id)?;
            match node.op.as_str() {
                "MatMul" => return Some(at),
                "Mul" | "Div" => id = self.scaled(node)?,
                "Add" => {
                    let (a, b) = (node.input(0)?, node.input(1)?);
                    id = if self.is_alike(b) { a } else { Some(b).filter(|_| self.is_alike(a))? };
                }
                _ => return None,
            }
        }
        None
    }

    /// What a node multiplies or divides by a constant number.
    fn scaled(&self, node: &Node) -> Option<ValueId> {
        let is_number = |id: ValueId| shape(self.graph, id).is_some_and(|shape| shape.iter().all(|&n| n == 1));
        let (a, b) = (node.input(0)?, node.input(1)?);
        if is_number(b) { Some(a) } else { Some(b).filter(|_| node.op == "Mul" && is_number(a)) }
    }

    /// Whether a mask is the same for all heads: a constant of one, or made of what axes of size 1 were put into.
    fn is_alike(&self, mut id: ValueId) -> bool {
        for _ in 0..STEPS {
            if let Some(shape) = shape(self.graph, id) {
                return shape.len() < 3 || shape[shape.len() - 3] == 1;
            }
            let Some((_, node)) = self.node(id) else { return false };
            let variable = |id: &ValueId| !self.graph.weights.contains_key(id);
            let mut inputs = node.inputs.iter().flatten().copied().filter(variable);
            match (node.op.as_str(), inputs.next(), inputs.next()) {
                ("Unsqueeze", ..) => return true,
                ("Mul" | "Sub" | "Add" | "Cast" | "Where" | "Not", Some(input), None) => id = input,
                _ => return false,
            }
        }
        false
    }

    /// The reshape behind `id`, heads second; of keys as columns.
    fn split(&self, mut id: ValueId, columns: bool) -> Option<Split> {
        let mut swapped = false;
        for _ in 0..STEPS {
            let (_, node) = self.only(id)?;
            let perm = node.attrs.ints("perm").unwrap_or(&[]);
            match node.op.as_str() {
                "Mul" | "Div" => id = self.scaled(node)?,
                "Transpose" if columns && !swapped && perm == [0, 1, 3, 2] => {
                    swapped = true;
                    id = node.input(0)?;
                }
                "Transpose" if perm == (if columns && !swapped { COLUMNS } else { HEADS_SECOND }) => {
                    return self.heads(node.input(0)?);
                }
                _ => return None,
            }
        }
        None
    }

    /// A reshape to `[batch, tokens, heads, size]`, the last two constants.
    fn heads(&self, id: ValueId) -> Option<Split> {
        let (reshape, node) = self.only(id).filter(|(_, node)| node.op == "Reshape")?;
        let to = node.input(1)?;
        let number = |n: i64| usize::try_from(n).ok().filter(|&n| n > 0);
        if let Some(to) = self.ints(to) {
            let &[0, 0, heads, size] = to.as_slice() else { return None };
            return Some(Split { reshape, heads: number(heads)?, size: number(size)? });
        }
        let (_, parts) = self.node(to).filter(|(_, node)| node.op == "Concat" && node.inputs.len() == 4)?;
        let part = |i: usize| self.ints(parts.input(i)?)?.first().copied().and_then(number);
        (self.is_size(parts.input(0)?, 0) && self.is_size(parts.input(1)?, 1)).then_some(())?;
        Some(Split { reshape, heads: part(2)?, size: part(3)? })
    }

    /// Whether a value is the size of some value along an axis, as exporters compute it.
    fn is_size(&self, id: ValueId, axis: i64) -> bool {
        let size = || {
            let (_, wide) = self.node(id).filter(|(_, node)| node.op == "Unsqueeze")?;
            let (_, picked) = self.node(wide.input(0)?).filter(|(_, node)| node.op == "Gather")?;
            let (_, sizes) = self.node(picked.input(0)?)?;
            Some(sizes.op == "Shape" && self.ints(picked.input(1)?)? == [axis])
        };
        size() == Some(true)
    }

    /// What joins the heads of the product at `at`, and the layer that reads them.
    fn join(&self, at: usize, group: &mut Group) -> Option<()> {
        let seen = *self.graph.nodes[at].outputs.first()?.as_ref()?;
        let &[back] = self.links.users(seen) else { return None };
        let back = &self.graph.nodes[back];
        if back.op != "Transpose" || back.attrs.ints("perm") != Some(HEADS_SECOND) {
            return None;
        }
        let turned = *back.outputs.first()?.as_ref()?;
        let &[joined] = self.links.users(turned) else { return None };
        let reshape = &self.graph.nodes[joined];
        let flat = *reshape.outputs.first()?.as_ref()?;
        let &[reader] = self.links.users(flat) else { return None };
        let product = Product::of(self.graph, &self.graph.nodes[reader]).filter(|product| product.linear)?;
        let hidden = [seen, turned, flat].iter().all(|id| !self.graph.outputs.contains(id));
        let fits =
            reshape.op == "Reshape" && self.joins(reshape.input(1)?) && product.inputs.is_multiple_of(group.count);
        if !hidden || !fits || self.graph.nodes[reader].input(0) != Some(flat) {
            return None;
        }
        group.reshapes.push((joined, vec![0, 0, -1]));
        group.readers.push(Part { node: reader, input: 1, axis: product.input_axis, outer: 1 });
        group.values.extend([seen, turned, flat]);
        Some(())
    }

    /// Whether a shape is `[batch, tokens, all the rest]`.
    fn joins(&self, to: ValueId) -> bool {
        if let Some(to) = self.ints(to) {
            return to.len() == 3 && to[..2] == [0, 0];
        }
        let parts = self.node(to).filter(|(_, node)| node.op == "Concat" && node.inputs.len() == 3);
        let is_size = |node: &Node, i: usize| node.input(i).is_some_and(|id| self.is_size(id, i as i64));
        parts.is_some_and(|(_, node)| is_size(node, 0) && is_size(node, 1))
    }
}
