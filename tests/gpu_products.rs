//! The shared product cases on the GPU, weights known beforehand and not.
#![cfg(feature = "gpu")]
#![allow(clippy::unwrap_used)]

#[path = "gpu/harness.rs"]
#[allow(dead_code)]
mod harness;
mod ops;

use fewbit::graph::Weight;
use harness::{In, run_node};
use ops::Case;

fn run(case: &Case, constant: bool) -> Vec<f32> {
    let input = |(i, w): (usize, &Option<Weight>)| match w {
        None => In::Absent,
        Some(Weight::Dense(t)) if i == 0 || !constant => In::Run(t.clone()),
        Some(Weight::Dense(t)) => In::Weight(t.clone()),
        Some(Weight::Encoded(e)) => In::Encoded(e.clone()),
    };
    let inputs: Vec<In> = case.inputs.iter().enumerate().map(input).collect();
    run_node(case.op, case.attrs.clone(), &inputs, &[case.output_type()])[0].to_f32().unwrap()
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

ops::shared_tests!(check);
