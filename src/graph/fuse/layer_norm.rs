//! `(x − mean) / √(mean((x − mean)²) + ε) · weight + bias` over the last axis → `LayerNormalization`.

use super::{Edit, Matcher};
use crate::graph::{Attr, Attrs, Node, ValueId};

pub fn layer_norm(m: &Matcher, index: usize, _: &mut Edit) -> Option<Node> {
    let root = m.node(index);
    if root.op != "Add" {
        return None;
    }
    let width = *m.shape((*root.outputs.first()?)?)?.last()?;
    let is_row = |v: ValueId| m.floats(v).is_some() && m.shape(v) == Some(&[width][..]);
    let (bias, scaled) = m.split(root, is_row)?;
    let (weight, normalised) = m.split(m.only_from(scaled, "Mul")?, is_row)?;
    let (x, epsilon) = normalised_input(m, normalised)?;

    let mut attrs = Attrs::default();
    attrs.set("axis", Attr::Int(-1));
    attrs.set("epsilon", Attr::Float(epsilon));
    Some(m.replacement(root, "LayerNormalization", vec![Some(x), Some(weight), Some(bias)], attrs))
}

/// `(x, ε)` of `(x − mean) / √(mean((x − mean)²) + ε)`.
fn normalised_input(m: &Matcher, id: ValueId) -> Option<(ValueId, f32)> {
    let div = m.only_from(id, "Div")?;
    let centred = div.input(0)?;
    let x = centred_input(m, centred)?;

    let sum = m.only_from(m.only_from(div.input(1)?, "Sqrt")?.input(0)?, "Add")?;
    let (epsilon, variance) = m.split(sum, |v| m.scalar(v).is_some())?;
    let squares = m.only_from(variance, "ReduceMean").filter(|n| over_last_axis(m, n))?.input(0)?;
    let squared = match m.only_from(squares, "Pow") {
        Some(pow) => m.is_scalar(pow.input(1)?, 2.0).then_some(pow.input(0)?)?,
        None => {
            let mul = m.only_from(squares, "Mul")?;
            (mul.input(0) == mul.input(1)).then_some(mul.input(0)?)?
        }
    };
    // Exporters sometimes compute the difference twice.
    let same = squared == centred || centred_input(m, squared) == Some(x);
    same.then_some((x, m.scalar(epsilon)?))
}

/// `x` of `x − mean(x)`.
fn centred_input(m: &Matcher, id: ValueId) -> Option<ValueId> {
    let sub = m.made_by(id, "Sub")?;
    let mean = m.made_by(sub.input(1)?, "ReduceMean").filter(|n| over_last_axis(m, n))?;
    (mean.input(0) == sub.input(0)).then_some(sub.input(0)?)
}

fn over_last_axis(m: &Matcher, reduce: &Node) -> bool {
    let rank = reduce.input(0).and_then(|x| m.shape(x)).map_or(0, <[usize]>::len) as i64;
    let axes = reduce.input(1).and_then(|a| m.typed.constant(a)).and_then(|t| t.to_i64().ok());
    reduce.attrs.int_or("keepdims", 1) == 1 && axes.is_some_and(|a| a == [-1] || a == [rank - 1])
}
