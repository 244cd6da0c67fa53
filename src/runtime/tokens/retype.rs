//! Types of a graph behind a change of its number of tokens.

use crate::graph::{Node, TypedGraph};
use crate::ops::{self, Infer};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Types of a node's outputs from those of its inputs. A `Reshape` to sizes that were written for another number of
/// tokens gets them written for this one: `before` is the shape its input had.
pub fn retype(typed: &mut TypedGraph, node: &mut Node, before: Option<&[usize]>) -> Result<()> {
    if node.op == "Reshape" {
        resize(typed, node, before)?;
    }
    let infer = ops::find(&node.op).ok_or_else(|| Error::UnknownOperator(node.op.clone()))?;
    let types = infer(&Infer::of(typed, node))?;
    for (id, ty) in node.outputs.iter().zip(types) {
        if let Some(id) = id {
            typed.types[id.0 as usize] = Some(ty);
        }
    }
    Ok(())
}

/// Replaces the target of a `Reshape` whose input changed along one axis.
fn resize(typed: &mut TypedGraph, node: &mut Node, before: Option<&[usize]>) -> Result<()> {
    let input = node.input(0).and_then(|id| typed.shape(id)).map(<[usize]>::to_vec).unwrap_or_default();
    let output = node.outputs[0].and_then(|id| typed.shape(id)).map(<[usize]>::to_vec).unwrap_or_default();
    let Some(before) = before.filter(|before| **before != *input) else { return Ok(()) };
    let mut changed = (0..input.len().min(before.len())).filter(|&i| input[i] != before[i]);
    let fits = input.len() == before.len();
    let (Some(axis), None, true) = (changed.next(), changed.next(), fits) else {
        return Err(node.error(format!("cannot follow tokens from {before:?} to {input:?}")));
    };
    // The axis of tokens keeps what lies before it, and its own size.
    let outer: usize = before[..axis].iter().product();
    let place =
        (0..output.len()).find(|&i| output[..i].iter().product::<usize>() == outer && output[i] == before[axis]);
    let Some(place) = place else {
        return Err(node.error(format!("cannot follow {} tokens through {before:?} → {output:?}", before[axis])));
    };
    let mut target: Vec<i64> = output.iter().map(|&n| n as i64).collect();
    target[place] = input[axis] as i64;
    let id = typed.add_constant(format!("{}.sizes", node.name), Tensor::new([target.len()], &target)?);
    node.inputs[1] = Some(id);
    node.attrs.0.remove("allowzero");
    Ok(())
}
