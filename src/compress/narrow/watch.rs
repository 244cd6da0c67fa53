//! What sample data shows of channels and of the blocks around them.

use std::collections::{BTreeMap, BTreeSet};

use super::group::{Group, Links};
use super::slice::sizes;
use crate::Result;
use crate::compress::calibrate::{Sample, named};
use crate::graph::{Graph, Model, ValueId, Weight};
use crate::runtime::{Device, Session};
use crate::tensor::Tensor;

/// Nodes between the layer that reads the channels and the sum that ends its block, at most.
const REACH: usize = 16;

/// Of one group.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// ‖x‖ of each channel, as the first reader sees it.
    pub norms: Option<Vec<f64>>,
    /// Between input and output of the residual block around the channels, as a share of π, mean over all positions.
    pub angle: Option<f64>,
}

/// Sums of one group, over samples.
struct Sums {
    squares: Vec<f64>,
    angles: f64,
    positions: usize,
}

/// Runs the model on each sample; `done` is called after each.
pub fn watch(
    model: &Model,
    groups: &[Group],
    samples: &[Sample],
    device: &Device,
    mut done: impl FnMut(),
) -> Result<Vec<Seen>> {
    let links = Links::of(&model.graph);
    let blocks: Vec<Option<[ValueId; 2]>> = groups.iter().map(|group| block(&model.graph, &links, group)).collect();
    let read = |group: &Group| group.readers.first().and_then(|part| model.graph.nodes[part.node].input(0));
    let wanted = groups.iter().filter_map(read).chain(blocks.iter().flatten().flatten().copied());
    let wanted: BTreeSet<ValueId> = wanted.filter(|id| !model.graph.inputs.contains(id)).collect();
    let mut spied = model.clone();
    spied.graph.outputs = wanted.into_iter().collect();
    let mut session = Session::new(&spied, device)?;
    let empty = |group: &Group| Sums { squares: vec![0.0; group.count], angles: 0.0, positions: 0 };
    let mut sums: Vec<Sums> = groups.iter().map(empty).collect();
    for sample in samples {
        let outputs = session.run(&named(model, sample))?;
        let mut values: BTreeMap<ValueId, &Tensor> =
            spied.graph.outputs.iter().copied().zip(outputs.iter().map(|(_, tensor)| tensor)).collect();
        values.extend(model.graph.inputs.iter().copied().zip(sample));
        for ((group, block), sums) in groups.iter().zip(&blocks).zip(&mut sums) {
            if let Some(x) = read(group).and_then(|id| values.get(&id)) {
                add_squares(&model.graph, group, x, &mut sums.squares)?;
            }
            if let Some([before, after]) = block
                && let (Some(before), Some(after)) = (values.get(before), values.get(after))
            {
                add_angles(before, after, axis(&model.graph, group), sums)?;
            }
        }
        done();
    }
    let seen = |sums: Sums| Seen {
        norms: Some(sums.squares.iter().map(|s| s.sqrt()).collect()),
        angle: (sums.positions > 0).then(|| sums.angles / sums.positions as f64),
    };
    Ok(sums.into_iter().map(seen).collect())
}

/// Input and output of the residual block that ends with the sum behind the group's last reader.
fn block(graph: &Graph, links: &Links, group: &Group) -> Option<[ValueId; 2]> {
    let last = group.readers.iter().map(|part| part.node).max()?;
    let mut value = (*graph.nodes[last].outputs.first()?)?;
    for _ in 0..REACH {
        let &[user] = links.users(value) else { return None };
        let node = &graph.nodes[user];
        let output = (*node.outputs.first()?)?;
        let other = node.inputs.iter().flatten().copied().find(|&id| id != value);
        match other.filter(|id| node.op == "Add" && !graph.weights.contains_key(id)) {
            Some(input) => return Some([input, output]),
            None => value = output,
        }
    }
    None
}

/// The axis that the channels of the group's readers lie along: 1 of planes, else the last.
fn axis(graph: &Graph, group: &Group) -> Option<usize> {
    let node = &graph.nodes[group.readers.first()?.node];
    matches!(node.op.as_str(), "Conv" | "ConvTranspose").then_some(1)
}

fn add_squares(graph: &Graph, group: &Group, x: &Tensor, squares: &mut [f64]) -> Result<()> {
    let Some(part) = group.readers.first() else { return Ok(()) };
    let planes = axis(graph, group);
    let shape = x.shape();
    let inner = match planes {
        Some(axis) => shape[(axis + 1).min(shape.len())..].iter().product(),
        None => {
            let weight = graph.nodes[part.node].input(part.input).and_then(|id| graph.weights.get(&id)).map(Weight::ty);
            weight.map_or(Ok(1), |ty| sizes(&ty.shape, part, group.count).map(|[_, inner, _]| inner))?
        }
    };
    for (i, run) in x.slice::<f32>()?.chunks_exact(inner.max(1)).enumerate() {
        squares[i % group.count] += run.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
    }
    Ok(())
}

/// Angles between the vectors of two values along an axis, or the last.
fn add_angles(before: &Tensor, after: &Tensor, axis: Option<usize>, sums: &mut Sums) -> Result<()> {
    let shape = before.shape();
    if shape != after.shape() || shape.is_empty() {
        return Ok(());
    }
    let axis = axis.unwrap_or(shape.len() - 1).min(shape.len() - 1);
    let (size, step) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
    let (before, after) = (before.slice::<f32>()?, after.slice::<f32>()?);
    for (a, b) in before.chunks_exact((size * step).max(1)).zip(after.chunks_exact((size * step).max(1))) {
        for at in 0..step {
            let (mut dot, mut aa, mut bb) = (0f64, 0f64, 0f64);
            for (&a, &b) in a[at..].iter().step_by(step).zip(b[at..].iter().step_by(step)) {
                let (a, b) = (f64::from(a), f64::from(b));
                (dot, aa, bb) = (dot + a * b, aa + a * a, bb + b * b);
            }
            if aa > 0.0 && bb > 0.0 {
                sums.angles += (dot / (aa * bb).sqrt()).clamp(-1.0, 1.0).acos() / std::f64::consts::PI;
                sums.positions += 1;
            }
        }
    }
    Ok(())
}
