//! The classifier on labelled photos: float and 4-bit, CPU and GPU, against onnxruntime's results.
//!
//! The photos are fetched (`pkg-scripts/setup`), not shipped; without them only the cat of `tests/data` is looked at.

#![cfg(feature = "cli")]

use std::path::{Path, PathBuf};

use fewbit::graph::{ImageInput, Model};
use fewbit::runtime::Device;
use fewbit::tasks::{Classifier, Prediction};
use fewbit::vision::Photo;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn cache() -> Option<PathBuf> {
    let folder = std::env::var_os("FEWBIT_CACHE").map(PathBuf::from);
    let folder = folder.or_else(|| std::env::home_dir().map(|home| home.join(".cache/fewbit")))?;
    let there =
        folder.join("photos/imagenet_00_243.jpg").is_file() && folder.join("models/efficientnet_lite0.onnx").is_file();
    if !there {
        eprintln!("skipped: no photos or no model; run pkg-scripts/setup");
    }
    there.then_some(folder)
}

fn shipped() -> Model {
    Model::open(Path::new(ROOT).join("www/models/efficientnet-lite0-4bit.fewbit")).unwrap()
}

fn float(cache: &Path) -> Model {
    let mut model = Model::open(cache.join("models/efficientnet_lite0.onnx")).unwrap();
    model.manifest.image =
        Some(ImageInput { width: 224, height: 224, crop: 0.875, mean: [127.0; 3], std: [128.0; 3], resize: None });
    model
}

fn gpu() -> Option<Device> {
    #[cfg(feature = "gpu")]
    match Device::gpu() {
        Ok(device) => return Some(device),
        Err(error) => eprintln!("skipped: {error}"),
    }
    None
}

fn golden() -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(Path::new(ROOT).join("tests/data/efficientnet_lite0_golden.json")).unwrap();
    let mut golden: serde_json::Value = serde_json::from_str(&text).unwrap();
    serde_json::from_value(golden["images"].take()).unwrap()
}

/// What onnxruntime's float model says of a photo: the first five classes, likeliest first, and their probabilities,
/// rounded to five places.
struct Reference {
    classes: Vec<usize>,
    probabilities: Vec<f32>,
}

/// Per photo: its label, the reference, what our model says.
fn labelled(model: &Model, device: &Device, cache: &Path) -> Vec<(usize, Reference, Vec<Prediction>)> {
    let mut classifier = Classifier::new(model, device).unwrap();
    golden()
        .iter()
        .map(|image| {
            let photo = Photo::open(cache.join("photos").join(image["file"].as_str().unwrap())).unwrap();
            let reference = Reference {
                classes: serde_json::from_value(image["top5"].clone()).unwrap(),
                probabilities: serde_json::from_value(image["top5_prob"].clone()).unwrap(),
            };
            let label = image["label"].as_u64().unwrap() as usize;
            (label, reference, classifier.classify(&photo, 5).unwrap())
        })
        .collect()
}

/// Photos whose label is first, and among the first five.
fn hits(results: &[(usize, Reference, Vec<Prediction>)]) -> (usize, usize) {
    let count = |k: usize| results.iter().filter(|(label, _, p)| p.iter().take(k).any(|p| p.index == *label)).count();
    (count(1), count(5))
}

fn float_equals_reference(device: &Device) {
    let Some(cache) = cache() else { return };
    let results = labelled(&float(&cache), device, &cache);
    assert_eq!(hits(&results), (18, 19));
    let mut worst = 0f32;
    for (_, reference, predictions) in &results {
        let classes: Vec<usize> = predictions.iter().map(|p| p.index).collect();
        assert_eq!(classes, reference.classes);
        for (prediction, probability) in predictions.iter().zip(&reference.probabilities) {
            worst = worst.max((prediction.score - probability).abs());
        }
    }
    println!("probabilities differ by up to {worst:e}");
    // Half a unit of the reference's last place, and f32 sums in another order.
    assert!(worst < 2e-5, "a probability differs by {worst:e}");
}

fn shipped_loses_at_most_one(device: &Device) {
    let Some(cache) = cache() else { return };
    let (first, five) = hits(&labelled(&shipped(), device, &cache));
    println!("4 bits: {first} of 20 first, {five} of 20 among the first five");
    assert!(five >= 18 && first >= 17, "{first} first, {five} among the first five");
}

#[test]
fn float_on_the_cpu() {
    float_equals_reference(&Device::cpu(0).unwrap());
}

#[test]
fn float_on_the_gpu() {
    if let Some(gpu) = gpu() {
        float_equals_reference(&gpu);
    }
}

#[test]
fn four_bits_on_the_cpu() {
    shipped_loses_at_most_one(&Device::cpu(0).unwrap());
}

#[test]
fn four_bits_on_the_gpu() {
    if let Some(gpu) = gpu() {
        shipped_loses_at_most_one(&gpu);
    }
}

#[test]
fn the_shipped_model_knows_a_cat_and_says_where_it_comes_from() {
    let model = shipped();
    let photo = Photo::open(Path::new(ROOT).join("tests/data/chelsea.png")).unwrap();
    let mut classifier = Classifier::new(&model, &Device::cpu(1).unwrap()).unwrap();
    let best = classifier.classify(&photo, 3).unwrap();
    assert_eq!(best.len(), 3);
    assert!(best.iter().any(|p| p.label.contains("cat")), "{best:?}");
    assert!(best[0].score >= best[1].score);
    assert_eq!(model.manifest.license.as_deref(), Some("Apache-2.0"));
    assert_eq!(model.manifest.labels.len(), 1000);
    assert!(model.manifest.provenance.unwrap().contains("EfficientNet-Lite0"));
}

#[test]
fn a_model_without_an_image_input_is_refused() {
    let mut model = shipped();
    model.manifest.image = None;
    assert!(Classifier::new(&model, &Device::cpu(1).unwrap()).is_err());
}
