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
use fewbit::graph::Model;
use fewbit::runtime::{Device, Session};
use fewbit::tensor::Tensor;
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
/// With int8 activations one rounding the other way moves an element by a whole step, which later layers amplify. On the
/// CPU all values of the first eleven quantisers equal onnxruntime's; then one in 152,064 differs by a step, and 538 do at
/// the last. onnxruntime's own graph optimisations move these outputs by 3.6e-2.
const INT8_ACTIVATIONS: f64 = 1e-1;
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
        let loaded = Model::open(cache.join(&cases[0].model_file)).unwrap();
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
    let named: Vec<(&str, &Tensor)> = case.inputs.iter().map(|v| v.name.as_str()).zip(&inputs).collect();
    let outputs = session.run(&named)?;
    assert_eq!(outputs.len(), expected.len());
    let mut worst = 0f64;
    for ((value, want), (name, got)) in case.outputs.iter().zip(&expected).zip(&outputs) {
        assert_eq!((&value.name, want.ty()), (name, got.ty()));
        worst = worst.max(difference(got.slice()?, want.slice()?));
    }
    Ok(worst)
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

#[test]
fn minilm_int8_weights() {
    check("minilm_int8", INT8, &[]);
}

#[test]
fn minilm_int8_products() {
    // Its scale comes from the extremes of a whole tensor: no GPU kernel yet.
    check("minilm_dynamic", INT8_ACTIVATIONS, &["DynamicQuantizeLinear"]);
}

#[test]
fn a_wrong_or_missing_number_is_a_difference() {
    assert_eq!(difference(&[1.0, -4.0], &[1.0, -4.0]), 0.0);
    assert_eq!(difference(&[1.0, -3.0], &[1.0, -4.0]), 0.25);
    assert!(difference(&[f32::NAN, 1.0], &[1.0, 1.0]).is_nan());
}
