//! Finds groups of channels: from the layer that computes some, through everything that works on each channel alone, to
//! the layers that read them. Where anything else sees the channels there is no group.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::group::{Group, Kind, Links, Part, Product, shape};
use crate::graph::{Attr, Graph, Node, ValueId};

/// Operators that work element by element on inputs that broadcast.
const ELEMENTWISE: &[&str] = &[
    "Abs",
    "Add",
    "Cast",
    "Celu",
    "Clip",
    "Div",
    "Elu",
    "Erf",
    "Exp",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "Log",
    "Max",
    "Min",
    "Mish",
    "Mul",
    "Neg",
    "PRelu",
    "Pow",
    "Reciprocal",
    "Relu",
    "Selu",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Sub",
    "Swish",
    "Tanh",
    "ThresholdedRelu",
];

/// Of these, the ones after which two linear layers are still one.
const AFFINE: &[&str] = &["Add", "Cast", "Div", "Identity", "Neg", "Sub"];

/// Operators on planes, each of one channel.
const PLANES: &[&str] = &["AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LpPool", "MaxPool"];

/// The channels of all feed-forward layers and convolutions that can be left out, in the order of the graph.
pub fn find(graph: &Graph) -> Vec<Group> {
    let links = Links::of(graph);
    let mut seen: HashSet<usize> = HashSet::new();
    let mut groups = Vec::new();
    for at in 0..graph.nodes.len() {
        let Some(found) = (!seen.contains(&at)).then(|| Closure::from(graph, &links, at)).flatten() else { continue };
        seen.extend(found.group.writers.iter().map(|part| part.node));
        groups.extend(found.finish());
    }
    groups
}

/// How a value has the channels: along an axis of `outer · channels · inner`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Form {
    axis: Axis,
    outer: usize,
    /// Planes of channels lie one after the other along the axis, so that `inner` is their size; else it is 1.
    flat: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Axis {
    Last,
    /// Of values of this rank.
    Second(usize),
}

struct Closure<'a> {
    graph: &'a Graph,
    links: &'a Links,
    group: Group,
    forms: BTreeMap<ValueId, Form>,
    waiting: Vec<ValueId>,
    /// Nodes met, and whether as what computes channels.
    done: BTreeSet<(usize, bool)>,
    /// An activation lies between writers and readers.
    bends: bool,
}

impl<'a> Closure<'a> {
    /// All that hangs together with the outputs of the layer at `at`; `None` if that is no layer, or more than channels.
    fn from(graph: &'a Graph, links: &'a Links, at: usize) -> Option<Self> {
        let node = &graph.nodes[at];
        let product = Product::of(graph, node)?;
        let output = *node.outputs.first()?.as_ref()?;
        let axis = if product.linear { Axis::Last } else { Axis::Second(product.rank) };
        // Halves of a layer that are split are of the same channels.
        let split = links.users(output).iter().map(|&user| &graph.nodes[user]).find(|n| n.op == "Split");
        let outer = split.map_or(1, |n| n.outputs.len().max(1));
        let count = product.outputs / outer;
        let kind = if product.linear { Kind::Ffn } else { Kind::Channels };
        let mut closure = Closure {
            graph,
            links,
            group: Group::new(kind, count),
            forms: BTreeMap::new(),
            waiting: Vec::new(),
            done: BTreeSet::new(),
            bends: false,
        };
        closure.join(output, Form { axis, outer, flat: false })?;
        while let Some(value) = closure.waiting.pop() {
            closure.visit(value)?;
        }
        (count > 1 && !closure.group.readers.is_empty()).then_some(closure)
    }

    /// The group, if leaving channels out of it is what its kind means.
    fn finish(self) -> Option<Group> {
        if self.is_stream() || (self.group.kind == Kind::Ffn && (!self.bends || self.is_pooler())) {
            return None;
        }
        let Closure { mut group, forms, .. } = self;
        group.values = forms.into_keys().collect();
        Some(group)
    }

    fn join(&mut self, id: ValueId, form: Form) -> Option<()> {
        match self.forms.get(&id) {
            Some(known) => (*known == form).then_some(()),
            None => {
                self.forms.insert(id, form);
                self.waiting.push(id);
                Some(())
            }
        }
    }

    fn visit(&mut self, value: ValueId) -> Option<()> {
        let form = *self.forms.get(&value)?;
        let producer = *self.links.producers.get(&value)?;
        if self.graph.outputs.contains(&value) {
            return None;
        }
        self.meet(producer, value, form, true)?;
        for i in 0..self.links.users(value).len() {
            self.meet(self.links.users(value)[i], value, form, false)?;
        }
        Some(())
    }

    /// A node that computes or reads `value`.
    fn meet(&mut self, at: usize, value: ValueId, form: Form, computes: bool) -> Option<()> {
        let node = &self.graph.nodes[at];
        let Some(product) = Product::of(self.graph, node) else {
            return if self.done.insert((at, false)) { self.pass(at, value, form, computes) } else { Some(()) };
        };
        if !self.done.insert((at, computes)) {
            return Some(());
        }
        let fits = match form.axis {
            Axis::Last => product.linear,
            Axis::Second(rank) => !product.linear && product.rank == rank,
        };
        if !fits || node.outputs.len() != 1 {
            return None;
        }
        if computes {
            let part = self.part(at, 1, product.output_axis, form).filter(|_| !form.flat)?;
            self.group.writers.push(part);
            match (node.input(2), product.linear) {
                (None, _) => Some(()),
                (Some(_), true) => self.constant(at, 2, form),
                (Some(_), false) => self.vector(at, 2, form),
            }
        } else {
            let only = node.input(0) == Some(value) && node.inputs[1..].iter().all(|id| *id != Some(value));
            let part = self.part(at, 1, product.input_axis, form).filter(|_| only)?;
            self.group.readers.push(part);
            Some(())
        }
    }

    /// A node that works on each channel alone.
    fn pass(&mut self, at: usize, value: ValueId, form: Form, computes: bool) -> Option<()> {
        let node = &self.graph.nodes[at];
        let output = *node.outputs.first()?.as_ref()?;
        let planes = matches!(form.axis, Axis::Second(_));
        let single = node.outputs.iter().flatten().count() == 1;
        match node.op.as_str() {
            op if ELEMENTWISE.contains(&op) && single => {
                let gates = node.inputs.iter().flatten().filter(|id| !self.is_constant(**id)).count() > 1;
                self.bends |= !AFFINE.contains(&op) && (op != "Mul" || gates);
                self.join(output, form)?;
                for i in 0..node.inputs.len() {
                    match node.input(i) {
                        Some(id) if self.is_constant(id) => self.constant(at, i, form)?,
                        Some(id) => self.join(id, form)?,
                        None => {}
                    }
                }
                Some(())
            }
            op if PLANES.contains(&op) && single && planes => {
                self.join(output, form)?;
                self.join(node.input(0)?, form)
            }
            "BatchNormalization" if single && planes => {
                self.join(output, form)?;
                self.join(node.input(0)?, form)?;
                (1..5).try_for_each(|i| self.vector(at, i, form))
            }
            "Conv" if planes && self.is_depthwise(node) => {
                self.join(output, form)?;
                self.join(node.input(0)?, form)?;
                self.vector(at, 1, form)?;
                self.group.depthwise.push(at);
                node.input(2).map_or(Some(()), |_| self.vector(at, 2, form))
            }
            "Flatten" if node.attrs.int_or("axis", 1) == 1 => {
                let flat = Form { axis: Axis::Last, flat: true, ..form };
                // From behind, the rank of the planes is not known.
                (planes && !computes && node.input(0) == Some(value)).then(|| self.join(output, flat))?
            }
            "Split" if node.attrs.int_or("axis", 0) == -1 && form.axis == Axis::Last => self.split(at, value, form),
            _ => None,
        }
    }

    /// Equal parts of a layer's outputs, each of all channels.
    fn split(&mut self, at: usize, value: ValueId, form: Form) -> Option<()> {
        let node = &self.graph.nodes[at];
        let parts = node.outputs.len();
        let equal = match node.input(1) {
            None => node.attrs.int_or("num_outputs", parts as i64) == parts as i64,
            Some(id) => {
                let sizes = self.graph.weights.get(&id)?.dense()?.to_i64().ok()?;
                sizes.len() == parts && sizes.iter().all(|&n| n == self.group.count as i64)
            }
        };
        let whole = Form { outer: parts, ..form };
        let known = if node.input(0) == Some(value) { form } else { Form { outer: parts * form.outer, ..form } };
        if !equal || known != whole || form.flat {
            return None;
        }
        self.group.splits.push(at);
        self.join(node.input(0)?, whole)?;
        let part = Form { outer: 1, ..form };
        node.outputs.iter().try_for_each(|id| self.join((*id)?, part))
    }

    fn is_constant(&self, id: ValueId) -> bool {
        self.graph.weights.contains_key(&id)
    }

    fn is_depthwise(&self, node: &Node) -> bool {
        let weight = node.input(1).and_then(|id| shape(self.graph, id));
        let fits = weight.is_some_and(|shape| shape.len() > 2 && shape[0] == self.group.count && shape[1] == 1);
        fits && node.attrs.int_or("group", 1) == self.group.count as i64 && node.input(3).is_none()
    }

    /// Where the constant `input` of a node has the channels, if it has them along `axis`.
    fn part(&self, node: usize, input: usize, axis: usize, form: Form) -> Option<Part> {
        let size = *shape(self.graph, self.graph.nodes[node].input(input)?)?.get(axis)?;
        let channels = form.outer * self.group.count;
        let fits = if form.flat { size > 0 && size.is_multiple_of(channels) } else { size == channels };
        fits.then_some(Part { node, input, axis, outer: form.outer })
    }

    /// A constant with a value for each channel along its first axis.
    fn vector(&mut self, node: usize, input: usize, form: Form) -> Option<()> {
        let part = self.part(node, input, 0, form)?;
        self.group.others.push(part);
        Some(())
    }

    /// A constant that broadcasts to a value with the channels: it may have them or not.
    fn constant(&mut self, node: usize, input: usize, form: Form) -> Option<()> {
        let weight = self.graph.weights.get(&self.graph.nodes[node].input(input)?)?.ty();
        if weight.len() == 1 {
            return Some(());
        }
        let axis = match form.axis {
            Axis::Last => Some(weight.shape.len() - 1),
            Axis::Second(rank) if weight.shape.len() <= rank => (weight.shape.len() + 1).checked_sub(rank),
            Axis::Second(_) => return None,
        };
        match axis {
            Some(axis) if weight.shape[axis] != 1 => {
                let part = self.part(node, input, axis, form)?;
                self.group.others.push(part);
                Some(())
            }
            _ => Some(()),
        }
    }

    /// Whether sums of what different layers computed are among the channels: a residual stream, which is what blocks
    /// have in common, and not a width inside of one.
    fn is_stream(&self) -> bool {
        let writers: BTreeSet<usize> = self.group.writers.iter().map(|part| part.node).collect();
        let mut sources: BTreeMap<ValueId, BTreeSet<usize>> = BTreeMap::new();
        let nodes: BTreeSet<usize> = self.forms.keys().filter_map(|id| self.links.producers.get(id).copied()).collect();
        for at in nodes {
            let node = &self.graph.nodes[at];
            let of: Vec<&BTreeSet<usize>> = node.inputs.iter().flatten().filter_map(|id| sources.get(id)).collect();
            let sum = matches!(node.op.as_str(), "Add" | "Sub");
            if sum && !writers.contains(&at) && of.len() == 2 && of[0].is_disjoint(of[1]) {
                return true;
            }
            let mut all: BTreeSet<usize> = of.into_iter().flatten().copied().collect();
            if writers.contains(&at) {
                all = BTreeSet::from([at]);
            }
            for &id in node.outputs.iter().flatten() {
                sources.insert(id, all.clone());
            }
        }
        false
    }

    /// Whether a square layer's outputs go to a layer of another size: states for a classifier, which are not hidden.
    fn is_pooler(&self) -> bool {
        let sizes = |parts: &[Part], of: fn(Product) -> usize| -> Vec<usize> {
            parts.iter().filter_map(|p| Product::of(self.graph, &self.graph.nodes[p.node]).map(of)).collect()
        };
        let (inputs, outputs) = (sizes(&self.group.writers, |p| p.inputs), sizes(&self.group.readers, |p| p.outputs));
        inputs.iter().all(|&n| n == self.group.count) && outputs.iter().all(|&n| n != self.group.count)
    }
}

/// Writes into a `Split` that its parts are equal, whatever their size.
pub fn even_split(node: &mut Node) {
    node.inputs.truncate(1);
    node.attrs.set("num_outputs", Attr::Int(node.outputs.len() as i64));
}
