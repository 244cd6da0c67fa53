//! Structured removal: the narrow model computes what the whole one does when what reads a channel that was left out sees zeros.
//! The reference is an interpreter in f64. `FEWBIT_TEST_DEVICE=gpu` takes the adapter.

#![cfg(feature = "cli")]

#[path = "narrow/reference.rs"]
mod reference;

use fewbit::Error;
use fewbit::compress::narrow::{Cuts, Kind, Removed};
use fewbit::compress::{Rules, compress, narrow};
use fewbit::graph::{Attr, Attrs, Dim, Graph, Model, ValueId, Weight};
use fewbit::runtime::{Device, Session};
use fewbit::tensor::{DType, Tensor};
use rand::{Rng, SeedableRng, rngs::StdRng};
use reference::{Masks, Value};

fn device() -> Device {
    match std::env::var("FEWBIT_TEST_DEVICE").as_deref() {
        Ok("gpu") => Device::gpu().expect("a GPU run needs an adapter"),
        _ => Device::cpu(1).unwrap(),
    }
}

/// A graph with random weights that grows.
struct Net {
    graph: Graph,
    random: StdRng,
}

impl Net {
    fn new(shape: &[usize]) -> (Self, ValueId) {
        let mut net = Net { graph: Graph::default(), random: StdRng::seed_from_u64(shape.len() as u64) };
        let x = net.graph.add_input("x", DType::F32, shape.iter().map(|&n| Dim::Known(n)).collect());
        (net, x)
    }

    fn weight(&mut self, name: &str, shape: &[usize]) -> ValueId {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| self.random.random_range(-0.7..0.7)).collect();
        self.graph.add_weight(name, Weight::Dense(Tensor::new(shape, &values).unwrap()))
    }

    fn scalar(&mut self, name: &str, value: f32) -> ValueId {
        self.graph.add_weight(name, Weight::Dense(Tensor::scalar(value)))
    }

    fn op(&mut self, op: &str, name: &str, inputs: &[ValueId]) -> ValueId {
        self.graph.add_node(op, name, inputs, Attrs::default())
    }

    fn with(&mut self, op: &str, name: &str, inputs: &[ValueId], attrs: &[(&str, Attr)]) -> ValueId {
        let mut all = Attrs::default();
        attrs.iter().for_each(|(name, value)| all.set(name, value.clone()));
        self.graph.add_node(op, name, inputs, all)
    }

    /// As builders make it.
    fn linear(&mut self, name: &str, x: ValueId, [inputs, outputs]: [usize; 2]) -> ValueId {
        let w = self.weight(&format!("{name}.weight"), &[outputs, inputs]);
        let b = self.weight(&format!("{name}.bias"), &[outputs]);
        self.with("fewbit.Linear", name, &[x, w, b], &[("transposed", Attr::Int(1))])
    }

    /// As ONNX files have it.
    fn matmul(&mut self, name: &str, x: ValueId, [inputs, outputs]: [usize; 2]) -> ValueId {
        let w = self.weight(&format!("{name}.weight"), &[inputs, outputs]);
        let b = self.weight(&format!("{name}.bias"), &[outputs]);
        let y = self.op("MatMul", name, &[x, w]);
        self.op("Add", &format!("{name}.add"), &[b, y])
    }

    fn conv(&mut self, name: &str, x: ValueId, [inputs, outputs, kernel, group]: [usize; 4]) -> ValueId {
        let w = self.weight(&format!("{name}.weight"), &[outputs, inputs / group, kernel, kernel]);
        let b = self.weight(&format!("{name}.bias"), &[outputs]);
        let pads = Attr::Ints(vec![kernel as i64 / 2; 4]);
        self.with("Conv", name, &[x, w, b], &[("group", Attr::Int(group as i64)), ("pads", pads)])
    }

    fn norm(&mut self, name: &str, x: ValueId, channels: usize) -> ValueId {
        let mut inputs = vec![x];
        for part in ["scale", "shift", "mean", "variance"] {
            let id = self.weight(&format!("{name}.{part}"), &[channels]);
            if part == "variance" {
                let values = self.graph.weights[&id].dense().unwrap().to_f32().unwrap();
                let values: Vec<f32> = values.iter().map(|v| v.abs() + 0.5).collect();
                self.graph.weights.insert(id, Weight::Dense(Tensor::new([channels], &values).unwrap()));
            }
            inputs.push(id);
        }
        self.op("BatchNormalization", name, &inputs)
    }

    /// The first two sizes of `x` and constant ones, as exporters compute a shape.
    fn sizes(&mut self, name: &str, x: ValueId, rest: &[i64]) -> ValueId {
        let mut parts = Vec::new();
        for axis in [0i64, 1] {
            let of = |part: &str| format!("{name}.{part}{axis}");
            let sizes = self.op("Shape", &of("shape"), &[x]);
            let index = self.graph.add_weight(of("index"), Weight::Dense(Tensor::scalar(axis)));
            let size = self.op("Gather", &of("size"), &[sizes, index]);
            let zero = self.graph.add_weight(of("zero"), Weight::Dense(Tensor::new([1], &[0i64]).unwrap()));
            parts.push(self.op("Unsqueeze", &of("wide"), &[size, zero]));
        }
        for (i, &n) in rest.iter().enumerate() {
            let constant = Weight::Dense(Tensor::new([1], &[n]).unwrap());
            parts.push(self.graph.add_weight(format!("{name}.rest{i}"), constant));
        }
        self.with("Concat", &format!("{name}.sizes"), &parts, &[("axis", Attr::Int(0))])
    }

    fn done(mut self, y: ValueId) -> Model {
        self.graph.outputs.push(y);
        self.graph.validate().unwrap();
        Model { graph: self.graph, ..Model::default() }
    }
}

fn input(model: &Model, seed: u64) -> Tensor {
    let dims = model.graph.value(model.graph.inputs[0]).dims.clone().unwrap();
    let shape: Vec<usize> = dims.iter().map(|d| if let Dim::Known(n) = d { *n } else { panic!() }).collect();
    let mut random = StdRng::seed_from_u64(seed);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| random.random_range(-1.0..1.0)).collect();
    Tensor::new(shape, &values).unwrap()
}

fn cut(model: &mut Model, what: &str, multiple: Option<usize>, samples: &[Tensor]) -> fewbit::Result<Vec<Removed>> {
    let cuts = Cuts::parse(&[what.to_string()], multiple)?;
    let samples: Vec<Vec<Tensor>> = samples.iter().map(|x| vec![x.clone()]).collect();
    narrow(model, &cuts, |_| true, &samples, &Device::cpu(1)?, || ())
}

/// Cuts, and compares with the interpreter; `readers` of each cut are nodes and how many inputs of each belong to a channel.
fn check(whole: &Model, what: &str, multiple: Option<usize>, readers: &[&[(&str, usize)]], kept: &[usize]) -> Model {
    let mut small = whole.clone();
    let removed = cut(&mut small, what, multiple, &[]).unwrap();
    assert_eq!(removed.iter().map(|r| r.kept.len()).collect::<Vec<_>>(), kept, "{what}");
    assert_eq!(removed.len(), readers.len());
    let mut masks = Masks::new();
    for (removed, readers) in removed.iter().zip(readers) {
        assert!(removed.kept.is_sorted() && removed.kept.last().is_some_and(|&last| last < removed.channels));
        for (reader, inner) in *readers {
            let mask = (0..removed.channels * inner).map(|i| removed.kept.contains(&(i / inner))).collect();
            masks.insert(reader.to_string(), mask);
        }
    }
    small.graph.validate().unwrap();
    let x = input(whole, 5);
    let expected =
        reference::run(&whole.graph, Value::new(x.shape(), x.to_f32().unwrap().iter().map(|&v| f64::from(v))), &masks);
    // What is left out matters.
    let without = reference::run(
        &whole.graph,
        Value::new(x.shape(), x.to_f32().unwrap().iter().map(|&v| f64::from(v))),
        &Masks::new(),
    );
    let differ =
        |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f64::max);
    assert!(differ(&without.data, &expected.data) > 1e-3, "{what}");
    let y = Session::new(&small, &device()).unwrap().run(&[("x", &x)]).unwrap()[0].1.clone();
    assert_eq!(y.shape(), expected.shape);
    let y: Vec<f64> = y.to_f32().unwrap().iter().map(|&v| f64::from(v)).collect();
    let worst = differ(&y, &expected.data);
    assert!(worst < 1e-5, "{what}: {worst}");
    small
}

fn macs(model: &Model) -> u64 {
    let mut session = Session::new(model, &Device::cpu(1).unwrap()).unwrap();
    session.run(&[("x", &input(model, 1))]).unwrap();
    session.report().unwrap().macs
}

#[test]
fn feed_forward_layers_of_builders() {
    // Ragged widths; 100 channels, of which multiples of 16 stay; few, of which any number stays.
    for (hidden, share, kept) in [(100, "ffn=0.3", 64), (37, "ffn=0.3", 26), (192, "ffn=0.5", 96), (5, "ffn=0.9", 1)] {
        let (mut net, x) = Net::new(&[2, 3, 19]);
        let inner = net.linear("up", x, [19, hidden]);
        let inner = net.op("Gelu", "act", &[inner]);
        let y = net.linear("down", inner, [hidden, 19]);
        let y = net.op("Add", "sum", &[x, y]);
        let whole = net.done(y);
        let small = check(&whole, share, None, &[&[("down", 1)]], &[kept]);
        assert_eq!(macs(&small), 6 * 2 * 19 * kept as u64);
        assert_eq!(macs(&whole), 6 * 2 * 19 * hidden as u64);
    }
}

/// A gated layer, of two matrices and of one whose halves are split.
#[test]
fn gated_layers() {
    for split in [false, true] {
        let (mut net, x) = Net::new(&[1, 7, 24]);
        let [gate, up] = if split {
            let both = net.linear("both", x, [24, 2 * 83]);
            let [gate, up] = ["gate", "up"].map(|name| net.graph.add_value(name));
            net.graph.nodes.push(fewbit::graph::Node {
                name: "split".into(),
                op: "Split".into(),
                inputs: vec![Some(both)],
                outputs: vec![Some(gate), Some(up)],
                attrs: Attrs::from([("axis", Attr::Int(-1)), ("num_outputs", Attr::Int(2))]),
            });
            [gate, up]
        } else {
            ["gate", "up"].map(|name| net.linear(name, x, [24, 83]))
        };
        let gate = net.op("Swish", "act", &[gate]);
        let inner = net.op("Mul", "gated", &[gate, up]);
        let y = net.linear("down", inner, [83, 24]);
        check(&net.done(y), "ffn=0.4", Some(10), &[&[("down", 1)]], &[50]);
    }
}

/// GELU as exporters spell it, biases added, both forms of Gemm; a bias that two layers share stays for the other.
#[test]
fn feed_forward_layers_of_onnx() {
    let (mut net, x) = Net::new(&[6, 20]);
    let inner = net.matmul("up", x, [20, 45]);
    let [root, one, half] = [("root", 2f32.sqrt()), ("one", 1.0), ("half", 0.5)].map(|(n, v)| net.scalar(n, v));
    let e = net.op("Div", "div", &[inner, root]);
    let e = net.op("Erf", "erf", &[e]);
    let e = net.op("Add", "plus", &[e, one]);
    let e = net.op("Mul", "times", &[inner, e]);
    let e = net.op("Mul", "halved", &[e, half]);
    let y = net.matmul("down", e, [45, 20]);
    let w = net.weight("gemm.weight", &[20, 45]);
    let shared = net.graph.find("up.bias").unwrap();
    let inner = net.op("Gemm", "gemm", &[y, w, shared]);
    let inner = net.op("Relu", "relu", &[inner]);
    let w = net.weight("last.weight", &[20, 45]);
    let b = net.weight("last.bias", &[1, 20]);
    let y = net.with("Gemm", "last", &[inner, w, b], &[("transB", Attr::Int(1))]);
    let small = check(&net.done(y), "ffn=0.5", None, &[&[("down", 1)], &[("last", 1)]], &[23, 23]);
    assert_eq!(macs(&small), 6 * 4 * 20 * 23);
}

/// An inverted residual with squeeze and excitation, and a classifier behind pooled and behind flattened planes.
#[test]
fn channels_of_convolutions() {
    for flat in [false, true] {
        let (mut net, x) = Net::new(&[2, 6, 7, 5]);
        let wide = net.conv("expand", x, [6, 33, 1, 1]);
        let wide = net.norm("norm", wide, 33);
        let wide = net.op("Relu", "relu", &[wide]);
        let wide = net.conv("depthwise", wide, [33, 33, 3, 33]);
        let [low, high] = [("low", 0.0), ("high", 6.0)].map(|(n, v)| net.scalar(n, v));
        let wide = net.op("Clip", "relu6", &[wide, low, high]);
        let factors = net.weight("factors", &[33, 1, 1]);
        let wide = net.op("Mul", "scaled", &[wide, factors]);
        let gate = net.op("GlobalAveragePool", "pool", &[wide]);
        let gate = net.conv("squeeze", gate, [33, 4, 1, 1]);
        let gate = net.op("Relu", "squeezed", &[gate]);
        let gate = net.conv("excite", gate, [4, 33, 1, 1]);
        let gate = net.op("HardSigmoid", "gate", &[gate]);
        let wide = net.op("Mul", "gated", &[wide, gate]);
        let y = net.conv("project", wide, [33, 6, 1, 1]);
        let y = net.op("Add", "sum", &[y, x]);
        let y = net.conv("head", y, [6, 17, 3, 1]);
        let y = net.op("Relu", "head.relu", &[y]);
        let inner = if flat { 35 } else { 1 };
        let y = if flat { y } else { net.op("GlobalAveragePool", "head.pool", &[y]) };
        let y = net.op("Flatten", "flatten", &[y]);
        let y = net.matmul("classes", y, [17 * inner, 9]);
        let readers: &[&[(&str, usize)]] =
            &[&[("squeeze", 1), ("project", 1)], &[("excite", 1)], &[("classes", inner)]];
        let small = check(&net.done(y), "channels=0.4", None, readers, &[20, 2, 10]);
        let node = small.graph.nodes.iter().find(|n| n.name == "depthwise").unwrap();
        assert_eq!(node.attrs.int("group"), Some(20));
    }
}

#[test]
fn heads_of_attentions() {
    // Heads of queries and of keys and values, and how many of the latter stay.
    for (heads, kv_heads, kept) in [(6, 6, 4), (6, 3, 2)] {
        let (mut net, x) = Net::new(&[2, 5, 18]);
        let parts = [("q", heads), ("k", kv_heads), ("v", kv_heads)];
        let qkv =
            parts.map(
                |(name, n)| {
                    if name == "k" { net.matmul(name, x, [18, 7 * n]) } else { net.linear(name, x, [18, 7 * n]) }
                },
            );
        let attrs = [("q_num_heads", Attr::Int(heads as i64)), ("kv_num_heads", Attr::Int(kv_heads as i64))];
        let seen = net.with("Attention", "attention", &qkv, &attrs);
        let y = net.linear("out", seen, [7 * heads, 18]);
        let y = net.op("Add", "sum", &[x, y]);
        check(&net.done(y), "heads=0.34", None, &[&[("out", 7 * heads / kv_heads)]], &[kept]);
    }
}

/// As exporters spell them: a mask that is the same for all heads, both ways to turn keys, sizes that are constants or computed.
#[test]
fn heads_that_are_spelled_out() {
    for twice in [false, true] {
        let (mut net, x) = Net::new(&[2, 5, 18]);
        let sizes = net.graph.add_weight("sizes", Weight::Dense(Tensor::new([4], &[0i64, 0, 6, 7]).unwrap()));
        let parts = ["q", "k", "v"].map(|name| {
            let y = net.matmul(name, x, [18, 42]);
            let sizes = if twice { net.sizes(name, y, &[6, 7]) } else { sizes };
            let y = net.op("Reshape", &format!("{name}.split"), &[y, sizes]);
            let perm = if name == "k" && !twice { vec![0, 2, 3, 1] } else { vec![0, 2, 1, 3] };
            let y = net.with("Transpose", &format!("{name}.turned"), &[y], &[("perm", Attr::Ints(perm))]);
            match name == "k" && twice {
                true => net.with("Transpose", "k.columns", &[y], &[("perm", Attr::Ints(vec![0, 1, 3, 2]))]),
                false => y,
            }
        });
        let root = net.scalar("root", 7f32.sqrt());
        let mask = net.weight("mask", &[2, 1, 1, 5]);
        let scores = net.op("MatMul", "scores", &parts[..2]);
        let scores = net.op("Div", "scaled", &[scores, root]);
        let scores = net.op("Add", "masked", &[scores, mask]);
        let scores = net.with("Softmax", "softmax", &[scores], &[("axis", Attr::Int(-1))]);
        let seen = net.op("MatMul", "seen", &[scores, parts[2]]);
        let seen = net.with("Transpose", "back", &[seen], &[("perm", Attr::Ints(vec![0, 2, 1, 3]))]);
        let flat = match twice {
            true => net.sizes("flat", seen, &[42]),
            false => net.graph.add_weight("flat", Weight::Dense(Tensor::new([3], &[0i64, 0, 42]).unwrap())),
        };
        let seen = net.op("Reshape", "joined", &[seen, flat]);
        let y = net.matmul("out", seen, [42, 18]);
        let y = net.op("Add", "sum", &[x, y]);
        let whole = net.done(y);
        check(&whole, "heads=0.34", None, &[&[("out", 7)]], &[4]);
        // A mask of each head's own stays, and with it the heads.
        let mut own = whole.clone();
        let id = own.graph.find("mask").unwrap();
        own.graph.weights.insert(id, Weight::Dense(Tensor::new([1, 6, 1, 5], &[0.5f32; 30]).unwrap()));
        assert!(matches!(cut(&mut own, "heads=0.34", None, &[]), Err(Error::Usage(_))));
    }
}

/// Weights alone keep the channel with the larger weights, samples the one that is not silent on them.
#[test]
fn samples_tell_which_channels_matter() {
    let (mut net, x) = Net::new(&[4, 2]);
    let up = net
        .graph
        .add_weight("up.weight", Weight::Dense(Tensor::new([3, 2], &[5f32, 0.0, 0.0, 1.0, 0.1, 0.1]).unwrap()));
    let inner = net.with("fewbit.Linear", "up", &[x, up], &[("transposed", Attr::Int(1))]);
    let inner = net.op("Relu", "relu", &[inner]);
    let down = net
        .graph
        .add_weight("down.weight", Weight::Dense(Tensor::new([3, 2], &[4f32, 4.0, 2.0, 2.0, 0.1, 0.1]).unwrap()));
    let y = net.op("MatMul", "down", &[inner, down]);
    let whole = net.done(y);
    let kept = |samples: &[Tensor]| cut(&mut whole.clone(), "ffn=0.7", None, samples).unwrap()[0].kept.clone();
    assert_eq!(kept(&[]), [0]);
    let sample = Tensor::new([4, 2], &[0f32, 1.0, -1.0, 2.0, -3.0, 1.0, 0.0, 0.5]).unwrap();
    assert_eq!(kept(&[sample]), [1]);
}

/// Of two blocks the one that turns its input more keeps more; both together keep what was asked.
#[test]
fn blocks_that_turn_their_input_keep_more() {
    let (mut net, mut x) = Net::new(&[8, 16]);
    for (block, size) in [("a", 0.05), ("b", 2.0)] {
        let inner = net.linear(&format!("{block}.up"), x, [16, 100]);
        let inner = net.op("Gelu", &format!("{block}.act"), &[inner]);
        let y = net.linear(&format!("{block}.down"), inner, [100, 16]);
        let size = net.scalar(&format!("{block}.size"), size);
        let y = net.op("Mul", &format!("{block}.scaled"), &[y, size]);
        x = net.op("Add", &format!("{block}.sum"), &[x, y]);
    }
    let whole = net.done(x);
    let samples: Vec<Tensor> = (0..3).map(|i| input(&whole, i)).collect();
    let removed = cut(&mut whole.clone(), "ffn=0.5", Some(1), &samples).unwrap();
    let [a, b] = &removed[..] else { panic!("{removed:?}") };
    assert!(a.angle < b.angle && a.angle.is_some_and(|angle| angle > 0.0), "{removed:?}");
    // σ(−1) and σ(1).
    assert_eq!([a.kept.len(), b.kept.len()], [27, 73]);
    let mut uniform = whole.clone();
    assert!(
        cut(&mut uniform, "ffn=0.5", Some(1), &[]).unwrap().iter().all(|r| r.kept.len() == 50 && r.angle.is_none())
    );
}

/// What more than a layer's inside depends on stays as it is.
#[test]
fn what_is_not_hidden_stays() {
    let refused = |model: Model, what: &str| {
        let mut small = model.clone();
        assert!(matches!(cut(&mut small, what, None, &[]), Err(Error::Usage(_))), "{what}");
        assert_eq!(small.graph.weights.len(), model.graph.weights.len());
    };
    // A stream that two layers add to.
    let (mut net, x) = Net::new(&[2, 8]);
    let a = net.linear("a", x, [8, 12]);
    let b = net.linear("b", x, [8, 12]);
    let sum = net.op("Add", "sum", &[a, b]);
    let bent = net.op("Relu", "relu", &[sum]);
    let y = net.linear("c", bent, [12, 8]);
    refused(net.done(y), "ffn=0.5");
    // Hidden channels that are an output too.
    let (mut net, x) = Net::new(&[2, 8]);
    let a = net.linear("a", x, [8, 12]);
    let bent = net.op("Relu", "relu", &[a]);
    let y = net.linear("c", bent, [12, 8]);
    net.graph.outputs.push(y);
    refused(net.done(bent), "ffn=0.5");
    // A pooler, and two layers that are one.
    let (mut net, x) = Net::new(&[2, 8]);
    let a = net.linear("pooler", x, [8, 8]);
    let bent = net.op("Tanh", "tanh", &[a]);
    let y = net.linear("classes", bent, [8, 3]);
    let y = net.linear("left", y, [3, 3]);
    refused(net.done(y), "ffn=0.5");
    // What looks at several channels at once.
    let (mut net, x) = Net::new(&[2, 8]);
    let a = net.linear("a", x, [8, 12]);
    let mixed = net.op("Softmax", "softmax", &[a]);
    let y = net.linear("c", mixed, [12, 8]);
    let whole = net.done(y);
    refused(whole.clone(), "ffn=0.5");
    refused(whole.clone(), "channels=0.5");
    refused(whole, "heads=0.5");
}

#[test]
fn mistakes_are_named() {
    for text in ["ffn", "ffn=0", "ffn=1", "ffn=nan", "rows=0.5", "ffn=0.5=1"] {
        assert!(matches!(Cuts::parse(&[text.to_string()], None), Err(Error::Usage(_))), "{text}");
    }
    assert!(Cuts::parse(&["ffn=0.5".to_string(), "ffn=0.25".to_string()], None).is_err());
    assert!(Cuts::parse(&["ffn=0.5".to_string()], Some(0)).is_err());
}

/// What is left is stored in any encoding.
#[test]
fn narrow_layers_are_encoded() {
    let (mut net, x) = Net::new(&[3, 32]);
    let inner = net.matmul("up", x, [32, 96]);
    let inner = net.op("Gelu", "act", &[inner]);
    let y = net.matmul("down", inner, [96, 32]);
    let mut model = net.done(y);
    let removed = cut(&mut model, "ffn=0.5", None, &[]).unwrap();
    assert_eq!((removed[0].kind, removed[0].kept.len()), (Kind::Ffn, 48));
    let rules = Rules::parse(&["affine:4:group=16".to_string()], None, None).unwrap();
    let narrowed = model.clone();
    compress(&mut model, &rules, &[], &Device::cpu(1).unwrap(), |_| ()).unwrap();
    let run = |model: &Model| {
        Session::new(model, &device()).unwrap().run(&[("x", &input(model, 9))]).unwrap()[0].1.to_f32().unwrap()
    };
    let (before, after) = (run(&narrowed), run(&model));
    let norm = |v: &mut dyn Iterator<Item = f32>| v.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    let error = norm(&mut before.iter().zip(&after).map(|(a, b)| a - b)) / norm(&mut before.iter().copied());
    assert!(error > 0.0 && error < 0.3, "{error}");
}
