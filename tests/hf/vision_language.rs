//! Vision-language models against what `transformers` computes with them (pkg-scripts/vision_language_cases.py), on the
//! CPU, or on the adapter if `FEWBIT_TEST_DEVICE=gpu`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use fewbit::compress::{Rules, compress};
use fewbit::graph::Model;
use fewbit::models::pictures::Pictures;
use fewbit::runtime::Device;
use fewbit::tasks::generate::{End, Options};
use fewbit::tasks::{Decoder, Describer, Generator};
use fewbit::tensor::Tensor;
use fewbit::vision::{Glance, Photo};

/// What the script asks about each photo.
const PROMPT: &str = "What is it?";

pub const PHOTOS: [&str; 2] = ["wide", "tall"];

pub fn data(name: &str) -> PathBuf {
    super::folder("vision_language", name)
}

pub fn photo(name: &str) -> Photo {
    Photo::open(data(&format!("{name}.png"))).unwrap()
}

pub fn on_gpu() -> bool {
    std::env::var("FEWBIT_TEST_DEVICE").as_deref() == Ok("gpu")
}

pub fn device() -> Device {
    if on_gpu() { Device::gpu().expect("a GPU run needs an adapter") } else { Device::cpu(2).unwrap() }
}

pub fn ids_of(tensor: &Tensor) -> Vec<u32> {
    tensor.slice::<i64>().unwrap().iter().map(|&id| id as u32).collect()
}

pub fn close(what: &str, got: &[f32], wanted: &Tensor) {
    let wanted = wanted.to_f32().unwrap();
    assert_eq!(got.len(), wanted.len(), "{what}");
    let largest = wanted.iter().fold(0f32, |most, v| most.max(v.abs()));
    for (i, (g, w)) in got.iter().zip(&wanted).enumerate() {
        // A key or value between two halves may be rounded to either.
        assert!((g - w).abs() <= 1e-4 * largest, "{what}: logit {i} is {g}, not {w}");
    }
}

/// The pixels of every run, one after the other, as levels of 0–255.
fn levels(glance: &Glance, pictures: &Pictures) -> Vec<f32> {
    let mut levels = Vec::new();
    for inputs in glance.inputs().unwrap() {
        let (name, pixels) = &inputs[0];
        assert_eq!(*name, "pixel_values");
        let plane = match *pixels.shape() {
            [_, values] => values / 3,
            [1, 3, height, width] => height * width,
            ref other => panic!("{other:?}"),
        };
        let level = |(i, v): (usize, f32)| v * pictures.image.std[i / plane % 3] + pictures.image.mean[i / plane % 3];
        levels.extend(pixels.to_f32().unwrap().into_iter().enumerate().map(level));
    }
    levels
}

fn check(name: &str) {
    let model = Model::open(data(name)).unwrap();
    assert_eq!(model.manifest.task.as_deref(), Some("image-to-text"));
    let expected: BTreeMap<String, Tensor> = super::expected(&data(name));
    let pictures = Pictures::of(&model.manifest).unwrap();
    let device = device();
    let mut describer = Describer::new(&model, &device).unwrap();
    let vocabulary = describer.decoder().vocabulary() as u32;
    for which in PHOTOS {
        let (what, photo) = (format!("{name}, {which}"), photo(which));
        let glance = Glance::new(&photo, &pictures).unwrap();
        let wanted = expected[&format!("{which}.levels")].to_f32().unwrap();
        let got = levels(&glance, &pictures);
        assert_eq!(got.len(), wanted.len(), "{what}");
        let off = got.iter().zip(&wanted).position(|(g, w)| (g - w).abs() > 1e-3);
        assert_eq!(off, None, "{what}: pixels");

        let ids = pollster::block_on(describer.look_async(&photo, PROMPT)).unwrap();
        let wanted = ids_of(&expected[&format!("{which}.ids")]);
        assert_eq!(ids.len(), wanted.len(), "{what}");
        let mut beyond = vocabulary..;
        for (got, want) in ids.iter().zip(&wanted).filter(|(got, want)| got != want) {
            assert_eq!(Some(*got), beyond.next(), "{what}: in the place of {want}");
        }
        assert_eq!(beyond.start - vocabulary, glance.features() as u32, "{what}");
        let logits = describer.decoder().logits(&ids, ids.len()).unwrap();
        close(&what, &logits, &expected[&format!("{which}.logits")]);

        let options = Options { max_tokens: 12, ..Options::default() };
        let mut streamed = String::new();
        let generated = describer.describe(&photo, PROMPT, &options, |piece| {
            streamed += piece;
            ControlFlow::Continue(())
        });
        let generated = generated.unwrap();
        assert_eq!(generated.ids, ids_of(&expected[&format!("{which}.greedy")]), "{what}");
        assert_eq!((generated.text, generated.end), (streamed, End::MaxTokens), "{what}");
    }
    // The same model with words alone.
    let mut decoder = Decoder::new(&model, &device).unwrap();
    let words = ids_of(&expected["text.ids"]);
    close(name, &decoder.logits(&words, words.len()).unwrap(), &expected["text.logits"]);
    assert!(decoder.logits(&[vocabulary], 1).is_err());
    for session in describer.sessions() {
        let nodes = session.report().unwrap().nodes.into_iter();
        let on_host: Vec<_> = nodes.filter(|n| on_gpu() && n.place != "gpu").map(|n| n.op).collect();
        assert!(on_host.iter().all(|op| op == "fewbit.RotaryAngles"), "{name}: {on_host:?}");
    }
}

#[test]
fn qwen2_vl() {
    check("qwen2_vl");
}

#[test]
fn smolvlm() {
    check("smolvlm");
}

#[test]
fn llava() {
    check("llava");
}

fn described(model: &Model, photo: &Photo, prompt: &str) -> fewbit::Result<String> {
    let options = Options { max_tokens: 12, ..Options::default() };
    let mut describer = Describer::new(model, &device())?;
    Ok(describer.describe(photo, prompt, &options, |_| ControlFlow::Continue(()))?.text)
}

/// By way of a file, and with weights in eight bits.
#[test]
fn files_see_as_folders_do() {
    for name in ["qwen2_vl", "smolvlm", "llava"] {
        let mut model = Model::open(data(name)).unwrap();
        let text = described(&model, &photo("tall"), PROMPT).unwrap();
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.fewbit"));
        model.save(&file).unwrap();
        assert_eq!(described(&Model::open(&file).unwrap(), &photo("tall"), PROMPT).unwrap(), text, "{name}");

        let rules = Rules::parse(&["affine:8:group=8".into()], None, None).unwrap();
        let sizes = compress(&mut model, &rules, &[], &Device::cpu(1).unwrap(), |_| ()).unwrap();
        assert!(sizes.len() > 10, "{name}");
        let mut describer = Describer::new(&model, &device()).unwrap();
        let ids = pollster::block_on(describer.look_async(&photo("wide"), PROMPT)).unwrap();
        let logits = describer.decoder().logits(&ids, ids.len()).unwrap();
        let wanted = super::expected(&data(name))["wide.logits"].to_f32().unwrap();
        let squares = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>();
        let error = squares(&mut logits.iter().zip(&wanted).map(|(a, b)| a - b));
        assert!(error < 0.01 * squares(&mut wanted.iter().copied()), "{name}: {error}");
    }
}

/// The prompt may be written as the model wants it, and what cannot be is said.
#[test]
fn what_is_wrong_is_named() {
    let (mut model, photo) = (Model::open(data("llava")).unwrap(), photo("wide"));
    let text = described(&model, &photo, PROMPT).unwrap();
    assert_eq!(described(&model, &photo, "USER: <image>\nWhat is it? ASSISTANT:").unwrap(), text);
    let error = described(&model, &photo, "<image> or <image>?").unwrap_err().to_string();
    assert!(error.contains("2 times"), "{error}");

    let mut without = model.clone();
    without.manifest.extra.insert("chat_template".into(), "{{ messages[0].role }}".into());
    let error = described(&without, &photo, PROMPT).unwrap_err().to_string();
    assert!(error.contains("0 times"), "{error}");
    without.manifest.extra.shift_remove("chat_template");
    let error = described(&without, &photo, PROMPT).unwrap_err().to_string();
    assert!(error.contains("no chat template"), "{error}");
    model.manifest.extra.insert("context".into(), 20.into());
    let error = described(&model, &photo, PROMPT).unwrap_err().to_string();
    assert!(error.contains("context is 20"), "{error}");
    model.manifest.extra.insert("context".into(), 10.into());
    let error = described(&model, &photo, PROMPT).unwrap_err().to_string();
    assert!(error.contains("takes 16 tokens"), "{error}");
    model
        .manifest
        .extra
        .insert("vision".into(), serde_json::json!({"token": "<image>", "layout": {"whole": {"features": 17}}}));
    model.manifest.extra.shift_remove("context");
    let error = described(&model, &photo, PROMPT).unwrap_err().to_string();
    assert!(error.contains("makes 16 features"), "{error}");

    let model = Model::open(data("qwen2_vl")).unwrap();
    let narrow = Photo::from_rgb(1, 300, vec![9; 900]).unwrap();
    let error = described(&model, &narrow, PROMPT).unwrap_err().to_string();
    assert!(error.contains("200 times"), "{error}");
    let blind = Model::open(super::folder("decoders", "llama")).unwrap();
    let error = Describer::new(&blind, &device()).err().unwrap().to_string();
    assert!(error.contains("does not see"), "{error}");
    assert!(Generator::new(&model, &device()).is_ok());
}

/// What a folder's files say wrongly.
#[test]
fn folders_that_cannot_be_are_refused() {
    for (name, from, to, said) in [
        ("qwen2_vl", "\"depth\": 2", "\"depth\": 3", "visual.blocks.2.norm1.weight"),
        ("qwen2_vl", "\"num_heads\": 2", "\"num_heads\": 5", "5 heads"),
        ("qwen2_vl", "\"num_heads\": 2", "\"num_heads\": 0", "num_heads"),
        ("qwen2_vl", "\"spatial_merge_size\": 2", "\"spatial_merge_size\": 18446744073709551615", "spatial_merge_size"),
        ("smolvlm", "\"scale_factor\": 2", "\"scale_factor\": 3", "squares of 3"),
        ("smolvlm", "\"image_size\": 16", "\"image_size\": 32", "position_embedding"),
        ("llava", "\"vision_feature_layer\": -2", "\"vision_feature_layer\": -9", "vision_feature_layer"),
        ("llava", "\"model_type\": \"clip_vision_model\"", "\"model_type\": \"pixtral\"", "CLIP"),
    ] {
        super::refused(&data(name), [from, to, said]);
    }
}
