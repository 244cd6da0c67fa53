//! Text generation with a real model: ids of llama.cpp on its weights in f32, which an independent forward in numpy gives
//! too.

#![cfg(all(feature = "full", feature = "cli"))]

use std::path::{Path, PathBuf};

use fewbit::graph::Model;
use fewbit::runtime::Device;
use fewbit::tasks::Decoder;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    prompt: String,
    prompt_ids: Vec<u32>,
    ids: Vec<u32>,
}

/// Best two logits that are closer may change places: the reference adds in another order.
const TIE: f32 = 0.02;

fn smollm2() -> Option<PathBuf> {
    let cache = std::env::var_os("FEWBIT_CACHE").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::home_dir().map(|home| home.join(".cache/fewbit")))?;
    let path = cache.join("models/smollm2_135m_q4_1.gguf");
    let required = std::env::var_os("FEWBIT_TEST_REQUIRE_DATA").is_some();
    assert!(path.is_file() || !required, "no model: run pkg-scripts/fetch smollm2");
    path.is_file().then_some(path)
}

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/generate/smollm2_greedy.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The best two: their ids and how far apart they are.
fn best(logits: &[f32]) -> ([u32; 2], f32) {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    ([order[0] as u32, order[1] as u32], logits[order[0]] - logits[order[1]])
}

#[test]
fn greedy_ids_are_the_references() {
    let Some(path) = smollm2() else {
        eprintln!("skipped: run pkg-scripts/fetch smollm2");
        return;
    };
    let model = Model::open(path).unwrap();
    let device = Device::cpu(0).unwrap();
    let mut decoder = Decoder::new(&model, &device).unwrap();
    for case in cases() {
        let mut ids = case.prompt_ids.clone();
        for (step, &want) in case.ids.iter().enumerate() {
            let logits = decoder.logits(&ids, 1).unwrap();
            let ([first, second], gap) = best(&logits);
            let tie = gap < TIE && second == want;
            assert!(first == want || tie, "{:?}, step {step}: {first} instead of {want}, by {gap}", case.prompt);
            ids.push(want);
        }
    }
}
