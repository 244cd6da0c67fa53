//! A graph in half precision gives what its twin in f32 gives, rounded, and keeps its matrices in half precision.
//!
//! `FEWBIT_TEST_DEVICE=gpu` takes the adapter, which then computes everything but the casts at the ends.

#![cfg(all(feature = "full", feature = "cli"))]
#![allow(clippy::unwrap_used)]

use fewbit::graph::{Attr, Attrs, Dim, Graph, Model, ValueId, Weight};
use fewbit::runtime::{Device, Session};
use fewbit::tensor::{DType, Tensor};
use half::f16;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

fn device() -> Device {
    match std::env::var("FEWBIT_TEST_DEVICE").as_deref() {
        Ok("gpu") => Device::gpu().expect("a GPU run needs an adapter"),
        _ => Device::cpu(2).unwrap(),
    }
}

/// Numbers that halves hold exactly, as a tensor of either type.
fn random(dtype: DType, shape: &[usize], rng: &mut StdRng) -> Tensor {
    let values: Vec<f16> = (0..shape.iter().product()).map(|_| f16::from_f32(rng.random_range(-1.0..1.0))).collect();
    match dtype {
        DType::F16 => Tensor::new(shape, &values).unwrap(),
        _ => Tensor::new(shape, &values.iter().map(|v| v.to_f32()).collect::<Vec<_>>()).unwrap(),
    }
}

struct Twin {
    graph: Graph,
    dtype: DType,
    rng: StdRng,
}

impl Twin {
    fn weight(&mut self, shape: &[usize]) -> ValueId {
        let tensor = random(self.dtype, shape, &mut self.rng);
        self.graph.add_weight(format!("w{}", self.graph.values.len()), Weight::Dense(tensor))
    }

    fn node(&mut self, op: &str, inputs: &[ValueId], attrs: Attrs) -> ValueId {
        let name = format!("{op}{}", self.graph.values.len());
        self.graph.add_node(op, &name, inputs, attrs)
    }
}

/// Every kind of matrix, of odd sizes, some values used twice, and outputs of both types.
fn twin(dtype: DType) -> Model {
    let none = Attrs::default;
    let mut t = Twin { graph: Graph::default(), dtype, rng: StdRng::seed_from_u64(7) };
    let known = |shape: &[usize]| shape.iter().map(|&d| Dim::Known(d)).collect();
    let x = t.graph.add_input("x", dtype, known(&[2, 3, 12, 11]));
    let ids = t.graph.add_input("ids", DType::I64, known(&[4]));
    let (w, bias) = (t.weight(&[8, 3, 3, 3]), t.weight(&[8]));
    let conv = t.node("Conv", &[x, w, bias], none());
    let relu = t.node("Relu", &[conv], none());
    let w = t.weight(&[8, 5, 3, 3]);
    let up = t.node("ConvTranspose", &[relu, w], Attrs::from([("strides", Attr::Ints(vec![2, 2]))]));
    let pooled = t.node("GlobalAveragePool", &[up], none());
    let flat = t.node("Flatten", &[pooled], none());
    let (w, bias) = (t.weight(&[5, 7]), t.weight(&[7]));
    let product = t.node("MatMul", &[flat, w], none());
    let sum = t.node("Add", &[product, bias], none());
    let (w, bias) = (t.weight(&[7, 9]), t.weight(&[9]));
    let one = t.node("Gemm", &[sum, w, bias], none());
    let (w, bias) = (t.weight(&[11, 9]), t.weight(&[11]));
    let two = t.node("Gemm", &[one, w, bias], Attrs::from([("transB", Attr::Int(1))]));
    let table = t.weight(&[13, 11]);
    let rows = t.node("Gather", &[table, ids], none());
    let turned = t.node("Transpose", &[two], Attrs::from([("perm", Attr::Ints(vec![1, 0]))]));
    let scores = t.node("MatMul", &[rows, turned], none());
    let soft = t.node("Softmax", &[scores], none());
    let float = t.node("Cast", &[soft], Attrs::from([("to", Attr::Int(1))]));
    let back = t.node("Cast", &[float], Attrs::from([("to", Attr::Int(if dtype == DType::F16 { 10 } else { 1 }))]));
    let last = t.node("Mul", &[back, scores], none());
    t.graph.outputs = vec![two, float, last];
    Model { graph: t.graph, ..Model::default() }
}

fn run(dtype: DType) -> (Vec<Tensor>, Session) {
    let x = random(dtype, &[2, 3, 12, 11], &mut StdRng::seed_from_u64(8));
    let ids = Tensor::new([4], &[3i64, 12, -13, 5]).unwrap();
    let mut session = Session::new(&twin(dtype), &device()).unwrap();
    let outputs = session.run(&[("x", &x), ("ids", &ids)]).unwrap();
    (outputs.into_iter().map(|(_, tensor)| tensor).collect(), session)
}

#[test]
fn halves_are_the_floats_rounded() {
    let (halves, session) = run(DType::F16);
    let (floats, _) = run(DType::F32);
    assert_eq!([0, 1, 2].map(|i| halves[i].dtype()), [DType::F16, DType::F32, DType::F16]);
    for (name, (half, float)) in ["two", "float", "last"].iter().zip(halves.iter().zip(&floats)) {
        for (h, f) in half.to_f32().unwrap().iter().zip(float.to_f32().unwrap()) {
            // Half a step of halves, and what sums in another order differ by.
            assert!((h - f).abs() <= f.abs() / 2048.0 + 1e-6, "{name}: {h}, in f32 {f}");
        }
    }
    let report = session.report().unwrap();
    assert!(report.decoded.is_empty(), "{:?}", report.decoded);
    let on_gpu = matches!(device(), Device::Gpu(..));
    for node in report.nodes.iter().filter(|node| on_gpu && node.op != "Cast") {
        assert!(node.place.starts_with("gpu"), "{} {}: {}", node.op, node.name, node.place);
    }
    // Matrices take two bytes a number, padded to words; biases four.
    let matrices = 8 * 28 + 8 * 46 + 7 * 6 + 9 * 8 + 11 * 10 + 13 * 12;
    let biases = 8 + 7 + 9 + 11;
    assert!(report.weight_bytes <= 2 * matrices + 4 * biases, "{} bytes", report.weight_bytes);
}

/// What asks for the bits of a half gets them.
#[test]
fn bits_of_halves_stay() {
    let mut graph = Graph::default();
    let x = graph.add_input("x", DType::F16, vec![Dim::Known(3)]);
    let sum = graph.add_node("Add", "sum", &[x, x], Attrs::default());
    let bits = graph.add_node("BitCast", "bits", &[sum], Attrs::from([("to", Attr::Int(4))]));
    graph.outputs.push(bits);
    let mut session = Session::new(&Model { graph, ..Model::default() }, &device()).unwrap();
    let x = Tensor::new([3], &[0.5f32, 1.25, -3.0].map(f16::from_f32)).unwrap();
    let y = session.run(&[("x", &x)]).unwrap();
    let wanted = [1.0f32, 2.5, -6.0].map(|v| f16::from_f32(v).to_bits());
    assert_eq!(y[0].1.slice::<u16>().unwrap(), wanted);
}
