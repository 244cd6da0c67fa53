//! Networks whose filters a predictor chooses for each input (FTWT): what is left out of a run, and that the result is that of
//! the masked network. The reference is an interpreter in f64. `FEWBIT_TEST_DEVICE=gpu` takes the adapter.
//!
//! `cargo test --release --test gated -- --ignored --nocapture` times a network with 50 % of its filters beside the whole one.

#![cfg(feature = "cli")]

#[path = "narrow/reference.rs"]
mod reference;

use std::time::Instant;

use fewbit::graph::{Attr, Attrs, Dim, Graph, Model, ValueId, Weight};
use fewbit::runtime::{Device, Session};
use fewbit::tensor::{DType, Tensor};
use rand::{Rng, SeedableRng, rngs::StdRng};
use reference::{Masks, Value};

/// ONNX's number of f32.
const FLOAT: i64 = 1;

fn on_gpu() -> bool {
    std::env::var("FEWBIT_TEST_DEVICE").as_deref() == Ok("gpu")
}

fn device() -> Device {
    if on_gpu() { Device::gpu().expect("a GPU run needs an adapter") } else { Device::cpu(2).unwrap() }
}

/// A residual network of convolutions, with random weights.
struct Net {
    graph: Graph,
    random: StdRng,
    /// Whether predictors choose filters.
    gated: bool,
}

impl Net {
    fn new(shape: &[usize], gated: bool) -> (Self, ValueId) {
        let mut net = Net { graph: Graph::default(), random: StdRng::seed_from_u64(7), gated };
        let x = net.graph.add_input("x", DType::F32, shape.iter().map(|&n| Dim::Known(n)).collect());
        (net, x)
    }

    fn weight(&mut self, name: &str, shape: &[usize]) -> ValueId {
        let scale = 1.7 / (shape[1..].iter().product::<usize>() as f32).sqrt();
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| self.random.random_range(-scale..scale)).collect();
        self.graph.add_weight(name, Weight::Dense(Tensor::new(shape, &values).unwrap()))
    }

    fn op(&mut self, op: &str, name: &str, inputs: &[ValueId]) -> ValueId {
        self.graph.add_node(op, name, inputs, Attrs::default())
    }

    fn conv(&mut self, name: &str, x: ValueId, [inputs, outputs, kernel, stride]: [usize; 4]) -> ValueId {
        let w = self.weight(&format!("{name}.weight"), &[outputs, inputs, kernel, kernel]);
        let b = self.weight(&format!("{name}.bias"), &[outputs]);
        let attrs = [("pads", Attr::Ints(vec![kernel as i64 / 2; 4])), ("strides", Attr::Ints(vec![stride as i64; 2]))];
        self.graph.add_node("Conv", name, &[x, w, b], Attrs::from(attrs))
    }

    /// `conv(x)` times 1 where `sigmoid(predictor(mean of x)) > 0.5`, else 0. `bent`: the activation stands before the mask.
    fn chosen(&mut self, name: &str, x: ValueId, sizes: [usize; 4], bent: bool) -> ValueId {
        let mut y = self.conv(name, x, sizes);
        if bent {
            y = self.op("Relu", &format!("{name}.relu"), &[y]);
        }
        let of = |part: &str| format!("{name}.{part}");
        if self.gated {
            let mean = self.op("GlobalAveragePool", &of("pool"), &[x]);
            let [inputs, outputs, ..] = sizes;
            // Without a bias and of centred means, about half of all.
            let w = self.weight(&of("predictor"), &[outputs, inputs, 1, 1]);
            let logits = self.op("Conv", &of("logits"), &[mean, w]);
            let share = self.op("Sigmoid", &of("share"), &[logits]);
            let half = self.graph.add_weight(of("half"), Weight::Dense(Tensor::scalar(0.5f32)));
            let open = self.op("Greater", &of("open"), &[share, half]);
            let mask = self.graph.add_node("Cast", &of("mask"), &[open], Attrs::from([("to", Attr::Int(FLOAT))]));
            y = self.op("Mul", &of("masked"), &[mask, y]);
        }
        if bent { y } else { self.op("Relu", &of("relu"), &[y]) }
    }

    /// Two convolutions and what is added to them; the first one's filters are chosen, or both's.
    fn block(&mut self, name: &str, x: ValueId, [inputs, outputs, stride]: [usize; 3], both: bool) -> ValueId {
        let of = |part: &str| format!("{name}.{part}");
        let y = self.chosen(&of("a"), x, [inputs, outputs, 3, stride], !both);
        let y = if both {
            self.chosen(&of("b"), y, [outputs, outputs, 3, 1], true)
        } else {
            self.conv(&of("b"), y, [outputs, outputs, 3, 1])
        };
        let side = if inputs == outputs { x } else { self.conv(&of("side"), x, [inputs, outputs, 1, stride]) };
        let sum = self.op("Add", &of("sum"), &[y, side]);
        self.op("Relu", &of("out"), &[sum])
    }

    fn done(mut self, y: ValueId) -> Model {
        self.graph.outputs.push(y);
        self.graph.validate().unwrap();
        Model { graph: self.graph, ..Model::default() }
    }
}

fn input(shape: &[usize], seed: u64) -> Tensor {
    let mut random = StdRng::seed_from_u64(seed);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| random.random_range(-1.0..1.0)).collect();
    Tensor::new(shape, &values).unwrap()
}

fn count(session: &Session, op: &str) -> usize {
    session.report().unwrap().nodes.iter().filter(|node| node.op == op).count()
}

#[test]
fn equals_the_masked_network() {
    let shape = [2, 5, 9, 11];
    let (mut net, x) = Net::new(&shape, true);
    let y = net.block("one", x, [5, 14, 2], true);
    let y = net.block("two", y, [14, 14, 1], false);
    let model = net.done(y);
    let mut session = Session::new(&model, &device()).unwrap();
    for seed in 0..3 {
        let x = input(&shape, seed);
        let wide = Value::new(x.shape(), x.to_f32().unwrap().iter().map(|&v| f64::from(v)));
        let expected = reference::run(&model.graph, wide, &Masks::new());
        let y = session.run(&[("x", &x)]).unwrap()[0].1.to_f32().unwrap();
        for (y, want) in y.iter().zip(&expected.data) {
            assert!((f64::from(*y) - want).abs() < 1e-5 * (1.0 + want.abs()), "{y} {want}");
        }
    }
    // Three convolutions with a mask, one that reads what a mask left; others are the two predictors' and the side's.
    assert_eq!(count(&session, "fewbit.GatedConv"), 4);
    assert_eq!(count(&session, "Mul"), 0);
    let nodes = session.report().unwrap().nodes;
    let place = if on_gpu() { "gpu" } else { "cpu" };
    assert!(nodes.iter().all(|node| node.place == place), "{nodes:?}");
}

/// A factor that may be anything is no mask, nor is one for all filters or each pixel.
#[test]
fn other_factors_stay() {
    for shape in [[1, 6, 1, 1], [1, 1, 5, 5], [1, 6, 5, 5]] {
        let (mut net, x) = Net::new(&[1, 4, 5, 5], true);
        let y = net.conv("conv", x, [4, 6, 3, 1]);
        let factor = net.graph.add_input("factor", DType::F32, shape.map(Dim::Known).to_vec());
        let factor = if shape[2] == 1 {
            factor
        } else {
            let zero = net.graph.add_weight("zero", Weight::Dense(Tensor::scalar(0f32)));
            let open = net.op("Greater", "open", &[factor, zero]);
            net.graph.add_node("Cast", "mask", &[open], Attrs::from([("to", Attr::Int(FLOAT))]))
        };
        let y = net.op("Mul", "masked", &[y, factor]);
        let model = net.done(y);
        let mut session = Session::new(&model, &Device::cpu(1).unwrap()).unwrap();
        session.run(&[("x", &input(&[1, 4, 5, 5], 1)), ("factor", &input(&shape, 2))]).unwrap();
        assert_eq!(count(&session, "fewbit.GatedConv"), 0, "{shape:?}");
    }
}

/// The shape of ResNet-34 without its stem, at 224 pixels.
fn resnet(gated: bool, both: bool) -> Model {
    let (mut net, mut x) = Net::new(&[1, 64, 56, 56], gated);
    let mut inputs = 64;
    for (stage, (blocks, outputs)) in [(3, 64), (4, 128), (6, 256), (3, 512)].into_iter().enumerate() {
        for block in 0..blocks {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            x = net.block(&format!("{stage}.{block}"), x, [inputs, outputs, stride], both);
            inputs = outputs;
        }
    }
    net.done(x)
}

/// Of all filters that are chosen, the share that are computed.
fn share(x: &Tensor, both: bool) -> f64 {
    let mut model = resnet(true, both);
    let masks = (0..model.graph.values.len() as u32).map(ValueId);
    model.graph.outputs = masks.filter(|id| model.graph.value(*id).name.ends_with(".mask")).collect();
    let masks = Session::new(&model, &Device::cpu(2).unwrap()).unwrap().run(&[("x", x)]).unwrap();
    let values: Vec<f32> = masks.iter().flat_map(|(_, mask)| mask.to_f32().unwrap()).collect();
    f64::from(values.iter().sum::<f32>()) / values.len() as f64
}

#[test]
#[ignore = "a measurement"]
fn time() {
    let x = input(&[1, 64, 56, 56], 3);
    let devices: &[usize] = if on_gpu() { &[0] } else { &[1, 2] };
    for &threads in devices {
        for both in [false, true] {
            let device = if on_gpu() { device() } else { Device::cpu(threads).unwrap() };
            let mut sessions = [false, true].map(|gated| Session::new(&resnet(gated, both), &device).unwrap());
            let mut times = [Vec::new(), Vec::new()];
            for round in 0..15 {
                for (session, times) in sessions.iter_mut().zip(&mut times) {
                    let start = Instant::now();
                    session.run(&[("x", &x)]).unwrap();
                    if round > 1 {
                        times.push(start.elapsed().as_secs_f64() * 1e3);
                    }
                }
            }
            let [whole, chosen] = times.map(|mut times| {
                times.sort_by(f64::total_cmp);
                times[times.len() / 2]
            });
            let times = whole / chosen;
            let share = share(&x, both);
            let on = if on_gpu() { "GPU".into() } else { format!("{threads} threads") };
            println!("{on}, both {both}, {share:.3} of filters: {whole:.1} ms, {chosen:.1} ms, {times:.2} times");
        }
    }
}
