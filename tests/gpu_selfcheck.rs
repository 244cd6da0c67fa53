//! The self-check passes on the adapter under test, and the 8-bit integer product is exact.
#![cfg(feature = "gpu")]
#![allow(clippy::unwrap_used)]

#[path = "gpu/harness.rs"]
#[allow(dead_code)]
mod harness;

use std::sync::Arc;

use fewbit::cpu::Threads;
use fewbit::gpu::GpuDevice;
use fewbit::graph::{Attrs, Dim, Graph, Model};
use fewbit::runtime::{Device, Session};
use fewbit::tensor::{DType, Tensor, TensorType};
use harness::{In, device, run_node};

#[test]
fn every_family_agrees_with_the_cpu() {
    let verdicts = pollster::block_on(fewbit::gpu::selfcheck::self_check(&device())).unwrap();
    assert!(verdicts.iter().all(|v| v.passed), "{verdicts:?}");
}

fn relu_model() -> Model {
    let mut graph = Graph::default();
    let x = graph.add_input("x", DType::F32, vec![Dim::Known(3)]);
    let y = graph.add_node("Relu", "y", &[x], Attrs::default());
    graph.outputs.push(y);
    Model { graph, ..Model::default() }
}

#[test]
fn a_session_checks_its_operators_and_leaves_out_what_fails() {
    let gpu = Arc::new(pollster::block_on(GpuDevice::new()).unwrap());
    let device = Device::Gpu(gpu.clone(), Threads::single());
    let x = Tensor::new([3], &[-1f32, 0.0, 2.0]).unwrap();
    let run = || {
        let mut session = Session::new(&relu_model(), &device).unwrap();
        let y = session.run(&[("x", &x)]).unwrap().remove(0).1.to_f32().unwrap();
        assert_eq!(y, [0.0, 0.0, 2.0]);
        session.report().unwrap().nodes[0].place.clone()
    };
    assert!(!gpu.is_checked("Relu"));
    assert_eq!(run(), "gpu");
    assert!(gpu.is_checked("Relu") && !gpu.is_checked("Conv"));
    gpu.disable("Relu");
    assert!(run().contains("differs from the CPU"));
}

#[test]
fn integer_product_is_exact() {
    let (m, k, n) = (7usize, 13usize, 37usize);
    let a: Vec<u8> = (0..m * k).map(|i| (i * 37 % 251) as u8).collect();
    let b: Vec<i8> = (0..k * n).map(|i| (i * 31 % 255) as i8).collect();
    let a_zero = 7u8;
    let b_zero: Vec<i8> = (0..n).map(|i| i as i8 - 9).collect();
    let product = |row: usize, col: usize, j: usize| {
        (i32::from(a[row * k + j]) - i32::from(a_zero)) * (i32::from(b[j * n + col]) - i32::from(b_zero[col]))
    };
    let want: Vec<i32> = (0..m * n).map(|i| (0..k).map(|j| product(i / n, i % n, j)).sum()).collect();
    let inputs = [
        In::Run(Tensor::new([m, k], &a).unwrap()),
        In::Weight(Tensor::new([k, n], &b).unwrap()),
        In::Weight(Tensor::scalar(a_zero)),
        In::Weight(Tensor::new([n], &b_zero).unwrap()),
    ];
    let got = run_node("MatMulInteger", Attrs::default(), &inputs, &[TensorType::new(DType::I32, [m, n])]);
    assert_eq!(got[0].slice::<i32>().unwrap(), want);
}
