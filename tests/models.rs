//! Real models against onnxruntime's outputs (`pkg-scripts/golden.py`), on one device per run:
//!
//! - `FEWBIT_TEST_DEVICE=cpu` (default): with one thread and with all;
//! - `FEWBIT_TEST_DEVICE=gpu`: on the adapter whose name contains `FEWBIT_TEST_ADAPTER`. None there is a failure.
//!
//! Without the fetched files the tests pass over, unless `FEWBIT_TEST_REQUIRE_DATA` is set, as `pkg-scripts/test` does.
#![cfg(feature = "gpu")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fewbit::formats::npy;
use fewbit::graph::{Dim, Graph, Model, ValueId};
use fewbit::runtime::{Device, Session};
use fewbit::tensor::{DType, Tensor};
use serde::Deserialize;

#[derive(Deserialize)]
struct Index {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    model: String,
    model_file: String,
    case: String,
    inputs: Vec<Value>,
    outputs: Vec<Value>,
}

#[derive(Deserialize)]
struct Value {
    name: String,
    file: String,
}

/// Largest difference in units of the tensor's largest value that is still equality.
const FLOAT: f64 = 1e-3;
/// With int8 weights the arithmetic is still float.
const INT8: f64 = 1e-2;
/// Where a value lies on the edge between two int8 codes, the last bit of the float arithmetic before decides: this share
/// of a quantiser's codes may be the neighbour of onnxruntime's.
const OTHER_CODES: f64 = 1e-4;
/// Outputs smaller than this are compared absolutely: where the detector finds no text its probabilities are 1e-8, and
/// onnxruntime's are off by as much.
const SMALLEST_SCALE: f64 = 1e-4;

/// A GPU that computes on the CPU takes seconds a photo: this many cases of a model are enough there.
const GPU_CASES: usize = 4;

fn cache() -> Option<PathBuf> {
    let cache = std::env::var_os("FEWBIT_CACHE").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::home_dir().map(|home| home.join(".cache/fewbit")))?;
    let found = cache.join("golden/index.json").is_file();
    assert!(
        found || std::env::var_os("FEWBIT_TEST_REQUIRE_DATA").is_none(),
        "no reference outputs: run pkg-scripts/test"
    );
    found.then_some(cache)
}

fn on_gpu() -> bool {
    match std::env::var("FEWBIT_TEST_DEVICE").as_deref() {
        Ok("gpu") => true,
        Ok("cpu") | Err(_) => false,
        Ok(other) => panic!("FEWBIT_TEST_DEVICE is cpu or gpu, not `{other}`"),
    }
}

fn devices() -> Vec<Device> {
    if !on_gpu() {
        return vec![Device::cpu(1).unwrap(), Device::cpu(0).unwrap()];
    }
    let device = Device::gpu().expect("a GPU run needs an adapter");
    let wanted = std::env::var("FEWBIT_TEST_ADAPTER").unwrap_or_default();
    assert!(device.describe().contains(&wanted), "ran on `{}`, not on `{wanted}`", device.describe());
    vec![device]
}

/// Runs every case of `model`. On a GPU only the operators `host` may run on the CPU.
fn check(model: &str, tolerance: f64, host: &[&str]) {
    check_with(model, tolerance, host, |_| ());
}

/// Like `check`, on a changed graph.
fn check_with(model: &str, tolerance: f64, host: &[&str], change: fn(&mut Graph)) {
    check_file(model, None, tolerance, host, change);
}

/// Like `check_with`, of another file of the same network.
fn check_file(model: &str, file: Option<&str>, tolerance: f64, host: &[&str], change: fn(&mut Graph)) {
    let Some(cache) = cache() else {
        eprintln!("skipped: no reference outputs; run pkg-scripts/fetch and pkg-scripts/golden.py");
        return;
    };
    let index: Index = serde_json::from_slice(&std::fs::read(cache.join("golden/index.json")).unwrap()).unwrap();
    let mut cases: Vec<_> = index.cases.iter().filter(|c| c.model == model).collect();
    assert!(!cases.is_empty(), "no case of {model}");
    if on_gpu() {
        cases.truncate(GPU_CASES);
    }
    let mut wrong = Vec::new();
    for device in devices() {
        let mut loaded = Model::open(cache.join(file.unwrap_or(&cases[0].model_file))).unwrap();
        change(&mut loaded.graph);
        let mut session = Session::new(&loaded, &device).unwrap();
        for case in &cases {
            let at = format!("{model}/{} on {}", case.case, device.describe());
            match run(&mut session, &cache.join("golden"), case) {
                Ok(error) => {
                    println!("{at}: {error:.1e}");
                    if error.is_nan() || error > tolerance {
                        wrong.push(format!("{at}: differs by {error:.1e}"));
                    }
                }
                Err(error) => wrong.push(format!("{at}: {error}")),
            }
        }
        if let Some(report) = session.report() {
            let mut places: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
            for node in &report.nodes {
                *places.entry(&node.place).or_default().entry(&node.op).or_default() += 1;
            }
            println!("{model} on {}: arena {} KiB, {places:?}", device.describe(), report.arena_bytes >> 10);
            let strays: Vec<_> = report
                .nodes
                .iter()
                .filter(|n| on_gpu() && n.place != "gpu" && !host.contains(&n.op.as_str()))
                .collect();
            if !strays.is_empty() {
                wrong.push(format!("{model} on {}: on the host ran {strays:#?}", device.describe()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The largest relative difference of any output.
fn run(session: &mut Session, golden: &Path, case: &Case) -> fewbit::Result<f64> {
    let read = |values: &[Value]| values.iter().map(|v| npy::open(golden.join(&v.file))).collect::<Result<Vec<_>, _>>();
    let (inputs, expected) = (read(&case.inputs)?, read(&case.outputs)?);
    let forced: Vec<String> = case.outputs.iter().map(|v| format!("forced {}", v.name)).collect();
    let wanted = |name: &str| session.graph().inputs.iter().any(|&id| session.graph().value(id).name == name);
    let inside = forced.iter().map(String::as_str).zip(&expected).filter(|(name, _)| wanted(name));
    let named: Vec<(&str, &Tensor)> = case.inputs.iter().map(|v| v.name.as_str()).zip(&inputs).chain(inside).collect();
    let outputs = session.run(&named)?;
    let mut worst = 0f64;
    // Beside the model's own outputs a case may hold values from inside.
    for (name, got) in &outputs {
        let (_, want) = case.outputs.iter().zip(&expected).find(|(value, _)| value.name == *name).unwrap();
        assert_eq!(got.ty(), want.ty(), "{name}");
        worst = worst.max(match want.dtype() {
            DType::U8 => neighbours(name, got.slice()?, want.slice()?),
            _ => difference(got.slice()?, want.slice()?),
        });
    }
    Ok(worst)
}

/// 0 if all codes are the same but for a few that are neighbours, else infinity.
fn neighbours(name: &str, got: &[u8], want: &[u8]) -> f64 {
    let steps = || got.iter().zip(want).map(|(&g, &w)| g.abs_diff(w));
    let (others, most) = (steps().filter(|&d| d > 0).count(), steps().max().unwrap_or(0));
    if others > 0 {
        println!("{name}: {others} of {} codes differ, by at most {most}", want.len());
    }
    let allowed = (OTHER_CODES * want.len() as f64).ceil() as usize; // at least one
    if others <= allowed && most <= 1 { 0.0 } else { f64::INFINITY }
}

/// Feeds onnxruntime's quantised activations to the nodes that use them, and gives those computed here as outputs: so every
/// layer is compared by itself, and no rounding grows through the layers behind it.
fn force_activations(graph: &mut Graph) {
    let quantisers: Vec<[ValueId; 3]> = graph
        .nodes
        .iter()
        .filter(|n| n.op == "DynamicQuantizeLinear")
        .map(|n| [0, 1, 2].map(|i| n.outputs[i].unwrap()))
        .collect();
    assert!(!quantisers.is_empty());
    for outputs in quantisers {
        for (id, dtype) in outputs.into_iter().zip([DType::U8, DType::F32, DType::U8]) {
            let name = graph.value(id).name.clone();
            let dims = if id == outputs[0] {
                ["batch", "sequence", &name].map(|s| Dim::Symbol(s.into())).into()
            } else {
                vec![]
            };
            let forced = graph.add_input(format!("forced {name}"), dtype, dims);
            for input in graph.nodes.iter_mut().flat_map(|n| &mut n.inputs) {
                if *input == Some(id) {
                    *input = Some(forced);
                }
            }
            graph.outputs.push(id);
        }
    }
}

/// max |got − want| / max(max |want|, SMALLEST_SCALE); NaN if anything is NaN.
fn difference(got: &[f32], want: &[f32]) -> f64 {
    let largest = want.iter().fold(SMALLEST_SCALE, |m, &w| m.max(w.abs().into()));
    got.iter().zip(want).fold(0f64, |m, (&g, &w)| {
        let d = (f64::from(g) - f64::from(w)).abs() / largest;
        if d.is_nan() {
            d
        } else if m.is_nan() {
            m
        } else {
            m.max(d)
        }
    })
}

#[test]
fn efficientnet_lite0() {
    check("efficientnet", FLOAT, &[]);
}

#[test]
fn vit_s14_saliency() {
    check("vit_s14_saliency", FLOAT, &[]);
}

#[test]
fn ocr_detector() {
    check("ppocrv4_det", FLOAT, &[]);
}

#[test]
fn ocr_recogniser() {
    check("ppocrv4_rec", FLOAT, &[]);
}

#[test]
fn minilm() {
    check("minilm", FLOAT, &[]);
}

/// From the folder that the ONNX file is made of; onnxruntime's outputs are those without a pooler.
#[cfg(feature = "full")]
#[test]
fn minilm_folder() {
    check_file("minilm", Some("models/minilm"), FLOAT, &[], |graph| graph.outputs.truncate(1));
}

#[test]
fn minilm_int8_weights() {
    check("minilm_int8", INT8, &[]);
}

/// The scale of an activation comes from the extremes of a whole tensor: no GPU kernel yet.
const ON_HOST: &[&str] = &["DynamicQuantizeLinear"];

#[test]
fn minilm_int8_activations_layer_by_layer() {
    check_with("minilm_dynamic", FLOAT, ON_HOST, force_activations);
}

/// End to end a single other rounding in an early layer grows to some percent of the largest output: onnxruntime's own
/// graph optimisations move these outputs by 3.6e-2, the order of a GPU's sums by 7.4e-2. Only the CPU rounds so nearly
/// alike that its outputs can be held to anything.
#[test]
fn minilm_int8_activations() {
    check("minilm_dynamic", if on_gpu() { f64::INFINITY } else { 3e-2 }, ON_HOST);
}

#[test]
fn a_wrong_or_missing_number_is_a_difference() {
    assert_eq!(difference(&[1.0, -4.0], &[1.0, -4.0]), 0.0);
    assert_eq!(difference(&[1.0, -3.0], &[1.0, -4.0]), 0.25);
    assert!(difference(&[f32::NAN, 1.0], &[1.0, 1.0]).is_nan());
    assert_eq!(neighbours("x", &[1, 8, 5], &[1, 7, 5]), 0.0);
    assert_eq!(neighbours("x", &[1, 9, 5], &[1, 7, 5]), f64::INFINITY);
}
