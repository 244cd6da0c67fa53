//! Two models of one graph, run side by side from layer to layer: the float one, and the one whose weights are being
//! encoded. What both compute on the samples is held in memory where it is little, so that the next layer goes on from
//! there; else the next layer starts from the last values held.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::calibrate::Sample;
use crate::Result;
use crate::graph::{Graph, Model, ValueId, Weight};
use crate::runtime::{Device, Session};
use crate::tensor::Tensor;

/// Share of what the weights take as f32 that held values may take, of both models and all samples.
const HELD: f64 = 0.75;

pub type Values = BTreeMap<ValueId, Tensor>;

/// What one sample makes of some values: in the float model, and in the other.
pub struct Seen<'a> {
    pub exact: &'a Values,
    pub encoded: &'a Values,
}

pub struct Walk {
    exact: Model,
    device: Device,
    /// Of each sample, in both models.
    held: Vec<[Values; 2]>,
    allowed: usize,
}

impl Walk {
    /// `model` is still the float one.
    pub fn new(model: &Model, samples: &[Sample], device: &Device) -> Self {
        let size = |w: &Weight| 4 * w.ty().shape.iter().product::<usize>();
        let bytes: usize = model.graph.weights.values().map(size).sum();
        let values = |sample: &Sample| model.graph.inputs.iter().copied().zip(sample.iter().cloned()).collect();
        let held = samples.iter().map(|sample| std::array::from_fn(|_| values(sample))).collect();
        Walk { exact: model.clone(), device: device.clone(), held, allowed: (HELD * bytes as f64) as usize }
    }

    /// How many there are.
    pub fn samples(&self) -> usize {
        self.held.len()
    }

    /// Runs both models on every sample up to `wanted`, values of nodes from `at` on or inputs of that node. Nothing before
    /// `at` is asked for any more.
    pub fn visit(
        &mut self,
        model: &Model,
        at: usize,
        wanted: &BTreeSet<ValueId>,
        mut each: impl FnMut(Seen) -> Result<()>,
    ) -> Result<()> {
        let Some(first) = self.held.first() else { return Ok(()) };
        let known: BTreeSet<ValueId> = first[0].keys().copied().collect();
        // What later nodes read of earlier ones.
        let border = part(&model.graph, at, &BTreeSet::new(), &model.graph.outputs).inputs;
        let outputs: BTreeSet<ValueId> = wanted.iter().chain(&border).copied().collect();
        let outputs: Vec<ValueId> = outputs.into_iter().filter(|id| !known.contains(id)).collect();
        let mut sessions = Vec::with_capacity(2);
        for graph in [&self.exact.graph, &model.graph] {
            let graph = part(graph, 0, &known, &outputs);
            sessions.push(Session::new(&Model { graph, ..Model::default() }, &self.device)?);
        }
        let mut keep = None;
        let count = self.held.len();
        for held in &mut self.held {
            for (session, values) in sessions.iter_mut().zip(held.iter_mut()) {
                run(session, &outputs, values)?;
            }
            let [exact, encoded] = &*held;
            each(Seen { exact, encoded })?;
            let fits = *keep.get_or_insert_with(|| {
                let bytes: usize = border.iter().filter_map(|id| exact.get(id)).map(|t| t.bytes().len()).sum();
                2 * count * bytes <= self.allowed
            });
            for values in held.iter_mut() {
                values.retain(|id, _| if fits { border.contains(id) } else { known.contains(id) });
            }
        }
        if keep == Some(true) {
            let rest = part(&model.graph, at, &BTreeSet::new(), &model.graph.outputs);
            self.exact.graph.weights.retain(|id, _| rest.weights.contains_key(id));
        }
        Ok(())
    }
}

/// Adds `outputs` to the values of a sample.
pub fn run(session: &mut Session, outputs: &[ValueId], values: &mut Values) -> Result<()> {
    if outputs.is_empty() {
        return Ok(());
    }
    let graph = session.graph();
    let inputs: Vec<(String, Tensor)> =
        graph.inputs.iter().filter_map(|id| Some((graph.value(*id).name.clone(), values.get(id)?.clone()))).collect();
    let inputs: Vec<(&str, &Tensor)> = inputs.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let found = session.run(&inputs)?;
    values.extend(outputs.iter().copied().zip(found.into_iter().map(|(_, tensor)| tensor)));
    Ok(())
}

/// The nodes from `at` on that compute `outputs`; `known` values and what earlier nodes compute become inputs.
pub fn part(graph: &Graph, at: usize, known: &BTreeSet<ValueId>, outputs: &[ValueId]) -> Graph {
    let mut needed: HashSet<ValueId> = outputs.iter().copied().collect();
    let mut nodes = Vec::new();
    for node in graph.nodes[at..].iter().rev() {
        let computes = |id: &ValueId| needed.contains(id) && !known.contains(id);
        if node.outputs.iter().flatten().any(computes) {
            needed.extend(node.inputs.iter().flatten());
            nodes.push(node.clone());
        }
    }
    nodes.reverse();
    let computed: HashSet<ValueId> = nodes.iter().flat_map(|n| n.outputs.iter().flatten()).copied().collect();
    let weights = graph.weights.iter().filter(|(id, _)| needed.contains(id) && !known.contains(id));
    let weights: BTreeMap<_, _> = weights.map(|(id, weight)| (*id, weight.clone())).collect();
    let free = |id: &&ValueId| !computed.contains(id) && !weights.contains_key(id);
    let mut inputs: Vec<ValueId> = needed.iter().filter(free).copied().collect();
    inputs.sort();
    let (name, outputs, values) = (graph.name.clone(), outputs.to_vec(), graph.values.clone());
    let mut part = Graph { name, inputs, outputs, nodes, weights, values };
    // Names must tell inputs apart, and shapes are those of the values.
    for (i, value) in part.values.iter_mut().enumerate() {
        (value.name, value.dims, value.dtype) = (format!("value {i}"), None, None);
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Attrs, Dim};
    use crate::tensor::DType;

    /// x → a = x + 1 → b = 2 a → c = b + a → d = 3 c, the factors weights; the encoded model's first factor is 4.
    fn models() -> (Model, Model, [ValueId; 5]) {
        let mut graph = Graph::default();
        let x = graph.add_input("x", DType::F32, vec![Dim::Known(3)]);
        let mut weight =
            |name: &str, value: f32| graph.add_weight(name, Weight::Dense(Tensor::new([1], &[value]).unwrap()));
        let [one, two, three] = [weight("one", 1.0), weight("two", 2.0), weight("three", 3.0)];
        let mut node = |op: &str, name: &str, inputs: &[ValueId]| graph.add_node(op, name, inputs, Attrs::default());
        let a = node("Add", "a", &[x, one]);
        let b = node("Mul", "b", &[a, two]);
        let c = node("Add", "c", &[b, a]);
        let d = node("Mul", "d", &[c, three]);
        graph.outputs.push(d);
        let exact = Model { graph, ..Model::default() };
        let mut encoded = exact.clone();
        encoded.graph.weights.insert(two, Weight::Dense(Tensor::new([1], &[4f32]).unwrap()));
        (exact, encoded, [x, a, b, c, d])
    }

    /// With room for what is held and without, both models give what whole runs give, for every sample.
    #[test]
    fn values_are_those_of_whole_runs() {
        for allowed in [0, 1 << 20] {
            let (exact, encoded, [x, a, b, c, d]) = models();
            let samples = [[1f32, 2.0, 3.0], [-1.0, 0.5, 7.0]].map(|s| vec![Tensor::new([3], &s).unwrap()]);
            let mut walk = Walk::new(&exact, &samples, &Device::cpu(1).unwrap());
            walk.allowed = allowed;
            for (at, wanted, factor) in [(1, vec![a, b], 1.0), (2, vec![c], 1.0), (3, vec![c, d], 3.0)] {
                let mut next = samples.iter();
                walk.visit(&encoded, at, &wanted.iter().copied().collect(), |seen| {
                    let x = next.next().unwrap()[0].slice::<f32>()?;
                    for (values, two) in [(seen.exact, 2.0), (seen.encoded, 4.0)] {
                        let found = values[wanted.last().unwrap()].slice::<f32>()?;
                        let expected = |x: &f32| match at {
                            1 => two * (x + 1.0),
                            _ => factor * (two + 1.0) * (x + 1.0),
                        };
                        assert_eq!(found, x.iter().map(expected).collect::<Vec<_>>(), "{allowed} {at}");
                    }
                    Ok(())
                })
                .unwrap();
                assert!(next.next().is_none());
            }
            assert_eq!(walk.held[0][0].contains_key(&x), allowed == 0);
        }
    }
}
