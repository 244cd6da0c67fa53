//! Splitting and joining of heads around `Attention` goes into its 3-D form: `[batch, seq, heads · head_dim]`.

use super::{Edit, Matcher};
use crate::graph::{Attr, Node, ValueId};

pub fn attention_heads(m: &Matcher, index: usize, _: &mut Edit) -> Option<Node> {
    let root = m.node(index);
    if root.op != "Reshape" {
        return None;
    }
    let transpose = m.only_from(root.input(0)?, "Transpose").filter(|t| swaps_heads(t))?;
    let attention = m.only_from(transpose.input(0)?, "Attention")?;
    let [batch, heads, seq, head_dim] = *m.shape(transpose.input(0)?)? else { return None };
    if m.shape((*root.outputs.first()?)?)? != [batch, seq, heads * head_dim] {
        return None;
    }
    let mut node = attention.clone();
    for input in &mut node.inputs[..3] {
        *input = Some(joined(m, (*input)?)?);
    }
    node.outputs = vec![root.outputs[0]];
    node.attrs.set("q_num_heads", Attr::Int(heads as i64));
    node.attrs.set("kv_num_heads", Attr::Int(heads as i64));
    Some(node)
}

/// `[batch, seq, heads · head_dim]` behind `Transpose(Reshape(·))`.
fn joined(m: &Matcher, id: ValueId) -> Option<ValueId> {
    let transpose = m.made_by(id, "Transpose").filter(|t| swaps_heads(t))?;
    let [batch, seq, heads, head_dim] = *m.shape(transpose.input(0)?)? else { return None };
    let source = m.made_by(transpose.input(0)?, "Reshape")?.input(0)?;
    (m.shape(source)? == [batch, seq, heads * head_dim]).then_some(source)
}

fn swaps_heads(transpose: &Node) -> bool {
    transpose.attrs.ints("perm") == Some(&[0, 2, 1, 3])
}
