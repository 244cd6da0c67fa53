//! The shared product cases on the CPU: every instruction set that this processor has, one thread and several, weights
//! known beforehand and not. Outputs start as 0xff bytes (NaN), so that an element left out shows.
#![allow(clippy::unwrap_used)]

mod ops;

use fewbit::cpu::simd::Level;
use fewbit::cpu::{Arg, Call, Packs, Prepare, Threads};
use fewbit::graph::{Node, ValueId, Weight};
use fewbit::ops::Infer;
use fewbit::tensor::Tensor;
use ops::Case;

fn run(case: &Case, threads: &Threads, prepared: bool) -> Vec<f32> {
    let id = |i: usize| Some(ValueId(i as u32));
    let inputs = case.inputs.iter().enumerate().map(|(i, w)| w.as_ref().and(id(i))).collect();
    let node = Node {
        name: case.name.clone(),
        op: case.op.into(),
        inputs,
        outputs: vec![id(case.inputs.len())],
        attrs: case.attrs.clone(),
    };
    let types: Vec<_> = case.inputs.iter().map(|w| w.as_ref().map(Weight::ty)).collect();
    let infer = Infer { node: &node, types: types.clone(), values: vec![None; types.len()] };
    // Convolutions with channels last keep the type of the others, and have no shape function of their own.
    let op = if case.op == "fewbit.Conv" { "Conv" } else { case.op };
    let ty = fewbit::ops::find(op).unwrap()(&infer).unwrap().remove(0);
    let kernel = fewbit::cpu::find(case.op).unwrap();
    let weights: Vec<_> = case.inputs.iter().map(Option::as_ref).collect();
    let packs = Packs::default();
    let prepare = Prepare { node: &node, types: &types, weights: &weights, threads, packs: &packs };
    let work = kernel.prepare.filter(|_| prepared).and_then(|p| p(&prepare).unwrap());
    let args: Vec<Option<Arg>> = case
        .inputs
        .iter()
        .map(|w| {
            w.as_ref().map(|w| match w {
                Weight::Dense(t) => Arg::Dense(t.view()),
                Weight::Encoded(e) => Arg::Encoded(e),
            })
        })
        .collect();
    let mut out = Tensor::from_bytes(ty.clone(), &vec![0xff; ty.bytes()]).unwrap();
    let mut outputs = [out.view_mut()];
    let mut call = Call { node: &node, inputs: &args, outputs: &mut outputs, prepared: work.as_ref(), threads };
    (kernel.run)(&mut call).unwrap();
    out.to_f32().unwrap()
}

fn check(cases: &[Case]) {
    assert!(!cases.is_empty());
    for level in Level::available() {
        for count in [1, 3] {
            let threads = Threads::new(count).unwrap().with_level(level).unwrap();
            for case in cases {
                for prepared in [false, true] {
                    let how = format!("{}, {count} threads, prepared: {prepared}", level.name());
                    case.check(&how, &run(case, &threads, prepared));
                }
            }
        }
    }
}

#[test]
fn linear_dense() {
    check(&ops::linear::dense_cases());
}

#[test]
fn linear_few_bit() {
    check(&ops::linear::encoded_cases());
}

#[test]
fn linear_fused() {
    check(&ops::linear::fused_cases());
}

#[test]
fn matmul_and_gemm() {
    check(&ops::matmul::cases());
}

#[test]
fn conv_dense() {
    check(&ops::conv::dense_cases());
}

#[test]
fn conv_few_bit() {
    check(&ops::conv::encoded_cases());
}

#[test]
fn conv_fused() {
    check(&ops::conv::fused_cases());
}

#[test]
fn conv_channels_last() {
    check(&ops::conv::last_cases());
}

#[test]
fn conv_transpose() {
    check(&ops::conv_transpose::cases());
}

#[test]
fn attention() {
    check(&ops::attention::cases());
}

#[test]
fn matmul_integer() {
    check(&ops::integer::matmul_cases());
}
