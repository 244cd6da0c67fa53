//! A shared product case on the GPU.

use fewbit::graph::Weight;

use crate::harness::{In, run_node};
use crate::ops::Case;

/// `constant`: the dense operands behind the first are known when the program is built.
pub fn run(case: &Case, constant: bool) -> Vec<f32> {
    let input = |(i, w): (usize, &Option<Weight>)| match w {
        None => In::Absent,
        Some(Weight::Dense(t)) if i == 0 || !constant => In::Run(t.clone()),
        Some(Weight::Dense(t)) => In::Weight(t.clone()),
        Some(Weight::Encoded(e)) => In::Encoded(e.clone()),
    };
    let inputs: Vec<In> = case.inputs.iter().enumerate().map(input).collect();
    run_node(case.op, case.attrs.clone(), &inputs, &[case.output_type()])[0].to_f32().unwrap()
}
