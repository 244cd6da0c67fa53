//! Elementwise activations on the GPU.
#![cfg(feature = "gpu")]

#[path = "gpu/harness.rs"]
#[allow(dead_code)]
mod harness;

use fewbit::graph::{Attr, Attrs};
use harness::{In, assert_close, run_node, tensor};

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[test]
fn activations_equal_their_definitions() {
    type Case = (&'static str, Attrs, fn(f64) -> f64);
    let mut tanh = Attrs::default();
    tanh.set("approximate", Attr::String("tanh".into()));
    let cases: [Case; 6] = [
        ("Relu", Attrs::default(), |x| x.max(0.0)),
        ("Sigmoid", Attrs::default(), sigmoid),
        ("HardSigmoid", Attrs::default(), |x| (0.2 * x + 0.5).clamp(0.0, 1.0)),
        ("HardSwish", Attrs::default(), |x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
        ("Tanh", Attrs::default(), f64::tanh),
        ("Gelu", tanh, |x| 0.5 * x * (1.0 + (0.797_884_560_8 * (x + 0.044715 * x * x * x)).tanh())),
    ];
    for (op, attrs, f) in cases {
        for shape in [vec![], vec![1], vec![3, 577], vec![0, 8]] {
            let x = tensor(&shape, 7);
            let want: Vec<f64> = x.slice::<f32>().unwrap().iter().map(|&v| f(v.into())).collect();
            let got = run_node(op, attrs.clone(), &[In::Run(x.clone())], std::slice::from_ref(x.ty()));
            assert_close(op, &got[0], &want, 2e-6);
        }
    }
}

#[test]
fn more_elements_than_one_grid_dimension_holds() {
    let x = tensor(&[65_535 * 64 + 77], 3);
    let want: Vec<f64> = x.slice::<f32>().unwrap().iter().map(|&v| f64::from(v).max(0.0)).collect();
    let got = run_node("Relu", Attrs::default(), &[In::Run(x.clone())], std::slice::from_ref(x.ty()));
    assert_close("Relu", &got[0], &want, 0.0);
}
