//! File formats: what they read, and that nothing is lost.

use std::path::PathBuf;

use fewbit::graph::Model;

/// The fetched models; tests that need them pass over machines without.
fn models() -> PathBuf {
    let cache = std::env::var_os("FEWBIT_CACHE").map(PathBuf::from);
    let cache =
        cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/fewbit"));
    cache.join("models")
}

#[test]
fn every_fetched_onnx_model_opens() {
    let Ok(folder) = std::fs::read_dir(models()) else {
        eprintln!("skipped: no fetched models");
        return;
    };
    for entry in folder.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "onnx") {
            let model = Model::open(&path).unwrap();
            let graph = &model.graph;
            let bytes: usize = graph.weights.values().map(|w| w.bytes()).sum();
            let file = entry.metadata().unwrap().len() as usize;
            println!("{path:?}: {} nodes, {bytes} of {file} bytes are weights", graph.nodes.len());
            assert!(!graph.nodes.is_empty() && bytes * 10 > file * 8);
        }
    }
}
