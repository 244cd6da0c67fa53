//! Activations spelt out in elementary operators: GELU, hard-swish, SiLU.

use super::{Edit, Matcher};
use crate::graph::{Attr, Attrs, Node, ValueId};

/// `0.5 · x · (1 + erf(x / √2))` in any order of its factors → `Gelu`.
pub fn gelu(m: &Matcher, index: usize, _: &mut Edit) -> Option<Node> {
    let root = m.node(index);
    if root.op != "Mul" {
        return None;
    }
    // Collect the factors of the product tree: x, the sum 1 + erf, and one half.
    let mut factors = Vec::new();
    let mut todo = vec![root.input(0)?, root.input(1)?];
    while let Some(id) = todo.pop() {
        match m.only_from(id, "Mul") {
            Some(mul) if factors.len() + todo.len() < 3 => todo.extend([mul.input(0)?, mul.input(1)?]),
            _ => factors.push(id),
        }
    }
    let half = factors.iter().position(|&f| m.is_scalar(f, 0.5))?;
    factors.remove(half);
    let [a, b] = factors.try_into().ok()?;
    let x = if let Some(x) = one_plus_erf(m, b).filter(|&x| x == a) {
        x
    } else {
        one_plus_erf(m, a).filter(|&x| x == b)?
    };
    Some(m.replacement(root, "Gelu", vec![Some(x)], Attrs::default()))
}

/// `x` of `1 + erf(x / √2)`.
fn one_plus_erf(m: &Matcher, id: ValueId) -> Option<ValueId> {
    let add = m.only_from(id, "Add")?;
    let (_, erf) = m.split(add, |v| m.is_scalar(v, 1.0))?;
    let inner = m.only_from(erf, "Erf")?.input(0)?;
    if let Some(div) = m.only_from(inner, "Div") {
        return m.is_scalar(div.input(1)?, std::f32::consts::SQRT_2).then_some(div.input(0)?);
    }
    let mul = m.only_from(inner, "Mul")?;
    m.split(mul, |v| m.is_scalar(v, std::f32::consts::FRAC_1_SQRT_2)).map(|(_, x)| x)
}

/// `x · clip(x + 3, 0, 6) / 6` or `x · hard_sigmoid(x; 1/6, 1/2)` → `HardSwish`.
pub fn hard_swish(m: &Matcher, index: usize, _: &mut Edit) -> Option<Node> {
    let root = m.node(index);
    let x = match root.op.as_str() {
        "Div" if m.is_scalar(root.input(1)?, 6.0) => gated_by(m, m.only_from(root.input(0)?, "Mul")?, relu6_of_plus_3),
        "Mul" => gated_by(m, root, |m, id| {
            let gate = m.only_from(id, "HardSigmoid")?;
            let sixth = (gate.attrs.float_or("alpha", 0.2) - 1.0 / 6.0).abs() < 1e-6;
            (sixth && gate.attrs.float_or("beta", 0.5) == 0.5).then_some(gate.input(0)?)
        })
        .or_else(|| {
            gated_by(m, root, |m, id| {
                let div = m.only_from(id, "Div")?;
                if m.is_scalar(div.input(1)?, 6.0) { relu6_of_plus_3(m, div.input(0)?) } else { None }
            })
        }),
        _ => None,
    }?;
    Some(m.replacement(root, "HardSwish", vec![Some(x)], Attrs::default()))
}

fn relu6_of_plus_3(m: &Matcher, id: ValueId) -> Option<ValueId> {
    let clip = m.only_from(id, "Clip")?;
    if !(m.is_scalar(clip.input(1)?, 0.0) && m.is_scalar(clip.input(2)?, 6.0)) {
        return None;
    }
    let add = m.only_from(clip.input(0)?, "Add")?;
    m.split(add, |v| m.is_scalar(v, 3.0)).map(|(_, x)| x)
}

/// `x · sigmoid(x)` → `Swish`.
pub fn silu(m: &Matcher, index: usize, _: &mut Edit) -> Option<Node> {
    let root = m.node(index);
    if root.op != "Mul" {
        return None;
    }
    let x = gated_by(m, root, |m, id| m.only_from(id, "Sigmoid")?.input(0))?;
    let mut attrs = Attrs::default();
    attrs.set("alpha", Attr::Float(1.0));
    Some(m.replacement(root, "Swish", vec![Some(x)], attrs))
}

/// `x` of `x · gate(x)`, either way round.
fn gated_by(m: &Matcher, mul: &Node, gate: impl Fn(&Matcher, ValueId) -> Option<ValueId>) -> Option<ValueId> {
    let (a, b) = (mul.input(0)?, mul.input(1)?);
    gate(m, a).filter(|&x| x == b).or_else(|| gate(m, b).filter(|&x| x == a))
}
