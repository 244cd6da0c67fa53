//! The shared product cases on the GPU, weights known beforehand and not.
#![cfg(feature = "gpu")]
#![allow(clippy::unwrap_used)]

#[path = "gpu/harness.rs"]
#[allow(dead_code)]
mod harness;
mod ops;

use fewbit::graph::{Node, ValueId, Weight};
use fewbit::ops::Infer;
use harness::{In, run_node};
use ops::Case;

fn run(case: &Case, constant: bool) -> Vec<f32> {
    let id = |i: usize| Some(ValueId(i as u32));
    let node = Node {
        name: case.name.clone(),
        op: case.op.into(),
        inputs: case.inputs.iter().enumerate().map(|(i, w)| w.as_ref().and(id(i))).collect(),
        outputs: vec![id(case.inputs.len())],
        attrs: case.attrs.clone(),
    };
    let types: Vec<_> = case.inputs.iter().map(|w| w.as_ref().map(Weight::ty)).collect();
    let infer = Infer { node: &node, types: types.clone(), values: vec![None; types.len()] };
    let ty = fewbit::ops::find(case.op).unwrap()(&infer).unwrap().remove(0);
    let input = |(i, w): (usize, &Option<Weight>)| match w {
        None => In::Absent,
        Some(Weight::Dense(t)) if i == 0 || !constant => In::Run(t.clone()),
        Some(Weight::Dense(t)) => In::Weight(t.clone()),
        Some(Weight::Encoded(e)) => In::Encoded(e.clone()),
    };
    let inputs: Vec<In> = case.inputs.iter().enumerate().map(input).collect();
    run_node(case.op, case.attrs.clone(), &inputs, &[ty])[0].to_f32().unwrap()
}

fn check(cases: &[Case]) {
    assert!(!cases.is_empty());
    for case in cases {
        // A dense weight may be a constant or come at run time.
        let dense = case.inputs.iter().skip(1).flatten().any(|w| matches!(w, Weight::Dense(_)));
        for &constant in if dense { [false, true].as_slice() } else { &[true] } {
            let how = format!("{}, weights known: {constant}", harness::device().name());
            case.check(&how, &run(case, constant));
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
fn conv_transpose() {
    check(&ops::conv_transpose::cases());
}

#[test]
fn attention() {
    check(&ops::attention::cases());
}
