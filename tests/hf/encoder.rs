//! Encoders of pictures and texts (pkg-scripts/encoder_cases.py), on the CPU or, with `FEWBIT_TEST_DEVICE=gpu`, on the adapter whose
//! name contains `FEWBIT_TEST_ADAPTER`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fewbit::compress::{Rules, compress};
use fewbit::graph::{Model, Weight};
use fewbit::runtime::{Device, Session};
use fewbit::tasks::Classifier;
use fewbit::tensor::Tensor;
use fewbit::vision::{Photo, image_tensor};

fn folder(name: &str) -> PathBuf {
    super::folder("encoders", name)
}

fn device() -> Device {
    match std::env::var("FEWBIT_TEST_DEVICE").as_deref() {
        Ok("gpu") => {
            let device = Device::gpu().expect("a GPU run needs an adapter");
            let wanted = std::env::var("FEWBIT_TEST_ADAPTER").unwrap_or_default();
            assert!(device.describe().contains(&wanted), "ran on `{}`, not on `{wanted}`", device.describe());
            device
        }
        _ => Device::cpu(2).unwrap(),
    }
}

fn run(model: &Model, inputs: &BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    let mut session = Session::new(model, &device()).unwrap();
    let given: Vec<(&str, &Tensor)> = inputs.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let outputs = session.run(&given).unwrap();
    let report = session.report().unwrap();
    if std::env::var("FEWBIT_TEST_DEVICE").as_deref() == Ok("gpu") {
        let strays: Vec<_> = report.nodes.iter().filter(|node| node.place != "gpu").collect();
        assert!(strays.is_empty(), "on the host ran {strays:#?}");
    }
    outputs.into_iter().collect()
}

/// Every output as transformers has it, and no other.
fn check(name: &str, task: &str) {
    let model = Model::open(folder(name)).unwrap();
    assert_eq!(model.manifest.task.as_deref(), Some(task));
    let mut inputs = super::expected(&folder(name));
    inputs.remove("photo");
    let wanted: BTreeMap<String, Tensor> = inputs.extract_if(.., |name, _| name.starts_with("out.")).collect();
    let got = run(&model, &inputs);
    let names: Vec<String> = got.keys().map(|name| format!("out.{name}")).collect();
    assert_eq!(names, wanted.keys().cloned().collect::<Vec<_>>(), "{name}");
    for (output, wanted) in got.values().zip(wanted.values()) {
        assert_eq!(output.ty(), wanted.ty(), "{name}");
        let (got, wanted) = (output.to_f32().unwrap(), wanted.to_f32().unwrap());
        let largest = wanted.iter().fold(0f32, |most, v| most.max(v.abs()));
        for (i, (g, w)) in got.iter().zip(&wanted).enumerate() {
            assert!((g - w).abs() <= 1e-4 * largest, "{name}: element {i} is {g}, not {w}");
        }
    }
}

/// The photo as the processor of transformers makes it.
fn check_photo(name: &str) {
    let model = Model::open(folder(name)).unwrap();
    let input = model.manifest.image.as_ref().expect("the folder says how");
    let photo = Photo::open(super::folder("", "chelsea.png")).unwrap();
    let got = image_tensor(&photo, input).unwrap();
    let wanted = &super::expected(&folder(name))["photo"];
    assert_eq!(got.ty(), wanted.ty(), "{name}");
    let different = |(g, w): (&f32, &f32)| (g - w).abs() > 1e-5;
    let (got, wanted) = (got.to_f32().unwrap(), wanted.to_f32().unwrap());
    let count = got.iter().zip(&wanted).filter(|&pair| different(pair)).count();
    assert_eq!(count, 0, "{name}: pixels of {} that differ", got.len());
}

#[test]
fn vision_transformers() {
    for name in ["vit", "deit", "dinov2", "dinov2-registers"] {
        check(name, "image-classification");
    }
    for name in ["vit-hidden", "dinov2-gated"] {
        check(name, "image-feature-extraction");
    }
}

#[test]
fn towers() {
    for name in ["clip", "siglip"] {
        check(name, "zero-shot-image-classification");
    }
    for name in ["clip-vision", "siglip-vision"] {
        check(name, "image-feature-extraction");
    }
    check("clip-text", "feature-extraction");
}

#[test]
fn text_encoders() {
    for name in ["bert", "bert-masked", "roberta", "xlm-roberta", "distilbert"] {
        check(name, "feature-extraction");
    }
}

#[test]
fn photos() {
    for name in ["vit", "deit", "dinov2", "clip", "siglip"] {
        check_photo(name);
    }
}

/// Matrices in half precision stay so.
#[test]
fn half_precision_is_kept() {
    for name in ["vit", "siglip", "bert-masked"] {
        let model = Model::open(folder(name)).unwrap();
        let dense = |weight: &&Weight| matches!(weight, Weight::Dense(t) if t.shape().len() == 2 && t.shape()[0] >= 36);
        assert_eq!(model.graph.weights.values().filter(dense).count(), 0, "{name}");
    }
}

/// From a folder, and from a `.fewbit` file made of it with few bits: names and preprocessing come along.
#[test]
fn a_folder_classifies() {
    let mut model = Model::open(folder("vit")).unwrap();
    let photo = Photo::open(super::folder("", "chelsea.png")).unwrap();
    let scores = |model: &Model| {
        let mut classifier = Classifier::new(model, &device()).unwrap();
        let mut found = classifier.classify(&photo, 5).unwrap();
        found.sort_by_key(|prediction| prediction.index);
        let names: Vec<&str> = found.iter().map(|prediction| prediction.label.as_str()).collect();
        assert_eq!(names, ["cat", "dog", "fox", "owl", "bee"]);
        found.iter().map(|prediction| prediction.score).collect::<Vec<f32>>()
    };
    let pixels = super::expected(&folder("vit")).remove("photo").unwrap();
    let logits = run(&model, &BTreeMap::from([("pixel_values".to_string(), pixels)]))["logits"].to_f32().unwrap();
    let total: f32 = logits.iter().map(|v| v.exp()).sum();
    let exact = scores(&model);
    for (score, logit) in exact.iter().zip(logits) {
        assert!((score - logit.exp() / total).abs() < 1e-5);
    }

    let rules = Rules::parse(&["palette:8".to_string()], None, None).unwrap();
    let reports = compress(&mut model, &rules, &[], &Device::cpu(2).unwrap(), |_| ()).unwrap();
    assert!(reports.len() >= 12);
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("hf_encoder.fewbit");
    model.save(&file).unwrap();
    let few = scores(&Model::open(&file).unwrap());
    for (few, exact) in few.iter().zip(&exact) {
        assert!((few - exact).abs() < 0.1, "{few} is far from {exact}");
    }
    assert_ne!(few, exact);
}

/// What cannot be is said.
#[test]
fn what_is_wrong_is_named() {
    for (name, from, to, said) in [
        ("vit", "\"num_attention_heads\": 3", "\"num_attention_heads\": 0", "num_attention_heads"),
        ("vit", "\"num_attention_heads\": 3", "\"num_attention_heads\": 5", "24 does not divide into 5 heads"),
        ("vit", "\"num_attention_heads\": 3", "\"num_attention_heads\": 99999999999999999999", "num_attention_heads"),
        (
            "vit",
            "\"num_hidden_layers\": 2",
            "\"num_hidden_layers\": 9007199254740991",
            "encoder.layer.2.layernorm_before",
        ),
        ("vit", "\"image_size\": 24", "\"image_size\": 4294967296", "another number"),
        ("vit", "\"image_size\": 24", "\"image_size\": [24]", "image_size"),
        ("vit", "\"hidden_act\": \"gelu\"", "\"hidden_act\": \"snake\"", "`snake`"),
        ("dinov2", "\"use_swiglu_ffn\": false", "\"use_swiglu_ffn\": true", "layer.0.mlp.weights_in.weight"),
        ("clip", "\"text_config\": {", "\"text_config\": 3, \"other\": {", "text"),
        ("siglip", "\"image_size\": 24", "\"image_size\": 32", "another number"),
        ("bert", "\"num_attention_heads\": 3", "\"num_attention_heads\": -3", "num_attention_heads"),
        (
            "bert",
            "\"position_embedding_type\": \"absolute\"",
            "\"position_embedding_type\": \"relative_key\"",
            "relative_key",
        ),
        ("roberta", "\"pad_token_id\": 1", "\"pad_token_id\": 4294967296", "pad_token_id"),
        ("distilbert", "\"n_layers\": 2", "\"n_layers\": 3", "transformer.layer.2"),
    ] {
        super::refused(&folder(name), [from, to, said]);
    }
}
