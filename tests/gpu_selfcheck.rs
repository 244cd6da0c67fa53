//! The self-check passes on the adapter under test, and the 8-bit integer product is exact.
#![cfg(feature = "gpu")]
#![allow(clippy::unwrap_used)]

#[path = "gpu/harness.rs"]
#[allow(dead_code)]
mod harness;

use fewbit::graph::Attrs;
use fewbit::tensor::{DType, Tensor, TensorType};
use harness::{In, device, run_node};

#[test]
fn every_family_agrees_with_the_cpu() {
    let verdicts = pollster::block_on(fewbit::gpu::selfcheck::self_check(&device())).unwrap();
    assert!(verdicts.iter().all(|v| v.passed), "{verdicts:?}");
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
