//! `softmax(scale · Q·Kᵀ + mask)·V` → ONNX `Attention` on `[batch, heads, seq, head_dim]`.

use super::{Edit, Matcher};
use crate::graph::{Attr, Attrs, Node, ValueId};
use crate::tensor::{DType, TensorType};

pub fn attention(m: &Matcher, index: usize, edit: &mut Edit) -> Option<Node> {
    let root = m.node(index);
    if root.op != "MatMul" {
        return None;
    }
    let v = root.input(1)?;
    let softmax = m.only_from(root.input(0)?, "Softmax")?;
    let probabilities = root.input(0)?;
    let rank = m.shape(probabilities)?.len() as i64;
    if rank != 4 || ![-1, 3].contains(&softmax.attrs.int_or("axis", -1)) || !m.is_f32(v) {
        return None;
    }
    let mut logits = softmax.input(0)?;
    let mut mask = None;
    // The mask may be any tensor that broadcasts to the scores from fewer or equal dimensions.
    if let Some(add) = m.only_from(logits, "Add") {
        let (scores, other) = m.split(add, |id| scaled_product(m, id).is_some())?;
        (logits, mask) = (scores, Some(other));
    }
    let (product, mut scale) = scaled_product(m, logits)?;
    let (q, q_scale) = unscaled(m, product.input(0)?);
    let (transposed, k_outer) = unscaled(m, product.input(1)?);
    let transpose = m.only_from(transposed, "Transpose")?;
    let (k, k_inner) = unscaled(m, transpose.input(0)?);
    scale *= q_scale * k_outer * k_inner;

    let order: &[usize] = match transpose.attrs.ints("perm")? {
        [0, 1, 3, 2] => &[0, 1, 2, 3],
        [0, 2, 3, 1] => &[0, 2, 1, 3],
        _ => return None,
    };
    let (qs, source, vs) = (m.shape(q)?, m.shape(k)?, m.shape(v)?);
    if source.len() != 4 {
        return None;
    }
    let ks: Vec<usize> = order.iter().map(|&i| source[i]).collect();
    let ks = ks.as_slice();
    if [qs, ks, vs].iter().any(|s| s.len() != 4) || qs[..2] != ks[..2] || ks[..3] != vs[..3] || qs[3] != ks[3] {
        return None;
    }
    let mut attrs = Attrs::default();
    attrs.set("scale", Attr::Float(scale));
    if let Some(mask) = mask
        && (m.shape(mask)?.len() > 4 || m.shape(mask)?.last() != ks.get(2) || !m.is_f32(mask))
    {
        return None;
    }
    let k = match order {
        [0, 1, 2, 3] => k,
        _ => {
            let mut perm = Attrs::default();
            perm.set("perm", Attr::Ints(vec![0, 2, 1, 3]));
            edit.node(transpose.name.clone(), "Transpose", k, perm, TensorType::new(DType::F32, ks))
        }
    };
    let mut inputs = vec![Some(q), Some(k), Some(v)];
    inputs.extend(mask.map(Some));
    Some(m.replacement(root, "Attention", inputs, attrs))
}

/// The matrix product behind optional multiplications and divisions by constants, and their joint factor.
fn scaled_product<'a>(m: &Matcher<'a>, id: ValueId) -> Option<(&'a Node, f32)> {
    let (id, scale) = unscaled(m, id);
    m.only_from(id, "MatMul").map(|node| (node, scale))
}

/// Strips multiplications and divisions by a constant scalar that nothing else uses.
fn unscaled(m: &Matcher, mut id: ValueId) -> (ValueId, f32) {
    let mut scale = 1.0;
    loop {
        if let Some(mul) = m.only_from(id, "Mul")
            && let Some((factor, rest)) = m.split(mul, |v| m.scalar(v).is_some())
            && let Some(value) = m.scalar(factor)
            && m.shape(rest) == m.shape(id)
        {
            scale *= value;
            id = rest;
        } else if let Some(div) = m.only_from(id, "Div")
            && let (Some(rest), Some(divisor)) = (div.input(0), div.input(1))
            && let Some(value) = m.scalar(divisor)
            && m.shape(rest) == m.shape(id)
        {
            scale /= value;
            id = rest;
        } else {
            return (id, scale);
        }
    }
}
