//! Symbolic shapes of a graph's outputs, e.g. `[batch, 1, height/4, width/4]`.
//!
//! Shape functions are exact for concrete sizes, and shape arithmetic folds to constants, so nothing needs a second,
//! symbolic set of rules: the graph is specialised at several bindings of its symbols, and each output dimension is
//! fitted by a product or a sum of them, checked at a binding that the fit has not seen.

use std::collections::BTreeMap;

use super::specialize::{Outcome, specialize};
use crate::cpu::Threads;
use crate::graph::{Dim, Graph};
use crate::tensor::{DType, TensorType};
use crate::{Error, Result};

/// Symbols are bound to multiples of this, which suits strides of up to 32.
const STEP: usize = 32;

/// Name, dtype and dimensions of each graph output; a dimension that fits no formula reads `?`.
pub fn output_shapes(graph: &Graph, threads: &Threads, limit: usize) -> Result<Vec<(String, DType, Vec<String>)>> {
    let symbols = symbols(graph);
    let base: Vec<usize> = (0..symbols.len()).map(|i| STEP * (i + 2)).collect();
    let at = |sizes: &[usize]| types_at(graph, &symbols, sizes, threads, limit);

    let origin = at(&base)?;
    let mut along = Vec::new();
    for i in 0..symbols.len() {
        let mut sizes = base.clone();
        sizes[i] += STEP;
        along.push(at(&sizes)?);
    }
    let unseen: Vec<usize> = base.iter().enumerate().map(|(i, b)| b + STEP * (i + 1)).collect();
    let check = at(&unseen)?;

    let outputs = graph.outputs.iter().enumerate();
    Ok(outputs
        .map(|(o, &id)| {
            let ty = &origin[o];
            let dims = ty.shape.iter().enumerate().map(|(d, &size)| {
                let steps: Vec<usize> = along.iter().map(|t| t[o].shape.get(d).copied().unwrap_or(0)).collect();
                let seen = check[o].shape.get(d).copied().unwrap_or(0);
                formula(&symbols, &base, size, &steps, &unseen, seen).unwrap_or_else(|| "?".into())
            });
            (graph.value(id).name.clone(), ty.dtype, dims.collect())
        })
        .collect())
}

fn symbols(graph: &Graph) -> Vec<String> {
    let mut names = Vec::new();
    for dim in graph.inputs.iter().filter_map(|&id| graph.value(id).dims.as_ref()).flatten() {
        if let Dim::Symbol(name) = dim
            && !names.contains(name)
        {
            names.push(name.clone());
        }
    }
    names
}

fn types_at(
    graph: &Graph,
    symbols: &[String],
    sizes: &[usize],
    threads: &Threads,
    limit: usize,
) -> Result<Vec<TensorType>> {
    let mut bound: BTreeMap<&str, usize> = BTreeMap::new();
    bound.extend(symbols.iter().map(String::as_str).zip(sizes.iter().copied()));
    let mut types = Vec::new();
    for &id in &graph.inputs {
        let value = graph.value(id);
        let (Some(dtype), Some(dims)) = (value.dtype, &value.dims) else {
            return Err(Error::Unsupported(format!("input `{}` does not declare its type", value.name)));
        };
        let size = |d: &Dim| match d {
            Dim::Known(n) => *n,
            Dim::Symbol(s) => bound.get(s.as_str()).copied().unwrap_or(1),
        };
        types.push(TensorType::new(dtype, dims.iter().map(size).collect::<Vec<_>>()));
    }
    match specialize(graph, &types, &BTreeMap::new(), threads, limit)? {
        Outcome::Done(typed) => graph
            .outputs
            .iter()
            .map(|&id| typed.ty(id).cloned().ok_or_else(|| Error::Unsupported("an output has no type".into())))
            .collect(),
        Outcome::Needs(_) => Err(Error::Unsupported("the output shapes depend on the inputs' values".into())),
    }
}

/// The formula of one dimension: `size` at `base`, `steps[i]` with symbol `i` one step further, `seen` at `unseen`.
fn formula(
    symbols: &[String],
    base: &[usize],
    size: usize,
    steps: &[usize],
    unseen: &[usize],
    seen: usize,
) -> Option<String> {
    let slopes: Vec<i64> = steps.iter().map(|&s| s as i64 - size as i64).collect();
    let involved: Vec<usize> = (0..symbols.len()).filter(|&i| slopes[i] != 0).collect();
    if involved.is_empty() {
        return (seen == size).then(|| size.to_string());
    }
    // A product c · Π s: every involved symbol scales the dimension in proportion.
    let product: usize = involved.iter().map(|&i| base[i]).product();
    let fits = |sizes: &[usize]| (size * involved.iter().map(|&i| sizes[i]).product::<usize>()).is_multiple_of(product);
    if involved.len() > 1
        && fits(unseen)
        && size * involved.iter().map(|&i| unseen[i]).product::<usize>() / product == seen
    {
        let names: Vec<&str> = involved.iter().map(|&i| symbols[i].as_str()).collect();
        return Some(ratio(&names.join("*"), size as i64, product as i64));
    }
    // A sum a + Σ bᵢ · sᵢ with bᵢ = slope / STEP.
    let step = STEP as i64;
    let total: i64 = involved.iter().map(|&i| slopes[i] * base[i] as i64 / step).sum();
    let predicted: i64 =
        size as i64 + involved.iter().map(|&i| slopes[i] * (unseen[i] - base[i]) as i64 / step).sum::<i64>();
    if predicted != seen as i64 {
        return None;
    }
    let terms: Vec<String> = involved.iter().map(|&i| ratio(&symbols[i], slopes[i], step)).collect();
    let constant = size as i64 - total;
    Some(match constant {
        0 => terms.join("+"),
        c => format!("{}{c:+}", terms.join("+")),
    })
}

/// `name · up / down` in lowest terms.
fn ratio(name: &str, up: i64, down: i64) -> String {
    let gcd = gcd(up.unsigned_abs(), down.unsigned_abs()).max(1) as i64;
    match (up / gcd, down / gcd) {
        (1, 1) => name.to_string(),
        (1, d) => format!("{name}/{d}"),
        (u, 1) => format!("{u}*{name}"),
        (u, d) => format!("{u}*{name}/{d}"),
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_found_and_checked() {
        let names = ["n".to_string(), "h".to_string()];
        let (base, unseen) = ([64, 96], [96, 160]);
        let fit = |f: fn(usize, usize) -> usize| {
            formula(&names, &base, f(64, 96), &[f(96, 96), f(64, 128)], &unseen, f(96, 160))
        };
        assert_eq!(fit(|_, _| 7).unwrap(), "7");
        assert_eq!(fit(|n, _| n).unwrap(), "n");
        assert_eq!(fit(|_, h| h / 4).unwrap(), "h/4");
        assert_eq!(fit(|_, h| h / 2 + 1).unwrap(), "h/2+1");
        assert_eq!(fit(|n, h| n * h / 8).unwrap(), "n*h/8");
        assert_eq!(fit(|n, h| n + 2 * h).unwrap(), "n+2*h");
        assert_eq!(fit(|_, h| h * h), None);
    }
}
