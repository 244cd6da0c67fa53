//! Binds a graph to concrete input shapes: infers every type, evaluates whatever is constant, finds which inputs the
//! shapes depend on by value.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::cpu::{self, Arg, Call, Threads};
use crate::graph::{Graph, Node, TypedGraph, ValueId, Weight};
use crate::ops::{self, Infer};
use crate::tensor::{Tensor, TensorType, order};
use crate::{Error, Result};

/// A constant larger than this is not folded unless a shape depends on it: computing it again costs less than keeping it.
const FOLD_BYTES: usize = 16 << 20;

pub enum Outcome {
    Done(TypedGraph),
    /// Shapes depend on the values of these inputs: call again with them bound.
    Needs(BTreeSet<ValueId>),
}

/// `input_types` in the order of `graph.inputs`; `bound` gives inputs by value. `limit` bounds each tensor in bytes.
pub fn specialize(
    graph: &Graph,
    input_types: &[TensorType],
    bound: &BTreeMap<ValueId, Tensor>,
    threads: &Threads,
    limit: usize,
) -> Result<Outcome> {
    let mut typed = TypedGraph { graph: graph.clone(), types: vec![None; graph.values.len()] };
    for (&id, ty) in graph.inputs.iter().zip(input_types) {
        typed.types[id.0 as usize] = Some(ty.clone());
    }
    for (&id, weight) in &graph.weights {
        typed.types[id.0 as usize] = Some(weight.ty());
    }
    typed.prune();
    for (&id, tensor) in bound {
        typed.graph.weights.insert(id, Weight::Dense(tensor.clone()));
    }

    let mut force: HashSet<ValueId> = HashSet::new();
    loop {
        match pass(typed.clone(), threads, limit, &force)? {
            Pass::Done(mut done) => {
                done.prune();
                return Ok(Outcome::Done(done));
            }
            Pass::Needs(value) => {
                let (inputs, computed) = ancestors(&typed.graph, value);
                let mut free = BTreeSet::new();
                free.extend(inputs.into_iter().filter(|id| !bound.contains_key(id)));
                if !free.is_empty() {
                    return Ok(Outcome::Needs(free));
                }
                // Everything behind the value is constant, yet it was too large to fold: fold it all the same.
                if computed.is_subset(&force) {
                    return Err(Error::Unsupported(format!(
                        "a shape depends on `{}`, which cannot be evaluated ahead",
                        typed.graph.value(value).name
                    )));
                }
                force.extend(computed);
            }
        }
    }
}

enum Pass {
    Done(TypedGraph),
    Needs(ValueId),
}

fn pass(mut typed: TypedGraph, threads: &Threads, limit: usize, force: &HashSet<ValueId>) -> Result<Pass> {
    let nodes = std::mem::take(&mut typed.graph.nodes);
    for mut node in nodes {
        let infer = ops::find(&node.op).ok_or_else(|| Error::UnknownOperator(node.op.clone()))?;
        let types = match infer(&Infer::of(&typed, &node)) {
            Ok(types) => types,
            Err(Error::NeedsValue { operator, input }) => match node.input(input) {
                Some(id) => return Ok(Pass::Needs(id)),
                None => return Err(Error::NeedsValue { operator, input }),
            },
            Err(other) => return Err(other),
        };
        if types.len() < node.outputs.len() {
            return Err(node.error(format!("has {} outputs, but defines {}", node.outputs.len(), types.len())));
        }
        let inputs = node.inputs.iter().flatten().filter_map(|&id| typed.ty(id));
        if let Some(ty) = inputs.chain(&types).find(|ty| !ty.dtype.is_supported()) {
            return Err(Error::Unsupported(format!("operator {} of {} in this build", node.op, ty.dtype.name())));
        }
        for ty in &types {
            if ty.bytes() > limit {
                return Err(Error::OutOfMemory(format!(
                    "operator {} `{}` computes a tensor of shape {:?}, {} MiB; the limit is {} MiB",
                    node.op,
                    node.name,
                    ty.shape,
                    ty.bytes() >> 20,
                    limit >> 20
                )));
            }
        }
        name_outputs(&mut typed, &mut node, &types);

        let small = types.iter().map(TensorType::bytes).sum::<usize>() <= FOLD_BYTES;
        let forced = node.outputs.iter().flatten().any(|id| force.contains(id));
        let constant = node.inputs.iter().flatten().all(|&id| typed.constant(id).is_some());
        let outputs = match node.op.as_str() {
            "Shape" | "Size" => Some(shape_of(&typed, &node, &types)?),
            _ if constant && (small || forced) => Some(evaluate(&typed, &node, &types, threads)?),
            _ => None,
        };
        match outputs {
            Some(tensors) => {
                for (id, tensor) in node.outputs.iter().zip(tensors) {
                    if let Some(id) = id {
                        typed.graph.weights.insert(*id, Weight::Dense(tensor));
                    }
                }
            }
            None => typed.graph.nodes.push(node),
        }
    }
    Ok(Pass::Done(typed))
}

/// Gives left-out outputs a value, so that every output of a node has a type and a place.
fn name_outputs(typed: &mut TypedGraph, node: &mut Node, types: &[TensorType]) {
    for (output, ty) in node.outputs.iter_mut().zip(types) {
        let id = *output.get_or_insert_with(|| {
            typed.types.push(None);
            typed.graph.add_value(format!("{}:unused", node.name))
        });
        typed.types[id.0 as usize] = Some(ty.clone());
    }
}

/// `Shape` and `Size` need their input's type only.
fn shape_of(typed: &TypedGraph, node: &Node, types: &[TensorType]) -> Result<Vec<Tensor>> {
    let input = node.input(0).and_then(|id| typed.ty(id)).ok_or_else(|| node.error("input 0 is missing"))?;
    if node.op == "Size" {
        return Ok(vec![Tensor::scalar(input.len() as i64)]);
    }
    let rank = input.shape.len() as i64;
    let clamp = |v: i64| (if v < 0 { v + rank } else { v }).clamp(0, rank) as usize;
    let start = clamp(node.attrs.int_or("start", 0));
    let end = clamp(node.attrs.int_or("end", rank)).max(start);
    let dims: Vec<i64> = input.shape[start..end].iter().map(|&d| d as i64).collect();
    Ok(vec![Tensor::new(types[0].shape.clone(), &dims)?])
}

/// Runs a node's CPU kernel on constants.
pub fn evaluate(typed: &TypedGraph, node: &Node, types: &[TensorType], threads: &Threads) -> Result<Vec<Tensor>> {
    let kernel = cpu::find(&node.op).ok_or_else(|| Error::UnknownOperator(node.op.clone()))?;
    let inputs: Vec<Option<Arg>> =
        node.inputs.iter().map(|id| id.and_then(|id| typed.constant(id)).map(|t| Arg::Dense(t.view()))).collect();
    let mut outputs = types.iter().take(node.outputs.len()).cloned().map(Tensor::zeros).collect::<Result<Vec<_>>>()?;
    let mut views: Vec<_> = outputs.iter_mut().map(Tensor::view_mut).collect();
    (kernel.run)(&mut Call { node, inputs: &inputs, outputs: &mut views, prepared: None, threads })?;
    Ok(outputs)
}

/// Graph inputs that `value` depends on, and the computed values in between (itself included).
fn ancestors(graph: &Graph, value: ValueId) -> (HashSet<ValueId>, HashSet<ValueId>) {
    let producers: HashMap<ValueId, &Node> =
        graph.nodes.iter().flat_map(|n| n.outputs.iter().flatten().map(move |&v| (v, n))).collect();
    let inputs: HashSet<ValueId> = graph.inputs.iter().copied().collect();
    let (mut found, mut computed) = (HashSet::new(), HashSet::new());
    let mut todo = vec![value];
    while let Some(id) = todo.pop() {
        if inputs.contains(&id) {
            found.insert(id);
        } else if let Some(node) = producers.get(&id)
            && computed.insert(id)
            // The shape of a tensor is known without its values.
            && !matches!(node.op.as_str(), "Shape" | "Size")
        {
            todo.extend(node.inputs.iter().flatten());
        }
    }
    (found, computed)
}

/// Few-bit weights whose users have no few-bit kernel become f32; returns their names.
pub fn densify(typed: &mut TypedGraph, accepts: impl Fn(&str, usize) -> bool) -> Result<Vec<String>> {
    let mut dense: HashMap<ValueId, Tensor> = HashMap::new();
    for node in &typed.graph.nodes {
        for (i, id) in node.inputs.iter().enumerate() {
            if let Some(id) = id
                && let Some(Weight::Encoded(encoded)) = typed.graph.weights.get(id)
                && !accepts(&node.op, i)
                && !dense.contains_key(id)
            {
                dense.insert(*id, Arc::clone(encoded).to_dense()?);
            }
        }
    }
    let mut names = Vec::new();
    for (id, tensor) in dense {
        names.push(typed.graph.value(id).name.clone());
        typed.graph.weights.insert(id, Weight::Dense(tensor));
    }
    order::sort(&mut names, &|a, b| a.cmp(b));
    Ok(names)
}
