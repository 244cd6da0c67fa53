//! Cases that every backend runs: a node, its inputs, and what it must give, computed here in f64.
#![allow(dead_code, unused_macros, clippy::unwrap_used)]

pub mod attention;
pub mod conv;
pub mod conv_transpose;
pub mod direct;
pub mod embed;
pub mod encodings;
pub mod few_bit;
pub mod gated_conv;
pub mod integer;
pub mod linear;
pub mod matmul;

use std::sync::Arc;

pub use encodings::{encodings, odd_encodings, rare_encodings};
use fewbit::graph::{Attr, Attrs, Node, ValueId, Weight};
use fewbit::ops::Infer;
use fewbit::tensor::{DType, Tensor, TensorType};
use fewbit::weights::{Affine, Encoded, HalfFloat, Palette, Zero};
use half::f16;

pub struct Case {
    pub name: String,
    pub op: &'static str,
    pub attrs: Attrs,
    pub inputs: Vec<Option<Weight>>,
    /// First output.
    pub expected: Vec<f64>,
}

impl Case {
    /// The node: its inputs are values 0, 1, …, its output the value behind them.
    pub fn node(&self) -> Node {
        let id = |i: usize| Some(ValueId(i as u32));
        Node {
            name: self.name.clone(),
            op: self.op.into(),
            inputs: self.inputs.iter().enumerate().map(|(i, w)| w.as_ref().and(id(i))).collect(),
            outputs: vec![id(self.inputs.len())],
            attrs: self.attrs.clone(),
        }
    }

    pub fn input_types(&self) -> Vec<Option<TensorType>> {
        self.inputs.iter().map(|w| w.as_ref().map(Weight::ty)).collect()
    }

    /// What the operator's shape function says of the first output.
    pub fn output_type(&self) -> TensorType {
        let (node, types) = (self.node(), self.input_types());
        let infer = Infer { node: &node, types: types.clone(), values: vec![None; types.len()] };
        // Convolutions with channels last keep the type of the others, and have no shape function of their own.
        let op = if self.op == "fewbit.Conv" { "Conv" } else { self.op };
        fewbit::ops::find(op).unwrap()(&infer).unwrap().remove(0)
    }

    /// Panics unless `got` is within 10⁻⁵ of the largest expected magnitude.
    pub fn check(&self, how: &str, got: &[f32]) {
        assert_eq!(got.len(), self.expected.len(), "{} ({how})", self.name);
        let largest = self.expected.iter().fold(1.0f64, |m, v| m.max(v.abs()));
        for (i, (&got, &want)) in got.iter().zip(&self.expected).enumerate() {
            let error = (f64::from(got) - want).abs();
            assert!(error <= 1e-5 * largest, "{} ({how}): element {i} is {got}, expected {want}", self.name);
        }
    }
}

/// Reproducible numbers.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n.max(1)
    }

    /// In −1 … 1, on a grid of 2⁻¹².
    pub fn value(&mut self) -> f32 {
        self.below(8193) as f32 / 4096.0 - 1.0
    }

    pub fn values(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.value()).collect()
    }

    pub fn tensor(&mut self, shape: &[usize]) -> Tensor {
        Tensor::new(shape, &self.values(shape.iter().product())).unwrap()
    }
}

pub fn dense(tensor: &Tensor) -> Option<Weight> {
    Some(Weight::Dense(tensor.clone()))
}

pub fn wide(tensor: &Tensor) -> Vec<f64> {
    tensor.to_f32().unwrap().into_iter().map(f64::from).collect()
}

pub fn attrs(list: &[(&str, Attr)]) -> Attrs {
    let mut attrs = Attrs::default();
    list.iter().for_each(|(name, value)| attrs.set(name, value.clone()));
    attrs
}

/// The fused activations with their definition.
pub fn activations() -> Vec<(&'static str, fn(f64) -> f64)> {
    vec![
        ("relu", |x| x.max(0.0)),
        ("relu6", |x| x.clamp(0.0, 6.0)),
        ("clip", |x| x.clamp(-0.5, 0.75)),
        ("sigmoid", |x| 1.0 / (1.0 + (-x).exp())),
        ("silu", |x| x / (1.0 + (-x).exp())),
        ("hardsigmoid", |x| (0.25 * x + 0.5).clamp(0.0, 1.0)),
        ("hardswish", |x| x * (0.25 * x + 0.5).clamp(0.0, 1.0)),
        ("gelu", |x| 0.5 * x * (1.0 + erf(x / 2f64.sqrt()))),
        ("tanh", f64::tanh),
    ]
}

/// Attributes of a fused activation of `activations`.
pub fn activation_attrs(attrs: &mut Attrs, name: &str) {
    attrs.set("fewbit.activation", Attr::String(name.into()));
    attrs.set("fewbit.min", Attr::Float(-0.5));
    attrs.set("fewbit.max", Attr::Float(0.75));
    attrs.set("fewbit.alpha", Attr::Float(0.25));
    attrs.set("fewbit.beta", Attr::Float(0.5));
}

/// Error function by its Taylor series; the arguments here are small.
fn erf(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    if x.abs() > 5.0 { x.signum() } else { sum * 2.0 / std::f64::consts::PI.sqrt() }
}

pub fn encoded(weight: Encoded) -> Option<Weight> {
    Some(Weight::Encoded(Arc::new(weight)))
}

/// The same tensor as half precision numbers.
pub fn halved(tensor: &Tensor) -> Tensor {
    assert_eq!(tensor.dtype(), DType::F32);
    let values: Vec<f16> = tensor.to_f32().unwrap().into_iter().map(f16::from_f32).collect();
    Tensor::new(tensor.shape(), &values).unwrap()
}

/// A test per table of cases that every backend runs, each a call of `$check`.
macro_rules! shared_tests {
    ($check:ident: $($name:ident => $cases:expr,)*) => {
        $(#[test]
        fn $name() {
            $check(&$cases);
        })*
    };
    ($check:ident) => {
        crate::ops::shared_tests! { $check:
            linear_dense => crate::ops::linear::dense_cases(),
            linear_few_bit => crate::ops::linear::encoded_cases(),
            linear_sparse_row => crate::ops::linear::sparse_row_cases(),
            linear_every_form => crate::ops::linear::form_cases(),
            embed_few_bit => crate::ops::embed::cases(),
            linear_fused => crate::ops::linear::fused_cases(),
            matmul_and_gemm => crate::ops::matmul::cases(),
            conv_dense => crate::ops::conv::dense_cases(),
            conv_few_bit => crate::ops::conv::encoded_cases(),
            conv_fused => crate::ops::conv::fused_cases(),
            conv_gated => crate::ops::gated_conv::dense_cases(),
            conv_gated_few_bit => crate::ops::gated_conv::encoded_cases(),
            conv_transpose => crate::ops::conv_transpose::cases(),
            conv_transpose_few_bit => crate::ops::conv_transpose::few_encoded_cases(),
            attention => crate::ops::attention::cases(),
        }
    };
}
#[allow(unused_imports)] // in a browser one test runs the tables it has time for
pub(crate) use shared_tests;
