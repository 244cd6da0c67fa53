//! Every fusion pattern: the fused graph computes what the unfused one does, and has become one node.
//!
//! A value that is also a graph output may not be swallowed, so the unfused twin of a graph is the same graph with
//! every value as an output.

use fewbit::graph::{Attr, Attrs, Dim, Graph, Model, ValueId, Weight};
use fewbit::runtime::{Device, Session};
use fewbit::tensor::{DType, Tensor};
use rand::{Rng, SeedableRng, rngs::StdRng};

struct Builder {
    graph: Graph,
    rng: StdRng,
}

impl Builder {
    fn new(seed: u64) -> Self {
        Builder { graph: Graph::default(), rng: StdRng::seed_from_u64(seed) }
    }

    fn input(&mut self, name: &str, shape: &[usize]) -> ValueId {
        self.graph.add_input(name, DType::F32, shape.iter().map(|&d| Dim::Known(d)).collect())
    }

    fn random(&mut self, shape: &[usize]) -> ValueId {
        let data: Vec<f32> = (0..shape.iter().product()).map(|_| self.rng.random_range(-1.0..1.0)).collect();
        let name = format!("w{}", self.graph.values.len());
        self.graph.add_weight(name, Weight::Dense(Tensor::new(shape, &data).unwrap()))
    }

    fn positive(&mut self, shape: &[usize]) -> ValueId {
        let data: Vec<f32> = (0..shape.iter().product()).map(|_| self.rng.random_range(0.5..2.0)).collect();
        let name = format!("w{}", self.graph.values.len());
        self.graph.add_weight(name, Weight::Dense(Tensor::new(shape, &data).unwrap()))
    }

    fn scalar(&mut self, value: f32) -> ValueId {
        let name = format!("c{}", self.graph.values.len());
        self.graph.add_weight(name, Weight::Dense(Tensor::scalar(value)))
    }

    fn ints(&mut self, values: &[i64]) -> ValueId {
        let name = format!("i{}", self.graph.values.len());
        self.graph.add_weight(name, Weight::Dense(Tensor::new(vec![values.len()], values).unwrap()))
    }

    fn op(&mut self, op: &str, inputs: &[ValueId]) -> ValueId {
        self.op_with(op, inputs, &[])
    }

    fn op_with(&mut self, op: &str, inputs: &[ValueId], attrs: &[(&str, Attr)]) -> ValueId {
        let mut all = Attrs::default();
        for (name, value) in attrs {
            all.set(name, value.clone());
        }
        let name = format!("{op}{}", self.graph.values.len());
        self.graph.add_node(op, &name, inputs, all)
    }

    /// Runs both twins on fresh random inputs; `expected` lists the operators that remain.
    fn check(mut self, output: ValueId, expected: &[&str]) {
        let mut inputs = Vec::new();
        for id in self.graph.inputs.clone() {
            let value = self.graph.value(id).clone();
            let shape: Vec<usize> =
                value.dims.unwrap().iter().map(|d| if let Dim::Known(n) = d { *n } else { 0 }).collect();
            let data: Vec<f32> = (0..shape.iter().product()).map(|_| self.rng.random_range(-2.0..2.0)).collect();
            inputs.push((value.name, Tensor::new(shape, &data).unwrap()));
        }
        let named: Vec<(&str, &Tensor)> = inputs.iter().map(|(n, t)| (n.as_str(), t)).collect();
        let device = Device::cpu(1).unwrap();

        self.graph.outputs = vec![output];
        let fused = Model { graph: self.graph.clone(), ..Model::default() };
        let mut session = Session::new(&fused, &device).unwrap();
        let got = session.run(&named).unwrap().remove(0).1;
        let ops: Vec<String> = session.report().unwrap().nodes.into_iter().map(|n| n.op).collect();
        assert_eq!(ops, expected);

        let all: Vec<ValueId> = self.graph.nodes.iter().flat_map(|n| n.outputs.iter().flatten().copied()).collect();
        self.graph.outputs = all;
        let plain = Model { graph: self.graph.clone(), ..Model::default() };
        let mut session = Session::new(&plain, &device).unwrap();
        let name = self.graph.value(output).name.clone();
        let want = session.run(&named).unwrap().into_iter().find(|(n, _)| *n == name).unwrap().1;

        assert_eq!(got.shape(), want.shape());
        let (got, want) = (got.to_f32().unwrap(), want.to_f32().unwrap());
        let scale = want.iter().fold(1e-6f32, |m, v| m.max(v.abs()));
        for (i, (g, w)) in got.iter().zip(&want).enumerate() {
            assert!((g - w).abs() <= 1e-5 * scale, "element {i}: fused {g}, unfused {w}");
        }
    }
}

fn gelu(b: &mut Builder, x: ValueId) -> ValueId {
    let (root2, one, half) = (b.scalar(std::f32::consts::SQRT_2), b.scalar(1.0), b.scalar(0.5));
    let scaled = b.op("Div", &[x, root2]);
    let erf = b.op("Erf", &[scaled]);
    let sum = b.op("Add", &[erf, one]);
    let product = b.op("Mul", &[x, sum]);
    b.op("Mul", &[product, half])
}

#[test]
fn linear_with_bias_scale_gelu_and_residual() {
    let mut b = Builder::new(1);
    let (x, skip) = (b.input("x", &[2, 5, 7]), b.input("skip", &[2, 5, 11]));
    let (w, bias, gamma) = (b.random(&[7, 11]), b.random(&[11]), b.random(&[11]));
    let y = b.op("MatMul", &[x, w]);
    let y = b.op("Add", &[bias, y]);
    let y = b.op("Mul", &[y, gamma]);
    let y = gelu(&mut b, y);
    let y = b.op("Add", &[skip, y]);
    b.check(y, &["fewbit.Linear"]);
}

#[test]
fn gemm_with_transposed_weight() {
    let mut b = Builder::new(2);
    let x = b.input("x", &[3, 9]);
    let (w, bias) = (b.random(&[4, 9]), b.random(&[4]));
    let y = b.op_with("Gemm", &[x, w, bias], &[("transB", Attr::Int(1))]);
    let y = b.op("Relu", &[y]);
    b.check(y, &["fewbit.Linear"]);
}

#[test]
fn convolution_with_batch_norm_relu6_and_residual() {
    let mut b = Builder::new(3);
    let (x, skip) = (b.input("x", &[1, 6, 8, 9]), b.input("skip", &[1, 4, 8, 9]));
    let w = b.random(&[4, 6, 3, 3]);
    let y = b.op_with("Conv", &[x, w], &[("pads", Attr::Ints(vec![1, 1, 1, 1]))]);
    let (scale, shift, mean, variance) = (b.positive(&[4]), b.random(&[4]), b.random(&[4]), b.positive(&[4]));
    let y = b.op_with("BatchNormalization", &[y, scale, shift, mean, variance], &[("epsilon", Attr::Float(1e-3))]);
    let y = b.op("Add", &[y, skip]);
    b.check(y, &["Conv"]);

    let mut b = Builder::new(4);
    let x = b.input("x", &[2, 6, 5, 5]);
    let w = b.random(&[6, 1, 3, 3]);
    let y = b.op_with("Conv", &[x, w], &[("group", Attr::Int(6))]);
    let factor = b.random(&[6, 1, 1]);
    let y = b.op("Mul", &[y, factor]);
    let (low, high) = (b.scalar(0.0), b.scalar(6.0));
    let y = b.op("Clip", &[y, low, high]);
    b.check(y, &["Conv"]);
}

#[test]
fn transposed_convolution_in_groups_with_batch_norm() {
    let mut b = Builder::new(5);
    let x = b.input("x", &[1, 6, 4, 5]);
    let w = b.random(&[6, 2, 2, 3]);
    let y = b.op_with("ConvTranspose", &[x, w], &[("group", Attr::Int(3)), ("strides", Attr::Ints(vec![2, 2]))]);
    let (scale, shift, mean, variance) = (b.positive(&[6]), b.random(&[6]), b.random(&[6]), b.positive(&[6]));
    let y = b.op("BatchNormalization", &[y, scale, shift, mean, variance]);
    let y = b.op("Relu", &[y]);
    b.check(y, &["ConvTranspose"]);
}

#[test]
fn hard_swish_and_silu() {
    let mut b = Builder::new(6);
    let x = b.input("x", &[3, 17]);
    let (three, zero, six) = (b.scalar(3.0), b.scalar(0.0), b.scalar(6.0));
    let y = b.op("Add", &[x, three]);
    let y = b.op("Clip", &[y, zero, six]);
    let y = b.op("Mul", &[x, y]);
    let y = b.op("Div", &[y, six]);
    b.check(y, &["HardSwish"]);

    let mut b = Builder::new(7);
    let x = b.input("x", &[3, 17]);
    let gate = b.op("Sigmoid", &[x]);
    let y = b.op("Mul", &[gate, x]);
    b.check(y, &["Swish"]);
}

#[test]
fn layer_norm_spelt_out() {
    let mut b = Builder::new(8);
    let x = b.input("x", &[2, 3, 19]);
    let (axes, two, epsilon) = (b.ints(&[-1]), b.scalar(2.0), b.scalar(1e-6));
    let (weight, bias) = (b.random(&[19]), b.random(&[19]));
    let mean = b.op("ReduceMean", &[x, axes]);
    let centred = b.op("Sub", &[x, mean]);
    let squared = b.op("Pow", &[centred, two]);
    let variance = b.op("ReduceMean", &[squared, axes]);
    let sum = b.op("Add", &[variance, epsilon]);
    let root = b.op("Sqrt", &[sum]);
    let y = b.op("Div", &[centred, root]);
    let y = b.op("Mul", &[y, weight]);
    let y = b.op("Add", &[y, bias]);
    b.check(y, &["LayerNormalization"]);
}

fn heads(b: &mut Builder, x: ValueId, perm: &[i64]) -> ValueId {
    let shape = b.ints(&[2, 5, 3, 4]);
    let x = b.op("Reshape", &[x, shape]);
    b.op_with("Transpose", &[x], &[("perm", Attr::Ints(perm.to_vec()))])
}

#[test]
fn attention_takes_in_heads_scale_and_mask() {
    let mut b = Builder::new(9);
    let [q, k, v] = ["q", "k", "v"].map(|name| b.input(name, &[2, 5, 12]));
    let mask = b.input("mask", &[2, 1, 1, 5]);
    let (q, k, v) = (heads(&mut b, q, &[0, 2, 1, 3]), heads(&mut b, k, &[0, 2, 3, 1]), heads(&mut b, v, &[0, 2, 1, 3]));
    let (a, c) = (b.scalar(0.7), b.scalar(2.0));
    let q = b.op("Mul", &[q, a]);
    let scores = b.op("MatMul", &[q, k]);
    let scores = b.op("Div", &[scores, c]);
    let scores = b.op("Add", &[scores, mask]);
    let p = b.op_with("Softmax", &[scores], &[("axis", Attr::Int(-1))]);
    let y = b.op("MatMul", &[p, v]);
    let y = b.op_with("Transpose", &[y], &[("perm", Attr::Ints(vec![0, 2, 1, 3]))]);
    let shape = b.ints(&[2, 5, 12]);
    let y = b.op("Reshape", &[y, shape]);
    b.check(y, &["Attention"]);
}

/// Convolution of random weights with `same` padding.
fn conv(b: &mut Builder, x: ValueId, shape: &[usize], group: i64, stride: i64) -> ValueId {
    let (w, bias) = (b.random(shape), b.random(&shape[..1]));
    let pad = shape[2] as i64 / 2;
    let attrs =
        [("group", Attr::Int(group)), ("strides", Attr::Ints(vec![stride; 2])), ("pads", Attr::Ints(vec![pad; 4]))];
    b.op_with("Conv", &[x, w, bias], &attrs)
}

#[test]
fn inverted_residuals_keep_channels_last() {
    let mut b = Builder::new(30);
    let x = b.input("x", &[2, 3, 19, 23]);
    let stem = conv(&mut b, x, &[20, 3, 3, 3], 1, 2);
    let stem = b.op("Relu", &[stem]);
    let wide = conv(&mut b, stem, &[37, 20, 1, 1], 1, 1);
    let filtered = conv(&mut b, wide, &[37, 1, 5, 5], 37, 1);
    let narrow = conv(&mut b, filtered, &[20, 37, 1, 1], 1, 1);
    let sum = b.op("Add", &[stem, narrow]);
    let y = b.op("GlobalAveragePool", &[sum]);
    let mut expected = ["fewbit.Conv"; 5];
    expected[4] = "fewbit.GlobalAveragePool";
    b.check(y, &expected);
}

/// Values that others read, too, stay channels first, and so do the convolutions that cannot have one side of each.
#[test]
fn channels_last_ends_where_others_read() {
    let mut b = Builder::new(31);
    let x = b.input("x", &[1, 4, 9, 8]);
    let first = conv(&mut b, x, &[18, 4, 3, 3], 1, 1);
    let second = conv(&mut b, first, &[7, 18, 1, 1], 1, 1);
    // Depthwise on a value that Softmax reads: both stay.
    let third = conv(&mut b, second, &[7, 1, 3, 3], 7, 2);
    let filtered = conv(&mut b, third, &[9, 7, 1, 1], 1, 1);
    let softmax = b.op("Softmax", &[second]);
    let a = b.op("GlobalMaxPool", &[softmax]);
    let c = b.op("GlobalMaxPool", &[filtered]);
    let y = b.op_with("Concat", &[a, c], &[("axis", Attr::Int(1))]);
    // first: last; second: from last to first; third and filtered: first.
    let expected =
        ["fewbit.Conv", "fewbit.Conv", "Conv", "Conv", "Softmax", "GlobalMaxPool", "GlobalMaxPool", "Concat"];
    b.check(y, &expected);
}
