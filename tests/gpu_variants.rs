//! Every variant that a kernel can be tuned to computes the same, and tuning finds one.
#![cfg(feature = "gpu")]
#![allow(clippy::unwrap_used)]

#[path = "gpu/case.rs"]
mod case;
#[path = "gpu/harness.rs"]
#[allow(dead_code)]
mod harness;
mod ops;

use fewbit::cpu::Threads;
use fewbit::gpu::choices::MOST;
use fewbit::graph::{Attr, Dim, Graph, Model, Weight};
use fewbit::runtime::{Device, Session};
use fewbit::tensor::DType;
use ops::{Case, Random};

/// One test, because trials are the device's.
#[test]
fn variants_agree_and_are_chosen_among() {
    // Every encoding and size comes up, not every pair.
    let few_bit: Vec<Case> = ops::linear::encoded_cases().into_iter().step_by(31).collect();
    let conv: Vec<Case> = ops::conv::dense_cases().into_iter().step_by(3).collect();
    let all = [ops::linear::dense_cases(), ops::linear::sparse_row_cases(), few_bit, ops::matmul::cases(), conv];
    for variant in 0..MOST {
        harness::device().choices().set_trial(Some(variant));
        for case in all.iter().flatten() {
            case.check(&format!("variant {variant} on {}", harness::device().name()), &case::run(case, true));
        }
    }
    harness::device().choices().set_trial(None);
    tuning_finds_choices();
}

fn tuning_finds_choices() {
    let mut random = Random::new(3);
    let mut graph = Graph::default();
    let x = graph.add_input("x", DType::F32, vec![Dim::Symbol("m".into()), Dim::Known(96)]);
    let weight = ops::encodings::affine(80, 96, 4, 32, true, 1);
    let weight = graph.add_weight("weight", Weight::Encoded(std::sync::Arc::new(weight)));
    let y = graph.add_node("fewbit.Linear", "y", &[x, weight], ops::attrs(&[("transposed", Attr::Int(1))]));
    graph.outputs.push(y);
    let model = Model { graph, ..Model::default() };
    let device = Device::Gpu(harness::device(), Threads::single());
    let mut session = Session::new(&model, &device).unwrap();
    for rows in [1, 33] {
        let x = random.tensor(&[rows, 96]);
        let before = session.run(&[("x", &x)]).unwrap();
        assert_eq!(session.tune(&[("x", &x)]).unwrap(), 1);
        let after = session.run(&[("x", &x)]).unwrap();
        for (a, b) in before[0].1.slice::<f32>().unwrap().iter().zip(after[0].1.slice::<f32>().unwrap()) {
            assert!((a - b).abs() <= 1e-4, "{rows} rows: {a} became {b}");
        }
    }
    let text = harness::device().choices().to_text();
    let keys: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once(' ')?.1)).collect();
    assert_eq!(keys.len(), 2, "{text}");
    assert!(keys.iter().all(|key| key.starts_with("fewbit.Linear affine:4")), "{text}");
}
