//! Decoders in folders of Hugging Face's layout against what `transformers` computes with them (pkg-scripts/decoder_cases.py).

#![cfg(all(feature = "text", feature = "cli"))]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fewbit::formats::safetensors;
use fewbit::graph::{Model, Weight};
use fewbit::runtime::Device;
use fewbit::tasks::Decoder;
use fewbit::tensor::{DType, Tensor};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/decoders").join(name)
}

fn expected(name: &str) -> BTreeMap<String, Tensor> {
    let bytes = std::fs::read(folder(name).join("expected.safetensors")).unwrap();
    let mut source = bytes.as_slice();
    let header = safetensors::read_header(name, bytes.len() as u64, &mut source).unwrap();
    let one =
        |entry: &safetensors::Entry| (entry.name.clone(), safetensors::read_tensor(name, entry, &mut source).unwrap());
    header.tensors.iter().map(one).collect()
}

/// Fed in pieces of odd sizes, logits of every token.
fn check(name: &str, dtype: DType) {
    let model = Model::open(folder(name)).unwrap();
    let expected = expected(name);
    let ids: Vec<u32> = expected["ids"].slice::<i64>().unwrap().iter().map(|&id| id as u32).collect();
    let wanted = expected["logits"].to_f32().unwrap();
    let mut decoder = Decoder::new(&model, &Device::cpu(2).unwrap()).unwrap();
    assert_eq!((decoder.context(), decoder.vocabulary()), (128, wanted.len() / ids.len()));
    let (mut got, mut at) = (Vec::new(), 0);
    for size in [1, 7, 2, 16, 11] {
        got.extend(decoder.logits(&ids[..at + size], size).unwrap());
        at += size;
    }
    assert_eq!(at, ids.len());
    let largest = wanted.iter().fold(0f32, |most, v| most.max(v.abs()));
    for (i, (g, w)) in got.iter().zip(&wanted).enumerate() {
        // A key or value between two halves may be rounded to either.
        assert!((g - w).abs() <= 5e-4 * largest, "{name}: logit {i} is {g}, not {w}");
    }
    if dtype != DType::F32 {
        let dense = |(_, weight): &(_, &Weight)| matches!(weight, Weight::Dense(t) if t.shape().len() == 2);
        assert_eq!(model.graph.weights.iter().filter(dense).count(), 0, "{name}: matrices stay at 16 bits");
    }
}

#[test]
fn llama() {
    check("llama", DType::F32);
}

#[test]
fn llama_in_float16() {
    check("llama-linear", DType::F16);
}

#[test]
fn mistral_in_bfloat16() {
    check("mistral", DType::BF16);
}

#[test]
fn qwen() {
    check("qwen2", DType::F32);
    check("qwen3", DType::F32);
}

#[test]
fn gemma() {
    check("gemma3", DType::F32);
}

/// What cannot be is said.
#[test]
fn what_is_wrong_is_named() {
    let with = |from: &str, to: &str| {
        let config = std::fs::read_to_string(folder("qwen3").join("config.json")).unwrap();
        assert!(config.contains(from), "{config}");
        let weights = std::fs::read(folder("qwen3").join("model.safetensors")).unwrap();
        fewbit::formats::hf::from_bytes("folder", config.replace(from, to).as_bytes(), &weights)
            .unwrap_err()
            .to_string()
    };
    for (from, to, said) in [
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", "model.layers.2.input_layernorm.weight"),
        ("\"num_attention_heads\": 4", "\"num_attention_heads\": 0", "num_attention_heads"),
        ("\"hidden_act\": \"silu\"", "\"hidden_act\": \"relu\"", "`relu`"),
        ("\"rope_scaling\": null", "\"rope_scaling\": {\"rope_type\": \"longrope\"}", "`longrope`"),
    ] {
        let error = with(from, to);
        assert!(error.contains(said), "{error}");
    }
}
