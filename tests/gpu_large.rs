//! A weight larger than what WebGPU promises for one binding.
#![cfg(feature = "gpu")]
#![allow(clippy::unwrap_used)]

#[path = "gpu/harness.rs"]
#[allow(dead_code)]
mod harness;
mod ops;

use std::sync::Arc;

use fewbit::graph::{Attr, Attrs};
use fewbit::tensor::{DType, Tensor, TensorType};
use fewbit::weights::{Affine, Encoded, Zero};
use harness::In;
use ops::Random;

/// 4-bit rows of more than the adapter binds at once, if that is no more than 256 MiB (128 MiB is what WebGPU promises).
#[test]
fn more_than_the_adapter_binds() {
    let limit = harness::device().limits().max_storage_buffer_binding_size.min(256 << 20) as usize;
    let cols = 4104;
    let rows = limit / (cols / 2) + 37;
    let mut random = Random::new(9);
    let words: Vec<u32> = (0..rows * cols / 8).map(|_| random.below(1 << 30) as u32 * 5).collect();
    let codes = Tensor::from_bytes(TensorType::new(DType::U8, [rows, cols / 2]), bytemuck::cast_slice(&words)).unwrap();
    let scales: Vec<f32> = random.values(rows);
    let scales = Tensor::new([rows, 1], &scales).unwrap();
    let weight = Affine::new(vec![rows, cols], 4, cols, codes, scales, Zero::Middle).unwrap();
    let weight: Arc<Encoded> = Arc::new(weight.into());

    let x = random.tensor(&[1, cols]);
    let inputs = [In::Run(x.clone()), In::Encoded(weight.clone())];
    let attrs = ops::attrs(&[("transposed", Attr::Int(1))]);
    let y = harness::run_node("fewbit.Linear", attrs, &inputs, &[TensorType::new(DType::F32, [1, rows])]);
    let picks: Vec<i64> = [0, 1, rows / 3, rows - 38, rows - 1].map(|row| row as i64).to_vec();
    let inputs = [In::Encoded(weight.clone()), In::Run(Tensor::new([picks.len()], &picks).unwrap())];
    let picked =
        harness::run_node("Gather", Attrs::default(), &inputs, &[TensorType::new(DType::F32, [picks.len(), cols])]);

    let x = x.slice::<f32>().unwrap();
    let mut row = vec![0f32; cols];
    for (i, &got) in y[0].slice::<f32>().unwrap().iter().enumerate() {
        weight.as_encoding().decode(i, 0, &mut row);
        let want: f64 = row.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum();
        let size: f64 = row.iter().zip(x).map(|(&w, &x)| f64::from(w * x).abs()).sum();
        assert!((f64::from(got) - want).abs() <= 1e-6 * size.max(1.0), "row {i} is {got}, expected {want}");
        if let Some(pick) = picks.iter().position(|&p| p == i as i64) {
            let got = &picked[0].slice::<f32>().unwrap()[pick * cols..][..cols];
            assert_eq!(got, row, "row {i} of the table");
        }
    }
}
