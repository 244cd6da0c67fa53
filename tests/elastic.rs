//! Elastic precision: each of the 28 forms is what EQ-Net's formula gives (numpy, `pkg-scripts/encoding_cases.py`), and one
//! session serves them all from one file that it read once.

#![cfg(feature = "full")]

use std::path::PathBuf;

use fewbit::compress::{Rules, compress};
use fewbit::graph::{Attr, Attrs, Dim, Graph, Model, Weight};
use fewbit::runtime::{Device, Session};
use fewbit::tensor::{DType, Tensor};
use fewbit::weights::elastic::Precision;
use fewbit::weights::{Elastic, Encoded};
use half::f16;

/// A named tensor of the golden file.
fn golden(name: &str) -> Tensor {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/data/encodings/elastic.safetensors"].iter().collect();
    let file = Model::open(path).unwrap();
    file.graph.weights[&file.graph.find(name).unwrap()].dense().unwrap().clone()
}

const WEIGHTS: [&str; 2] = ["plain", "offsets"];

fn elastic(name: &str) -> Elastic {
    let w = golden(&format!("{name}.w"));
    let [rows, cols] = w.shape().try_into().unwrap();
    let mut padded = vec![f16::ZERO; rows * cols.next_multiple_of(2)];
    for (row, w) in padded.chunks_mut(cols.next_multiple_of(2)).zip(w.slice::<f16>().unwrap().chunks(cols)) {
        row[..cols].copy_from_slice(w);
    }
    let values = Tensor::new([rows, cols.next_multiple_of(2)], &padded).unwrap();
    let tables = ["channel", "channel_symmetric", "layer", "layer_symmetric"].map(|t| golden(&format!("{name}.{t}")));
    Elastic::new(vec![rows, cols], values, tables).unwrap()
}

/// `y = x · weightᵀ`
fn linear(weight: Weight) -> Model {
    let cols = weight.ty().shape[1];
    let mut graph = Graph::default();
    let x = graph.add_input("x", DType::F32, vec![Dim::Symbol("rows".into()), Dim::Known(cols)]);
    let weight = graph.add_weight("weight", weight);
    let mut attrs = Attrs::default();
    attrs.set("transposed", Attr::Int(1));
    let y = graph.add_node("fewbit.Linear", "y", &[x, weight], attrs);
    graph.outputs.push(y);
    Model { graph, ..Model::default() }
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance, "{what}: {a} for {b} at {i}");
    }
}

#[test]
fn every_form_is_what_the_formula_gives() {
    for name in WEIGHTS {
        let elastic = elastic(name);
        for precision in Precision::all() {
            let expected = golden(&format!("{name}.expected.{precision}")).to_f32().unwrap();
            let form = Encoded::from(elastic.at(precision).unwrap());
            let stored = if precision.bits == 7 { 8 } else { precision.bits };
            assert!(form.as_encoding().name().starts_with(&format!("affine:{stored}:")));
            let found = form.to_dense().unwrap().to_f32().unwrap();
            assert_close(&found, &expected, 1e-5, &format!("{name} at {precision}"));
        }
        let finest = golden(&format!("{name}.expected.8")).to_f32().unwrap();
        assert_close(&Encoded::from(elastic).to_dense().unwrap().to_f32().unwrap(), &finest, 1e-5, name);
    }
}

/// The file is gone before the first form is asked for.
#[test]
fn one_session_serves_every_form_of_one_file() {
    for name in WEIGHTS {
        let path = std::env::temp_dir().join(format!("fewbit-elastic-{}-{name}.fewbit", std::process::id()));
        linear(Weight::Encoded(std::sync::Arc::new(elastic(name).into()))).save(&path).unwrap();
        let model = Model::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let cols = model.graph.weights.values().next().unwrap().ty().shape[1];
        // The rows of the identity give the weight's columns: no sums, whose rounding would hide the forms'.
        let identity: Vec<f32> = (0..cols * cols).map(|i| f32::from(u8::from(i / cols == i % cols))).collect();
        let x = Tensor::new([cols, cols], &identity).unwrap();
        let mut session = Session::new(&model, &Device::cpu(1).unwrap()).unwrap();
        let mut bytes = Vec::new();
        let forms = std::iter::once(None).chain(Precision::all().map(Some)).chain([Some(Precision::default())]);
        for precision in forms {
            if let Some(precision) = precision {
                session.set_precision(precision).unwrap();
            }
            let precision = precision.unwrap_or_default();
            let y = session.run(&[("x", &x)]).unwrap()[0].1.to_f32().unwrap();
            let expected = golden(&format!("{name}.expected.{precision}")).to_f32().unwrap();
            let rows = expected.len() / cols;
            let transposed: Vec<f32> = (0..y.len()).map(|i| expected[i % rows * cols + i / rows]).collect();
            assert_close(&y, &transposed, 1e-5, &format!("{name} at {precision}"));
            let report = session.report().unwrap();
            assert!(report.decoded.is_empty());
            bytes.push((precision.bits, report.weight_bytes));
        }
        // Few bits are what the plan holds: 2 bits take less than 4, and those less than 8.
        let of = |bits: u32| bytes.iter().filter(|(b, _)| *b == bits).map(|(_, bytes)| *bytes).max().unwrap();
        assert!(of(2) < of(4) && of(4) < of(8), "{bytes:?}");
    }
}

#[test]
fn a_compressed_model_is_served_in_fewer_bits() {
    let (rows, cols) = (24, 100);
    let values: Vec<f32> = (0..rows * cols).map(|i| ((i * 7919 % 1009) as f32 / 504.0 - 1.0) * 0.1).collect();
    let mut model = linear(Weight::Dense(Tensor::new([rows, cols], &values).unwrap()));
    let device = Device::cpu(1).unwrap();
    let mut plain = Session::new(&model, &device).unwrap();
    let x: Vec<f32> = (0..3 * cols).map(|i| (i * 31 % 17) as f32 / 8.0 - 1.0).collect();
    let x = Tensor::new([3, cols], &x).unwrap();
    let exact = plain.run(&[("x", &x)]).unwrap()[0].1.to_f32().unwrap();
    assert!(plain.set_precision(Precision::default()).unwrap_err().to_string().contains("no elastic weights"));

    let rules = Rules::parse(&["elastic".into()], None, None).unwrap();
    let reports = compress(&mut model, &rules, &[], &device, |_| ()).unwrap();
    assert_eq!(reports[0].encoding, "elastic");
    let mut session = Session::new(&model, &device).unwrap();
    let mut error = |precision: &str| {
        session.set_precision(precision.parse().unwrap()).unwrap();
        let y = session.run(&[("x", &x)]).unwrap()[0].1.to_f32().unwrap();
        y.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max)
    };
    let errors = ["2", "4", "6", "8"].map(&mut error);
    assert!(errors.windows(2).all(|pair| pair[1] < 0.7 * pair[0]), "{errors:?}");
    // Weights lie within ±0.1: half a step of 8 bits for each, and what half precision rounds.
    let inputs =
        x.slice::<f32>().unwrap().chunks(cols).map(|x| x.iter().map(|v| v.abs()).sum::<f32>()).fold(0f32, f32::max);
    assert!(errors[3] < inputs * (0.1 / 255.0 + 0.1 / 2048.0), "{errors:?}");
}
