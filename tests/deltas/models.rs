//! Small models, and what they compute in f64.

use std::sync::Arc;

use fewbit::graph::{Attr, Attrs, Dim, Graph, ValueId, Weight};
use fewbit::runtime::Device;
use fewbit::tensor::{DType, Tensor};
use fewbit::weights::{Encoded, HalfFloat};
use half::f16;
use rand::Rng;
use rand::rngs::StdRng;

pub fn device() -> Device {
    match std::env::var("FEWBIT_TEST_DEVICE").as_deref() {
        Ok("gpu") => Device::gpu().expect("a GPU run needs an adapter"),
        _ => Device::cpu(2).unwrap(),
    }
}

/// Normal numbers (Box and Muller) of a standard deviation.
pub fn normal(len: usize, deviation: f64, rng: &mut StdRng) -> Vec<f32> {
    let one = |rng: &mut StdRng| {
        let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
        ((-2.0 * u.ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos() * deviation) as f32
    };
    (0..len).map(|_| one(rng)).collect()
}

pub fn tensor(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::new(shape, values).unwrap()
}

pub fn random(shape: &[usize], rng: &mut StdRng) -> Tensor {
    tensor(shape, &normal(shape.iter().product(), 0.3, rng))
}

/// A matrix in half precision, as folders give it.
pub fn halves(matrix: &Tensor) -> Weight {
    let values: Vec<f16> = matrix.to_f32().unwrap().into_iter().map(f16::from_f32).collect();
    let tensor = Tensor::new(matrix.shape(), &values).unwrap();
    Weight::Encoded(Arc::new(Encoded::from(HalfFloat::of(&tensor).unwrap())))
}

/// `y = relu(x · firstᵀ + bias) · secondᵀ`; weights `first.weight`, `first.bias`, `second.weight`, and an index that no float
/// changes, `index`.
pub fn two_layers(first: Weight, bias: &Tensor, second: Weight) -> Graph {
    let mut graph = Graph::default();
    let columns = first.ty().shape[1];
    let x = graph.add_input("x", DType::F32, vec![Dim::Symbol("rows".into()), Dim::Known(columns)]);
    let linear = || Attrs::from([("transposed", Attr::Int(1))]);
    let first = graph.add_weight("first.weight", first);
    let bias = graph.add_weight("first.bias", Weight::Dense(bias.clone()));
    let second = graph.add_weight("second.weight", second);
    graph.add_weight("index", Weight::Dense(Tensor::new([2], &[1i64, 2]).unwrap()));
    let h = graph.add_node("fewbit.Linear", "first", &[x, first, bias], linear());
    let h = graph.add_node("Relu", "relu", &[h], Attrs::default());
    let y = graph.add_node("fewbit.Linear", "second", &[h, second], linear());
    graph.outputs.push(y);
    graph
}

/// Random dense layers of ragged sizes.
pub fn dense_layers(rng: &mut StdRng) -> Graph {
    let (first, bias, second) = (random(&[37, 29], rng), random(&[37], rng), random(&[11, 37], rng));
    two_layers(Weight::Dense(first), &bias, Weight::Dense(second))
}

/// The same graph with noise on every float.
pub fn tuned(base: &Graph, deviation: f64, rng: &mut StdRng) -> Graph {
    let mut graph = base.clone();
    for (id, weight) in &base.weights {
        let values = values(base, *id);
        if weight.ty().dtype == DType::F32 {
            let noise = normal(values.len(), deviation, rng);
            let sum: Vec<f32> = values.iter().zip(noise).map(|(value, noise)| *value as f32 + noise).collect();
            graph.weights.insert(*id, Weight::Dense(tensor(&weight.ty().shape, &sum)));
        }
    }
    graph
}

/// What a weight decodes to.
pub fn values(graph: &Graph, id: ValueId) -> Vec<f64> {
    let dense = match &graph.weights[&id] {
        Weight::Dense(tensor) => tensor.clone(),
        Weight::Encoded(encoded) => encoded.to_dense().unwrap(),
    };
    dense.to_f32().unwrap().into_iter().map(f64::from).collect()
}

pub fn named(graph: &Graph, name: &str) -> Vec<f64> {
    values(graph, graph.find(name).unwrap())
}

/// `a · bᵀ` of `a` `[m, k]` and `b` `[n, k]`.
pub fn times(a: &[f64], b: &[f64], k: usize) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum();
    a.chunks(k).flat_map(|a| b.chunks(k).map(move |b| dot(a, b))).collect()
}

/// What `two_layers` computes of these weights.
pub fn reference(x: &[f64], first: &[f64], bias: &[f64], second: &[f64]) -> Vec<f64> {
    let inner = bias.len();
    let h = times(x, first, first.len() / inner);
    let h: Vec<f64> = h.iter().enumerate().map(|(i, h)| (h + bias[i % inner]).max(0.0)).collect();
    times(&h, second, inner)
}

#[track_caller]
pub fn assert_close(found: &Tensor, expected: &[f64], tolerance: f64) {
    let found = found.to_f32().unwrap();
    assert_eq!(found.len(), expected.len());
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(*found) - expected).abs() <= tolerance, "{found} for {expected} at {i}");
    }
}
