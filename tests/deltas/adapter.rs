//! Adapters in PEFT's folders, as `peft` 0.15 lays them out, beside what their configuration means in f64.

use std::collections::BTreeMap;

use fewbit::deltas::{Base, Delta};
use fewbit::formats::{peft, safetensors};
use fewbit::graph::{Graph, Weight};
use fewbit::tensor::{DType, Tensor};
use half::{bf16, f16};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::models::{device, named, random, times};

/// A safetensors file.
fn file(tensors: &[(&str, Tensor)]) -> Vec<u8> {
    let types: Vec<_> = tensors.iter().map(|(name, tensor)| (name.to_string(), tensor.ty().clone())).collect();
    let mut bytes = safetensors::write_header(&types, &BTreeMap::new()).unwrap();
    tensors.iter().for_each(|(_, tensor)| bytes.extend(tensor.bytes()));
    bytes
}

fn typed(tensor: &Tensor, dtype: DType) -> Tensor {
    let values = tensor.to_f32().unwrap();
    match dtype {
        DType::F16 => Tensor::new(tensor.shape(), &values.into_iter().map(f16::from_f32).collect::<Vec<_>>()).unwrap(),
        DType::BF16 => {
            Tensor::new(tensor.shape(), &values.into_iter().map(bf16::from_f32).collect::<Vec<_>>()).unwrap()
        }
        _ => tensor.clone(),
    }
}

/// A linear layer, a convolution, an embedding and a head under the names of a model, without nodes.
fn base(rng: &mut StdRng) -> Graph {
    let mut graph = Graph::default();
    for (name, shape) in [
        ("vit.layer.0.query.weight", &[13, 10][..]),
        ("vit.layer.1.query.weight", &[13, 10]),
        ("vit.patch.weight", &[6, 3, 2, 2]),
        ("vit.words.weight", &[17, 8]),
        ("classifier.weight", &[4, 10]),
        ("classifier.bias", &[4]),
    ] {
        graph.add_weight(name, Weight::Dense(random(shape, rng)));
    }
    graph
}

fn wide(tensor: &Tensor) -> Vec<f64> {
    tensor.to_f32().unwrap().into_iter().map(f64::from).collect()
}

fn turned(values: &[f64], cols: usize) -> Vec<f64> {
    (0..cols).flat_map(|c| values.iter().skip(c).step_by(cols).copied().collect::<Vec<_>>()).collect()
}

/// `scale · up · down` of factors `[rows, rank]` and `[rank, cols]`.
fn product(up: &[f64], down: &[f64], rank: usize, scale: f64) -> Vec<f64> {
    times(up, &turned(down, down.len() / rank), rank).iter().map(|value| scale * value).collect()
}

#[track_caller]
fn assert_changed(base: &Graph, delta: &Delta, name: &str, change: &[f64]) {
    let graph = Base::new(base).apply(&[delta], device().threads()).unwrap();
    for ((found, before), change) in named(&graph, name).iter().zip(named(base, name)).zip(change) {
        assert!((found - before - change).abs() < 1e-5, "{name}: {found} for {}", before + change);
    }
}

#[test]
fn factors_are_found_scaled_and_turned() {
    let mut rng = StdRng::seed_from_u64(12);
    let base = base(&mut rng);
    for (dtype, rslora) in [(DType::F32, false), (DType::F16, true), (DType::BF16, false)] {
        let mut part = |shape: &[usize]| typed(&random(shape, &mut rng), dtype);
        let (a, b) = (part(&[3, 10]), part(&[13, 3]));
        let (a1, b1) = (part(&[5, 10]), part(&[13, 5]));
        let (conv_a, conv_b) = (part(&[2, 3, 2, 2]), part(&[6, 2, 1, 1]));
        let (embedding_a, embedding_b) = (part(&[3, 17]), part(&[8, 3]));
        let head = part(&[4, 10]);
        let tensors = [
            ("base_model.model.vit.layer.0.query.lora_A.weight", a.clone()),
            ("base_model.model.vit.layer.0.query.lora_B.weight", b.clone()),
            ("base_model.model.layer.1.query.lora_A.default.weight", a1.clone()),
            ("base_model.model.layer.1.query.lora_B.default.weight", b1.clone()),
            ("base_model.model.vit.patch.lora_A.weight", conv_a.clone()),
            ("base_model.model.vit.patch.lora_B.weight", conv_b.clone()),
            ("base_model.model.vit.words.lora_embedding_A", embedding_a.clone()),
            ("base_model.model.vit.words.lora_embedding_B", embedding_b.clone()),
            ("base_model.model.classifier.modules_to_save.weight", head.clone()),
        ];
        let config = format!(
            r#"{{"peft_type": "LORA", "r": 3, "lora_alpha": 12, "use_rslora": {rslora}, "fan_in_fan_out": false,
                "use_dora": false, "rank_pattern": {{"layer.1.query": 5}}, "alpha_pattern": {{"layer.1.query": 20.5}}}}"#
        );
        let delta = peft::from_bytes("adapter", config.as_bytes(), &file(&tensors), &base).unwrap();
        let over = |rank: f64| if rslora { rank.sqrt() } else { rank };
        for (name, up, down, rank, alpha) in [
            ("vit.layer.0.query.weight", wide(&b), wide(&a), 3, 12.0),
            ("vit.layer.1.query.weight", wide(&b1), wide(&a1), 5, 20.5),
            ("vit.patch.weight", wide(&conv_b), wide(&conv_a), 2, 12.0),
            ("vit.words.weight", turned(&wide(&embedding_a), 17), turned(&wide(&embedding_b), 3), 3, 12.0),
        ] {
            assert_changed(&base, &delta, name, &product(&up, &down, rank, alpha / over(rank as f64)));
        }
        let graph = Base::new(&base).apply(&[&delta], device().threads()).unwrap();
        assert_eq!(named(&graph, "classifier.weight"), wide(&head));
        assert_eq!(named(&graph, "classifier.bias"), named(&base, "classifier.bias"));
    }
}

/// `Conv1D` of GPT-2 has its weight `[inputs, outputs]`.
#[test]
fn turned_weights_have_turned_changes() {
    let mut rng = StdRng::seed_from_u64(13);
    let base = base(&mut rng);
    let (a, b) = (random(&[2, 13], &mut rng), random(&[10, 2], &mut rng));
    let tensors = [
        ("base_model.model.vit.layer.0.query.lora_A.weight", a.clone()),
        ("base_model.model.vit.layer.0.query.lora_B.weight", b.clone()),
    ];
    let config = br#"{"peft_type": "LORA", "r": 2, "lora_alpha": 1, "fan_in_fan_out": true}"#;
    let delta = peft::from_bytes("adapter", config, &file(&tensors), &base).unwrap();
    let change = product(&turned(&wide(&a), 13), &turned(&wide(&b), 2), 2, 0.5);
    assert_changed(&base, &delta, "vit.layer.0.query.weight", &change);
}

#[test]
fn adapters_that_are_not_understood_are_refused() {
    let mut rng = StdRng::seed_from_u64(14);
    let base = base(&mut rng);
    let plain = r#"{"peft_type": "LORA", "r": 2, "lora_alpha": 4}"#;
    let mut part = |shape: &[usize]| random(shape, &mut rng);
    let (a, b) = (part(&[2, 10]), part(&[13, 2]));
    let layer = |name: &str, a: &Tensor, b: &Tensor| {
        let names = ["A", "B"].map(|part| format!("base_model.model.{name}.lora_{part}.weight"));
        file(&[(&names[0], a.clone()), (&names[1], b.clone())])
    };
    let query = layer("vit.layer.0.query", &a, &b);
    let fails = |config: &str, tensors: &[u8], words: &str| {
        let error = peft::from_bytes("adapter", config.as_bytes(), tensors, &base).err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
    };
    peft::from_bytes("adapter", plain.as_bytes(), &query, &base).unwrap();
    fails(r#"{"peft_type": "IA3"}"#, &query, "IA3");
    fails(r#"{"r": 2, "lora_alpha": 4, "use_dora": true}"#, &query, "use_dora");
    fails(r#"{"r": 2}"#, &query, "lora_alpha");
    fails(r#"{"r": 2, "lora_alpha": 4, "alpha_pattern": {"layer.*": 8}}"#, &query, "alpha_pattern");
    fails(plain, &layer("vit.layer.7.query", &a, &b), "another model");
    // A name that fits two layers fits none.
    fails(plain, &layer("query", &a, &b), "another model");
    fails(plain, &layer("vit.layer.0.query", &part(&[2, 11]), &b), "does not fit");
    fails(plain, &layer("vit.layer.0.query", &part(&[3, 10]), &b), "does not fit");
    fails(plain, &file(&[("base_model.model.vit.layer.0.query.lora_A.weight", a.clone())]), "lacks one");
    fails(plain, &file(&[("base_model.model.vit.layer.0.query.lora_magnitude_vector", a.clone())]), "lora_magnitude");
    let error = peft::open(&std::env::temp_dir(), &base).err().unwrap().to_string();
    assert!(error.contains("adapter_config.json"), "{error}");
}
