//! The arithmetic operators: each case on the CPU, with every instruction set, one thread and several, and on the GPU,
//! all of which must agree; elementwise ones also with their definition in f64. Shapes are empty, ragged and large.
#![allow(clippy::unwrap_used)]

#[cfg(feature = "gpu")]
#[path = "gpu/harness.rs"]
#[allow(dead_code)]
mod harness;

use fewbit::cpu::simd::Level;
use fewbit::cpu::{Arg, Call, Threads};
use fewbit::graph::{Attr, Attrs, Node, ValueId};
use fewbit::ops::Infer;
use fewbit::tensor::{Tensor, TensorType};

/// An operator, its attributes, inputs that arrive at run time, and inputs that are constants.
struct Case {
    op: &'static str,
    attrs: Attrs,
    inputs: Vec<Tensor>,
    constants: Vec<Tensor>,
    /// Whether the GPU has this form.
    on_gpu: bool,
}

fn case(op: &'static str, inputs: Vec<Tensor>) -> Case {
    Case { op, attrs: Attrs::default(), inputs, constants: vec![], on_gpu: true }
}

impl Case {
    fn int(mut self, name: &str, value: i64) -> Self {
        self.attrs.set(name, Attr::Int(value));
        self
    }

    fn constant(mut self, t: Tensor) -> Self {
        self.constants.push(t);
        self
    }

    fn only_cpu(mut self) -> Self {
        self.on_gpu = false;
        self
    }

    fn tensors(&self) -> Vec<&Tensor> {
        self.inputs.iter().chain(&self.constants).collect()
    }

    fn node(&self) -> Node {
        let id = |i: usize| Some(ValueId(i as u32));
        let count = self.tensors().len();
        Node {
            name: self.op.into(),
            op: self.op.into(),
            inputs: (0..count).map(id).collect(),
            outputs: vec![id(count)],
            attrs: self.attrs.clone(),
        }
    }

    fn output_type(&self, node: &Node) -> TensorType {
        let tensors = self.tensors();
        let types = tensors.iter().map(|t| Some(t.ty().clone())).collect();
        let values = tensors.iter().map(|t| Some(*t)).collect();
        fewbit::ops::find(self.op).unwrap()(&Infer { node, types, values }).unwrap().remove(0)
    }

    fn on_cpu(&self, threads: &Threads) -> Tensor {
        let node = self.node();
        let mut out = Tensor::zeros(self.output_type(&node)).unwrap();
        out.bytes_mut().fill(0xa5);
        let args: Vec<Option<Arg>> = self.tensors().iter().map(|t| Some(Arg::Dense(t.view()))).collect();
        let mut outputs = [out.view_mut()];
        let mut call = Call { node: &node, inputs: &args, outputs: &mut outputs, prepared: None, threads };
        (fewbit::cpu::find(self.op).unwrap().run)(&mut call).unwrap();
        out
    }

    /// All backends against the portable, single-threaded kernel, which is returned.
    fn check(&self, tolerance: f32) -> Tensor {
        let portable = Threads::single().with_level(Level::Portable).unwrap();
        let want = self.on_cpu(&portable);
        for level in Level::available() {
            for count in [1, 3] {
                let threads = Threads::new(count).unwrap().with_level(level).unwrap();
                self.agree(&format!("{}, {count} threads", level.name()), &self.on_cpu(&threads), &want, tolerance);
            }
        }
        #[cfg(feature = "gpu")]
        if self.on_gpu {
            use harness::In;
            let run = self.inputs.iter().cloned().map(In::Run);
            let inputs: Vec<In> = run.chain(self.constants.iter().cloned().map(In::Weight)).collect();
            let got = harness::run_node(self.op, self.attrs.clone(), &inputs, &[want.ty().clone()]);
            self.agree("GPU", &got[0], &want, tolerance);
        }
        want
    }

    fn agree(&self, how: &str, got: &Tensor, want: &Tensor, tolerance: f32) {
        assert_eq!(got.ty(), want.ty());
        for (i, (g, w)) in got.to_f32().unwrap().iter().zip(want.to_f32().unwrap()).enumerate() {
            let close = *g == w || (g.is_nan() && w.is_nan()) || (g - w).abs() <= tolerance * (1.0 + w.abs());
            let shapes: Vec<_> = self.tensors().iter().map(|t| t.shape().to_vec()).collect();
            assert!(close, "{} {shapes:?} on {how}: element {i} is {g}, not {w}", self.op);
        }
    }
}

/// Reproducible values in −3 … 3.
fn values(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 * 6.0 - 3.0
    };
    (0..count).map(|_| next()).collect()
}

fn floats(shape: &[usize], seed: u32) -> Tensor {
    Tensor::new(shape, &values(shape.iter().product(), seed)).unwrap()
}

fn positive(shape: &[usize], seed: u32) -> Tensor {
    let v: Vec<f32> = values(shape.iter().product(), seed).iter().map(|v| v.abs() + 0.125).collect();
    Tensor::new(shape, &v).unwrap()
}

fn ints(shape: &[usize], seed: u32) -> Tensor {
    let v: Vec<i32> = values(shape.iter().product(), seed).iter().map(|v| (v * 40.0) as i32 * 2 + 1).collect();
    Tensor::new(shape, &v).unwrap()
}

fn wide(shape: &[usize], seed: u32) -> Tensor {
    let v: Vec<i64> = values(shape.iter().product(), seed).iter().map(|v| (v * 1e10) as i64).collect();
    Tensor::new(shape, &v).unwrap()
}

#[test]
fn unary_operators_are_their_definitions() {
    type Definition = fn(f64) -> f64;
    let definitions: &[(&str, Definition)] = &[
        ("Abs", f64::abs),
        ("Ceil", f64::ceil),
        ("Cos", f64::cos),
        ("Elu", |x| if x < 0.0 { x.exp_m1() } else { x }),
        ("Exp", f64::exp),
        ("Floor", f64::floor),
        ("HardSigmoid", |x| (0.2 * x + 0.5).clamp(0.0, 1.0)),
        ("HardSwish", |x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
        ("LeakyRelu", |x| if x < 0.0 { 0.01 * x } else { x }),
        ("Log", f64::ln),
        ("Mish", |x| x * x.exp().ln_1p().tanh()),
        ("Neg", |x| -x),
        ("Reciprocal", |x| 1.0 / x),
        ("Relu", |x| x.max(0.0)),
        ("Round", f64::round_ties_even),
        ("Sigmoid", |x| 1.0 / (1.0 + (-x).exp())),
        ("Sin", f64::sin),
        ("Softplus", |x| x.exp().ln_1p()),
        ("Softsign", |x| x / (1.0 + x.abs())),
        ("Sqrt", f64::sqrt),
        ("Swish", |x| x / (1.0 + (-x).exp())),
        ("Tanh", f64::tanh),
    ];
    for &(op, f) in definitions {
        for shape in [&[][..], &[0, 8], &[3, 577], &[40_007]] {
            let x = if ["Log", "Sqrt"].contains(&op) { positive(shape, 7) } else { floats(shape, 7) };
            let got = case(op, vec![x.clone()]).check(4e-6);
            for (x, y) in x.to_f32().unwrap().iter().zip(got.to_f32().unwrap()) {
                let want = f(f64::from(*x));
                assert!((f64::from(y) - want).abs() <= 2e-6 * (1.0 + want.abs()), "{op}({x}) = {y}, not {want}");
            }
        }
    }
    for op in ["Erf", "Gelu", "Celu", "Selu", "Shrink", "ThresholdedRelu", "IsNaN", "IsInf", "Sign"] {
        case(op, vec![floats(&[3, 577], 5)]).check(4e-6);
    }
}

#[test]
fn special_values() {
    let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1e-40, 3e38, -100.0, 100.0];
    let x = Tensor::new([9], &special).unwrap();
    let of = |op| case(op, vec![x.clone()]).on_cpu(&Threads::single()).to_f32().unwrap();
    assert_eq!(of("Exp")[1..3], [f32::INFINITY, 0.0]);
    assert!((of("Tanh")[1] - 1.0).abs() < 2e-7 && (of("Tanh")[2] + 1.0).abs() < 2e-7);
    assert_eq!(of("Sigmoid")[1..3], [1.0, 0.0]);
    for op in ["Exp", "Tanh", "Sigmoid", "Erf", "Relu", "Sqrt", "Softplus"] {
        assert!(of(op)[0].is_nan(), "{op}(NaN)");
    }
    for op in ["IsNaN", "IsInf"] {
        case(op, vec![x.clone()]).check(0.0);
    }
    let y = Tensor::new([9], &[1.0f32; 9]).unwrap();
    for op in ["Max", "Min", "Equal", "Less", "GreaterOrEqual"] {
        case(op, vec![x.clone(), y.clone()]).check(0.0);
    }
}

/// Pairs that broadcast: same, scalar, last axis, channel, both ways, rank 5, empty, large.
const PAIRS: &[(&[usize], &[usize])] = &[
    (&[3, 577], &[3, 577]),
    (&[2, 3, 4], &[]),
    (&[2, 5, 77], &[77]),
    (&[2, 5, 7, 3], &[5, 1, 1]),
    (&[1, 70], &[61, 1]),
    (&[2, 1, 3, 1, 5], &[4, 1, 2, 1]),
    (&[0, 3], &[1, 3]),
    (&[300, 257], &[257]),
];

#[test]
fn binary_operators_broadcast() {
    for &(a, b) in PAIRS {
        for op in ["Add", "Sub", "Mul", "Div", "PRelu", "Max", "Min", "Mean", "Less", "Equal"] {
            if op == "PRelu" && (a.len() < b.len() || a == [1, 70]) {
                continue;
            }
            case(op, vec![floats(a, 1), floats(b, 2)]).check(1e-6);
        }
        case("Pow", vec![positive(a, 1), floats(b, 2)]).check(2e-5);
        case("Mod", vec![floats(a, 1), positive(b, 2)]).int("fmod", 1).check(1e-5);
        for op in ["Add", "Sub", "Mul", "Div", "Mod", "Max", "GreaterOrEqual", "BitwiseXor"] {
            case(op, vec![ints(a, 1), ints(b, 2)]).check(0.0);
        }
        for op in ["Add", "Sub", "Mul", "Max", "Min", "Less", "Equal"] {
            case(op, vec![wide(a, 1), wide(b, 2)]).check(0.0);
        }
        let condition = case("Less", vec![floats(a, 3), floats(b, 4)]).on_cpu(&Threads::single());
        case("Where", vec![condition.clone(), floats(a, 1), floats(b, 2)]).check(0.0);
        case("Where", vec![condition, wide(a, 1), wide(b, 2)]).check(0.0);
    }
    let c = floats(&[5, 1], 9);
    for op in ["Sum", "Mean", "Max", "Min"] {
        case(op, vec![floats(&[2, 5, 7], 1), floats(&[7], 2), c.clone(), floats(&[], 3)]).check(1e-6);
    }
}

#[test]
fn casts_between_all_types_of_the_gpu() {
    let sources = [floats(&[1003], 1), ints(&[1003], 2), wide(&[1003], 3)];
    // ONNX numbers: float, uint8, int8, int16, int32, int64, bool, uint32
    for to in [1, 2, 3, 5, 6, 7, 9, 12] {
        for x in &sources {
            // Floats beyond the target's range are left to the platform.
            case("Cast", vec![x.clone()]).int("to", to).check(1e-6);
        }
    }
}

#[test]
fn reductions_over_every_set_of_axes() {
    let sets: &[(&[usize], &[i64])] = &[
        (&[], &[]),
        (&[7], &[0]),
        (&[3, 577], &[1]),
        (&[3, 577], &[0]),
        (&[3, 4, 5, 6], &[1, 3]),
        (&[3, 4, 5, 6], &[-2, 0]),
        (&[100, 70, 3], &[1, 2]),
        (&[2, 40_003], &[-1]),
        (&[300, 65], &[]),
        (&[0, 5], &[1]),
        (&[5, 0], &[1]),
    ];
    for &(shape, axes) in sets {
        for op in [
            "ReduceSum",
            "ReduceMean",
            "ReduceMax",
            "ReduceMin",
            "ReduceL1",
            "ReduceL2",
            "ReduceSumSquare",
            "ReduceLogSum",
            "ReduceLogSumExp",
        ] {
            let x = if op == "ReduceLogSum" { positive(shape, 1) } else { floats(shape, 1) };
            case(op, vec![x]).constant(Tensor::new([axes.len()], axes).unwrap()).int("keepdims", 0).check(3e-5);
        }
        for op in ["ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd"] {
            case(op, vec![ints(shape, 1)]).constant(Tensor::new([axes.len()], axes).unwrap()).check(0.0);
        }
    }
    let mean = case("ReduceMean", vec![Tensor::new([2, 3], &[1f32, 2.0, 6.0, 0.0, 0.0, -3.0]).unwrap()])
        .constant(Tensor::new([1], &[1i64]).unwrap())
        .check(0.0);
    assert_eq!(mean.to_f32().unwrap(), [3.0, -1.0]);
}

#[test]
fn along_an_axis() {
    for (shape, axis) in
        [(&[3, 577][..], 1), (&[3, 577], 0), (&[2, 5, 7], 1), (&[1, 6625], -1), (&[200, 100], -1), (&[0, 4], 1)]
    {
        for op in ["Softmax", "LogSoftmax", "Hardmax"] {
            case(op, vec![floats(shape, 1)]).int("axis", axis).check(2e-6);
        }
        for op in ["CumSum", "CumProd"] {
            let x = Tensor::new(shape, &vec![1.001f32; shape.iter().product()]).unwrap();
            let at = Tensor::scalar(axis);
            case(op, vec![x.clone()]).constant(at.clone()).int("exclusive", 1).int("reverse", 1).check(1e-4);
            case(op, vec![ints(shape, 2)]).constant(at).check(0.0);
        }
        for op in ["ArgMax", "ArgMin"] {
            case(op, vec![ints(shape, 1)]).int("axis", axis).int("select_last_index", 1).check(0.0);
            case(op, vec![floats(shape, 1)]).int("axis", axis).check(0.0);
        }
    }
    let softmax = case("Softmax", vec![Tensor::new([2], &[0f32, 3f32.ln()]).unwrap()]).check(1e-6);
    let [a, b] = softmax.to_f32().unwrap()[..] else { panic!("two elements") };
    assert!((a - 0.25).abs() < 1e-6 && (b - 0.75).abs() < 1e-6);
}

#[test]
fn normalisations() {
    for (rows, width) in [(1, 1), (3, 577), (200, 96), (2, 40_003)] {
        let inputs = || vec![floats(&[rows, width], 1), floats(&[width], 2), floats(&[width], 3)];
        case("LayerNormalization", inputs()).check(2e-4);
        case("RMSNormalization", inputs()[..2].to_vec()).check(1e-5);
    }
    // A large mean must not drown the variance.
    let shifted: Vec<f32> = values(640, 4).iter().map(|v| v + 1000.0).collect();
    let x = Tensor::new([10, 64], &shifted).unwrap();
    let ones = Tensor::new([64], &[1f32; 64]).unwrap();
    let zeros = Tensor::new([64], &[0f32; 64]).unwrap();
    let y = case("LayerNormalization", vec![x, ones, zeros]).check(1e-3).to_f32().unwrap();
    for row in y.chunks(64) {
        let square: f32 = row.iter().map(|v| v * v).sum::<f32>() / 64.0;
        assert!((square - 1.0).abs() < 1e-3, "variance {square}");
    }
    for shape in [&[2, 6, 5, 7][..], &[1, 6, 1], &[3, 6], &[0, 6, 4]] {
        let (x, s, b) = (floats(shape, 1), positive(&[6], 2), floats(&[6], 3));
        case("BatchNormalization", vec![x.clone(), s.clone(), b.clone(), floats(&[6], 4), positive(&[6], 5)])
            .check(1e-5);
        if shape.len() > 2 {
            case("InstanceNormalization", vec![x.clone(), s.clone(), b.clone()]).check(1e-4);
            case("GroupNormalization", vec![x.clone(), s, b]).int("num_groups", 3).check(1e-4);
            case("LRN", vec![x]).int("size", 3).only_cpu().check(1e-6);
        }
    }
}

#[test]
fn quantisation() {
    let x = floats(&[3, 8, 5], 1);
    let per_axis = (positive(&[8], 2), Tensor::new([8], &[1i8, -2, 3, 0, 5, -6, 7, 8]).unwrap());
    let q = case("QuantizeLinear", vec![x.clone(), per_axis.0.clone(), per_axis.1.clone()]).check(0.0);
    case("DequantizeLinear", vec![q, per_axis.0, per_axis.1]).check(1e-6);
    let blocks = (positive(&[3, 3, 5], 3), Tensor::new([3, 3, 5], &[7u8; 45]).unwrap());
    let q = case("QuantizeLinear", vec![x.clone(), blocks.0.clone(), blocks.1.clone()]).int("block_size", 3).check(0.0);
    case("DequantizeLinear", vec![q, blocks.0, blocks.1]).int("block_size", 3).check(1e-6);
    let scale = Tensor::scalar(0.05f32);
    let q = case("QuantizeLinear", vec![x, scale.clone()]).check(0.0);
    case("DequantizeLinear", vec![q, scale]).check(1e-6);
}
