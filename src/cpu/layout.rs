//! Channels last. Where convolutions follow each other, their values are laid out `[batch, height, width, channels]`:
//! a 1×1 convolution then reads its rows in place, a depthwise one reads whole vectors of channels at every pixel,
//! whatever its stride and border, and the bias is a vector.
//!
//! Types keep the logical order `[batch, channels, …]`. A node that reads or writes channels last gets a name that no
//! file can use, as it has no shape function: `fewbit.Conv` (with `input_last`, `output_last`) and
//! `fewbit.GlobalAveragePool`.

use std::collections::HashSet;

use crate::graph::{Attr, Node, TypedGraph, ValueId};
use crate::ops::conv::{ConvAxis, ConvShape};
use crate::tensor::DType;

/// Depth up to which a convolution of several taps reads channels first and writes them last.
const MAX_DEPTH: usize = 512;

/// How a Conv can be computed with channels last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A product per pixel: either side in either order.
    Pointwise,
    /// Both sides last.
    Depthwise,
    /// Several taps of few channels: only the output last.
    Spread,
}

/// The form of a convolution over two axes, if it has one.
pub fn form(shape: &ConvShape) -> Option<Form> {
    let [h, w] = shape.axes[..] else { return None };
    if shape.groups == shape.in_channels && shape.groups == shape.out_channels && shape.groups > 1 {
        return Some(Form::Depthwise);
    }
    let single = |a: ConvAxis| a.kernel == 1 && a.stride == 1 && a.pad == 0 && a.input == a.output;
    match shape.groups {
        1 if single(h) && single(w) => Some(Form::Pointwise),
        1 if (1..=MAX_DEPTH).contains(&shape.group_size().1) && modest(h) && modest(w) => Some(Form::Spread),
        _ => None,
    }
}

/// Whether an axis with its borders is hardly longer than without: `Form::Spread` copies it.
fn modest(axis: ConvAxis) -> bool {
    let reach = |n: usize, distance: usize| n.saturating_sub(1).saturating_mul(distance);
    reach(axis.output, axis.stride).saturating_add(reach(axis.kernel, axis.dilation)) <= 2 * axis.input + 16
}

/// Whether input and output of a Conv lie channels last.
pub fn of(node: &Node) -> (bool, bool) {
    let own = node.op == "fewbit.Conv";
    (own && node.attrs.flag("input_last"), own && node.attrs.flag("output_last"))
}

/// Renames the nodes that compute on channels last.
pub fn channels_last(typed: &mut TypedGraph) {
    let forms: Vec<_> = typed.graph.nodes.iter().map(|node| node_form(typed, node)).collect();
    let last = last_values(typed, &forms);
    for (node, form) in typed.graph.nodes.iter_mut().zip(forms) {
        let is_last = |id: Option<&Option<ValueId>>| id.copied().flatten().is_some_and(|id| last.contains(&id));
        let (input, output) = (is_last(node.inputs.first()), is_last(node.outputs.first()));
        if form.is_some() && (input || output) {
            node.op = "fewbit.Conv".into();
            node.attrs.set("input_last", Attr::Int(input.into()));
            node.attrs.set("output_last", Attr::Int(output.into()));
        } else if node.op == "GlobalAveragePool" && input {
            node.op = "fewbit.GlobalAveragePool".into();
        }
    }
}

fn node_form(typed: &TypedGraph, node: &Node) -> Option<Form> {
    let input = |i: usize| node.inputs.get(i).copied().flatten();
    let shape = |i: usize| input(i).and_then(|id| typed.shape(id));
    let f32s = |id: Option<ValueId>| id.and_then(|id| typed.ty(id)).is_some_and(|t| t.dtype == DType::F32);
    if node.op != "Conv" || !typed.graph.weights.contains_key(&input(1)?) || !f32s(input(0)) {
        return None;
    }
    form(&ConvShape::conv(node, shape(0)?, shape(1)?).ok()?)
}

/// The largest set of values that all who compute or read them can lay out channels last.
fn last_values(typed: &TypedGraph, forms: &[Option<Form>]) -> HashSet<ValueId> {
    let nodes = || typed.graph.nodes.iter().zip(forms);
    let first = |ids: &[Option<ValueId>]| ids.first().copied().flatten();
    let mut last: HashSet<ValueId> =
        nodes().filter(|(_, form)| form.is_some()).filter_map(|(node, _)| first(&node.outputs)).collect();
    typed.graph.outputs.iter().for_each(|id| {
        last.remove(id);
    });
    loop {
        let mut fails = HashSet::new();
        for (node, form) in nodes() {
            let output = first(&node.outputs).filter(|id| last.contains(id));
            let mut fail = |id: Option<ValueId>| {
                fails.extend(id.filter(|id| last.contains(id)));
            };
            for (i, &id) in node.inputs.iter().enumerate() {
                let fits = match (form, i) {
                    (Some(Form::Pointwise), 0) => true,
                    (Some(Form::Depthwise), 0) | (Some(_), 3) => output.is_some(),
                    (None, 0) => node.op == "GlobalAveragePool",
                    _ => false,
                };
                if !fits {
                    fail(id);
                }
            }
            // An output that lies last needs its residual to, and a depthwise one its input.
            let needs = [(*form == Some(Form::Depthwise)).then(|| first(&node.inputs)), node.inputs.get(3).copied()];
            if needs.iter().flatten().any(|id| id.is_some_and(|id| !last.contains(&id))) {
                fail(output);
            }
        }
        if fails.is_empty() {
            return last;
        }
        last.retain(|id| !fails.contains(id));
    }
}
