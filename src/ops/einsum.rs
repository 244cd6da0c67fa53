//! Einsum: the equation as strides of every operand along every label.

use super::{InferFn, params};
use crate::Result;
use crate::graph::Node;
use crate::tensor::{Shape, order, strides};

pub const OPS: &[(&str, InferFn)] = &[("Einsum", |i| {
    let shapes = (0..i.node.inputs.len()).map(|k| i.shape(k)).collect::<Result<Vec<_>>>()?;
    let dtype = i.dtype(0)?;
    if i.types.iter().flatten().any(|t| t.dtype != dtype) {
        return Err(i.node.error("operands must have one type"));
    }
    let plan = Plan::new(i.node, &shapes)?;
    let out: Shape = plan.sizes[..plan.rank].to_vec();
    params::product(i.node, &out)?;
    i.one(dtype, out)
})];

/// Labels in the order of the output's axes, then those summed over.
pub struct Plan {
    pub sizes: Vec<usize>,
    /// Axes of the output.
    pub rank: usize,
    /// Per operand: elements between neighbours along each label (0 where it does not occur or is broadcast).
    pub strides: Vec<Vec<usize>>,
}

/// A label: a letter, or the nth axis from the end that an ellipsis stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Ellipsis(usize),
    Letter(char),
}

impl Plan {
    pub fn new(node: &Node, shapes: &[&[usize]]) -> Result<Self> {
        let equation = node.attrs.string_or("equation", "").replace(' ', "");
        let bad = || node.error(format!("equation `{equation}` for shapes {shapes:?}"));
        let (left, right) = match equation.split_once("->") {
            Some((left, right)) => (left, Some(right)),
            None => (&equation[..], None),
        };
        let terms: Vec<&str> = left.split(',').collect();
        if terms.len() != shapes.len() {
            return Err(bad());
        }
        let mut widest = 0;
        let mut operands = Vec::new();
        for (term, shape) in terms.iter().zip(shapes) {
            let letters = term.replace("...", "").chars().count();
            let rest = shape.len().checked_sub(letters).ok_or_else(bad)?;
            let labels = labels(term, rest).filter(|l| l.len() == shape.len()).ok_or_else(bad)?;
            widest = widest.max(if term.contains("...") { rest } else { 0 });
            operands.push(labels);
        }
        let used = |l: Label| operands.iter().flatten().filter(|&&o| o == l).count();
        let mut order: Vec<Label> = match right {
            Some(right) => labels(right, widest).ok_or_else(bad)?,
            None => {
                // By default: the ellipsis, then letters that occur once, sorted.
                let mut once: Vec<Label> = operands
                    .iter()
                    .flatten()
                    .copied()
                    .filter(|&l| matches!(l, Label::Letter(_)) && used(l) == 1)
                    .collect();
                order::sort(&mut once, &Label::cmp);
                (0..widest).rev().map(Label::Ellipsis).chain(once).collect()
            }
        };
        let rank = order.len();
        let repeated = (0..rank).any(|i| order[..i].contains(&order[i]));
        if repeated || order.iter().any(|&l| used(l) == 0) {
            return Err(bad());
        }
        for &label in operands.iter().flatten() {
            if !order.contains(&label) {
                order.push(label);
            }
        }
        let mut sizes = vec![1; order.len()];
        let mut all = Vec::new();
        for (labels, shape) in operands.iter().zip(shapes) {
            let mut steps = vec![0; order.len()];
            for ((label, &d), step) in labels.iter().zip(*shape).zip(strides(shape)) {
                let Some(k) = order.iter().position(|l| l == label) else { return Err(bad()) };
                if d != 1 && sizes[k] != 1 && sizes[k] != d {
                    return Err(bad());
                }
                if d != 1 {
                    sizes[k] = d;
                    steps[k] += step;
                }
            }
            all.push(steps);
        }
        params::product(node, &sizes)?;
        Ok(Plan { sizes, rank, strides: all })
    }
}

/// The labels of a term whose ellipsis stands for `rest` axes; `None` if it is malformed.
fn labels(term: &str, rest: usize) -> Option<Vec<Label>> {
    let letters = |part: &str| part.chars().map(|c| c.is_ascii_alphabetic().then_some(Label::Letter(c))).collect();
    match term.split_once("...") {
        None => letters(term),
        Some((before, after)) => {
            let (before, after): (Option<Vec<Label>>, Option<Vec<Label>>) = (letters(before), letters(after));
            Some([before?, (0..rest).rev().map(Label::Ellipsis).collect(), after?].concat())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Attr;
    use crate::ops::testing::node;

    fn out(equation: &str, shapes: &[&[usize]]) -> Option<Shape> {
        let node = node("Einsum", &[("equation", Attr::String(equation.into()))], shapes.len(), 1);
        Plan::new(&node, shapes).ok().map(|p| p.sizes[..p.rank].to_vec())
    }

    #[test]
    fn output_shapes() {
        assert_eq!(out("ij,jk->ik", &[&[2, 3], &[3, 4]]).unwrap(), [2, 4]);
        assert_eq!(out("...ij,...jk", &[&[5, 2, 3], &[3, 4]]).unwrap(), [5, 2, 4]);
        assert_eq!(out("ii->i", &[&[3, 3]]).unwrap(), [3]);
        assert_eq!(out("b a", &[&[2, 3]]).unwrap(), [3, 2]);
        for (bad, shapes) in [
            ("ij,jk->ik", &[&[2usize, 3][..], &[4, 4]][..]),
            ("ij->k", &[&[2, 3]]),
            ("i->ii", &[&[2]]),
            ("i1", &[&[2, 3]]),
        ] {
            assert!(out(bad, shapes).is_none(), "{bad}");
        }
    }
}
