//! Speech to text with a real model, whisper-tiny.en: ids of an independent forward in f32, features of another's, sound
//! longer than a window. On the CPU, or the adapter if `FEWBIT_TEST_DEVICE=gpu`.
//!
//! Without the fetched model the tests pass over, unless `FEWBIT_TEST_REQUIRE_DATA` is set.

#![cfg(all(feature = "audio", feature = "cli"))]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use fewbit::audio::{LogMel, RATE, Sound};
use fewbit::graph::Model;
use fewbit::runtime::Device;
use fewbit::tasks::Captioner;
use fewbit::tasks::caption::{Caption, Options};
use serde::Deserialize;

#[derive(Deserialize)]
struct Clip {
    file: String,
    mel: Mel,
    tokens: Vec<u32>,
    text: String,
}

#[derive(Deserialize)]
struct Mel {
    min: f64,
    max: f64,
    mean: f64,
    std: f64,
}

fn on_gpu() -> bool {
    std::env::var("FEWBIT_TEST_DEVICE").as_deref() == Ok("gpu")
}

fn device() -> Device {
    if on_gpu() { Device::gpu().expect("a GPU run needs an adapter") } else { Device::cpu(0).unwrap() }
}

/// The model, if it was fetched.
fn whisper() -> Option<Model> {
    let cache = std::env::var_os("FEWBIT_CACHE").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::home_dir().map(|home| home.join(".cache/fewbit")))?;
    let path = cache.join("models/whisper_tiny_en");
    let required = std::env::var_os("FEWBIT_TEST_REQUIRE_DATA").is_some();
    assert!(path.is_dir() || !required, "no model: run pkg-scripts/fetch whisper_tiny_en");
    if !path.is_dir() {
        eprintln!("skipped: run pkg-scripts/fetch whisper_tiny_en");
        return None;
    }
    Some(Model::open(path).unwrap())
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/speech").join(name)
}

fn clips() -> Vec<Clip> {
    serde_json::from_slice(&std::fs::read(data("whisper_greedy.json")).unwrap()).unwrap()
}

fn samples(clip: &Clip) -> Vec<f32> {
    let mut samples = Vec::new();
    Sound::open(data(&clip.file)).unwrap().fill(&mut samples, usize::MAX).unwrap();
    samples
}

fn captioned(captioner: &mut Captioner, samples: &[f32], options: &Options) -> Caption {
    let mut sound = Sound::from_samples(samples, RATE).unwrap();
    let mut streamed = String::new();
    let caption = captioner.caption(&mut sound, options, |segment| {
        streamed += &segment.text;
        ControlFlow::Continue(())
    });
    let caption = caption.unwrap();
    assert_eq!(caption.text, streamed);
    caption
}

/// Words in lower case, without what stands around them.
fn words(text: &str) -> Vec<String> {
    let word = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    text.split_whitespace().map(word).filter(|word| !word.is_empty()).collect()
}
