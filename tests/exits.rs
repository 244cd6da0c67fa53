//! Early exit: which layers run, and what comes out. On the CPU or, with `FEWBIT_TEST_DEVICE=gpu`, on the adapter whose name
//! contains `FEWBIT_TEST_ADAPTER`.

#![cfg(all(feature = "full", feature = "cli"))]
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use fewbit::graph::{Attr, Attrs, Dim, Graph, Model, ValueId, Weight};
use fewbit::runtime::{Device, Session};
use fewbit::tasks::accuracy::{Accuracy, accuracy};
use fewbit::tasks::{Classifier, EarlyExit};
use fewbit::tensor::{DType, Tensor};
use fewbit::vision::{Labelled, image_tensor};

/// Of 5,000 pictures that no training saw, this loses 0.2 points (pkg-scripts/train_fashion_exits.py).
const THRESHOLD: f32 = 0.13;

fn device() -> Device {
    if std::env::var("FEWBIT_TEST_DEVICE").as_deref() != Ok("gpu") {
        return Device::cpu(2).unwrap();
    }
    let device = Device::gpu().expect("a GPU run needs an adapter");
    let wanted = std::env::var("FEWBIT_TEST_ADAPTER").unwrap_or_default();
    assert!(device.describe().contains(&wanted), "ran on `{}`, not on `{wanted}`", device.describe());
    device
}

/// x [batch, 3] → a = 2x, b = a + x, c = b·b + a; logits c. Exits behind a and b give these, and are as unsure as the mean of
/// x and as the mean of a, times ten.
fn model() -> Model {
    let mut graph = Graph::default();
    let x = graph.add_input("x", DType::F32, vec![Dim::Symbol("batch".into()), Dim::Known(3)]);
    let two = graph.add_weight("two", Weight::Dense(Tensor::scalar(2f32)));
    let ten = graph.add_weight("ten", Weight::Dense(Tensor::scalar(10f32)));
    let axes = graph.add_weight("axes", Weight::Dense(Tensor::new([1], &[1i64]).unwrap()));
    let mut node = |op: &str, name: &str, inputs: &[ValueId]| {
        let attrs = if op == "ReduceMean" { Attrs::from([("keepdims", Attr::Int(0))]) } else { Attrs::default() };
        graph.add_node(op, name, inputs, attrs)
    };
    let a = node("Mul", "exit.1.logits", &[x, two]);
    let mean_x = node("ReduceMean", "exit.1.uncertainty", &[x, axes]);
    let b = node("Add", "exit.2.logits", &[a, x]);
    let mean_a = node("ReduceMean", "mean_a", &[a, axes]);
    let unsure = node("Mul", "exit.2.uncertainty", &[mean_a, ten]);
    let square = node("Mul", "square", &[b, b]);
    let c = node("Add", "logits", &[square, a]);
    graph.outputs = vec![c, a, mean_x, b, unsure];
    Model { graph, ..Model::default() }
}

fn left(threshold: f32, x: &[f32]) -> (Vec<f32>, usize) {
    let mut exits = EarlyExit::new(&model(), &device(), threshold).unwrap();
    assert_eq!(exits.layers(), 3);
    let x = Tensor::new([x.len() / 3, 3], x).unwrap();
    let left = exits.run(&[("x", &x)]).unwrap();
    assert_eq!(left.layers, exits.ran());
    assert_eq!(left.outputs.len(), 1);
    assert_eq!(left.outputs[0].0, "logits");
    (left.outputs[0].1.to_f32().unwrap(), left.layers)
}

#[test]
fn stops_where_it_is_sure() {
    // The first is as unsure as 2, the second as 40.
    assert_eq!(left(2.5, &[1.0, 2.0, 3.0]), (vec![2.0, 4.0, 6.0], 1));
    assert_eq!(left(2.0, &[1.0, 2.0, 3.0]), (vec![11.0, 40.0, 87.0], 3));
    // Minus the first: −2, but 0 is the whole model.
    assert_eq!(left(0.0, &[-1.0, -2.0, -3.0]), (vec![7.0, 32.0, 75.0], 3));
    assert_eq!(left(1e-6, &[-1.0, -2.0, -3.0]), (vec![-2.0, -4.0, -6.0], 1));
    // All of a batch are waited for: 2 and 1, then 40 and 20.
    assert_eq!(left(1.5, &[1.0, 2.0, 3.0, 0.0, 1.0, 2.0]).1, 3);
    assert_eq!(left(2.5, &[1.0, 2.0, 3.0, 0.0, 1.0, 2.0]).1, 1);
    // What is no number is not sure.
    assert_eq!(left(1e9, &[f32::NAN, 2.0, 3.0]).1, 3);
}

/// At the second exit nothing is computed again, and what the first part made is there.
#[test]
fn goes_on_from_where_it_was() {
    let mut swapped = model();
    let (first, second) = (swapped.graph.outputs[2], swapped.graph.outputs[4]);
    // Now the first is as unsure as 40, the second as 2.
    swapped.graph.values[first.0 as usize].name = "exit.2.uncertainty".into();
    swapped.graph.values[second.0 as usize].name = "exit.1.uncertainty".into();
    let mut exits = EarlyExit::new(&swapped, &device(), 3.0).unwrap();
    let x = Tensor::new([1, 3], &[1f32, 2.0, 3.0]).unwrap();
    let left = exits.run(&[("x", &x)]).unwrap();
    assert_eq!((left.outputs[0].1.to_f32().unwrap(), left.layers), (vec![3.0, 6.0, 9.0], 2));
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |model: &Model, threshold: f32, said: &str| {
        let error = EarlyExit::new(model, &device(), threshold).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    };
    refused(&model(), -1.0, "0 or more");
    refused(&model(), f32::NAN, "0 or more");
    let mut plain = model();
    plain.graph.outputs.truncate(1);
    refused(&plain, 0.5, "no early exits");
    let mut half = model();
    half.graph.outputs.remove(1);
    refused(&half, 0.5, "without the output `exit.1.logits`");
    let mut silent = model();
    silent.graph.outputs.pop();
    refused(&silent, 0.5, "without the output `exit.2.uncertainty`");
    let mut exits = EarlyExit::new(&model(), &device(), 0.5).unwrap();
    assert!(exits.run(&[]).is_err_and(|error| error.to_string().contains("`x` is missing")));
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fashion").join(name)
}

fn pictures(model: &Model) -> Labelled {
    let folder = Path::new("/usr/share/datasets/fashion-mnist");
    Labelled::open(folder, &model.manifest.labels).expect("apt install dataset-fashion-mnist")
}

/// In parts that never stop, the small transformer gives what it gives as a whole.
#[test]
fn parts_are_the_whole() {
    let model = Model::open(data("vit.fewbit")).unwrap();
    let pictures = pictures(&model);
    let whole = Model { graph: model.graph.without_exits(), ..model.clone() };
    assert_eq!(whole.graph.outputs.len(), 1);
    let mut session = Session::new(&whole, &device()).unwrap();
    for threshold in [0.0, 1e-30] {
        let mut exits = EarlyExit::new(&model, &device(), threshold).unwrap();
        for i in 0..20 {
            let pixels = image_tensor(&pictures.get(i).unwrap().0, model.manifest.image.as_ref().unwrap()).unwrap();
            let want = session.run(&[("pixel_values", &pixels)]).unwrap();
            let left = exits.run(&[("pixel_values", &pixels)]).unwrap();
            assert_eq!((left.layers, exits.layers()), (6, 6));
            assert_eq!(left.outputs.len(), 1);
            assert_eq!(left.outputs[0].1.to_f32().unwrap(), want[0].1.to_f32().unwrap(), "{threshold}, picture {i}");
        }
    }
}

/// Fashion-MNIST's 10,000 test pictures.
#[test]
fn forty_percent_of_layers_less_for_half_a_point() {
    let model = Model::open(data("vit.fewbit")).unwrap();
    let pictures = pictures(&model);
    assert_eq!(pictures.len(), 10_000);
    let cpu = Device::cpu(1).unwrap();
    let measure = |threshold: f32| {
        let mut classifier = Classifier::with_exits(&model, &cpu, threshold).unwrap();
        let start = Instant::now();
        (accuracy(&mut classifier, &pictures, |_| ()).unwrap(), start.elapsed().as_secs_f64())
    };
    let (whole, seconds) = measure(0.0);
    let (early, sooner) = measure(THRESHOLD);
    println!("{whole:?} in {seconds:.2} s, {early:?} in {sooner:.2} s");
    assert!(whole.top1 >= 0.92 && whole.layers == Some(6.0), "{whole:?}");
    let Accuracy { top1, layers: Some(layers), macs, .. } = early else { panic!("{early:?}") };
    assert!(top1 >= whole.top1 - 0.005, "{top1} of {}", whole.top1);
    assert!(layers <= 0.6 * 6.0, "{layers}");
    assert!(macs <= whole.macs / 1.3, "{macs} of {}", whole.macs);
}

/// A file with these tensors added, f32.
fn with(file: &[u8], tensors: &[(&str, &[usize], &[f32])]) -> Vec<u8> {
    let (length, rest) = file.split_first_chunk::<8>().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut header: serde_json::Value = serde_json::from_slice(header).unwrap();
    let mut data = data.to_vec();
    for (name, shape, values) in tensors {
        let start = data.len();
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        header[name] = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
    }
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}

/// A head of a folder, with a layer that says how unsure it is. Its norm forgets what it sees, so that all is known.
#[test]
fn a_head_may_say_how_unsure_it_is() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tokens/vit");
    let config = std::fs::read(folder.join("config.json")).unwrap();
    let weights = std::fs::read(folder.join("model.safetensors")).unwrap();
    let classifier: Vec<f32> = (0..14).map(|i| i as f32 - 6.0).collect();
    // GELU leaves 10 and 20 as they are.
    let tensors: &[(&str, &[usize], &[f32])] = &[
        ("exits.2.norm.weight", &[48], &[0.0; 48]),
        ("exits.2.norm.bias", &[48], &[1.0; 48]),
        ("exits.2.hidden.weight", &[2, 48], &[[0.125; 48], [0.25; 48]].concat()),
        ("exits.2.hidden.bias", &[2], &[4.0, 8.0]),
        ("exits.2.classifier.weight", &[7, 2], &classifier),
        ("exits.2.classifier.bias", &[7], &[0.5; 7]),
        ("exits.2.uncertainty.weight", &[1, 2], &[0.1, -0.2]),
        ("exits.2.uncertainty.bias", &[1], &[0.5]),
    ];
    let model = fewbit::formats::hf::from_bytes("vit", &config, &with(&weights, tensors)).unwrap();
    let pixels: Vec<f32> = (0..2 * 3 * 56 * 40).map(|i| (i as f32 * 0.37).sin()).collect();
    let pixels = Tensor::new([2, 3, 56, 40], &pixels).unwrap();
    // 1 / (1 + exp(2.5)) = 0.07586.
    for (threshold, layers) in [(0.0758, 5), (0.0759, 2)] {
        let mut exits = EarlyExit::new(&model, &device(), threshold).unwrap();
        assert_eq!(exits.layers(), 5);
        let left = exits.run(&[("pixel_values", &pixels)]).unwrap();
        assert_eq!(left.layers, layers, "{threshold}");
        if layers == 2 {
            let want: Vec<f32> = classifier.chunks(2).map(|row| 10.0 * row[0] + 20.0 * row[1] + 0.5).collect();
            let got = left.outputs[0].1.to_f32().unwrap();
            assert_eq!(got.len(), 14);
            assert!(got.iter().zip(want.iter().cycle()).all(|(g, w)| (g - w).abs() < 1e-4), "{got:?}");
        }
    }
}
