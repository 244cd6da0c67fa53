//! Small random Whispers against a plain forward in f64: the graph as a whole, and cut between encoder and decoder, which
//! then goes on token by token.
//!
//! `FEWBIT_TEST_DEVICE=gpu` takes the adapter; without it the CPU with every instruction set, on one and three threads.

#![cfg(all(feature = "full", feature = "cli"))]

#[path = "whisper/ct2.rs"]
mod ct2;
#[path = "whisper/reference.rs"]
mod reference;

use std::collections::BTreeMap;

use fewbit::cpu::Threads;
use fewbit::cpu::simd::Level;
use fewbit::formats::{ct2 as format, safetensors};
use fewbit::graph::{Model, Weight};
use fewbit::models::speech::Rules;
use fewbit::models::whisper::{self, Config, FEATURES};
use fewbit::runtime::{Device, Session};
use fewbit::tasks::Decoder;
use fewbit::tensor::Tensor;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reference::{Sizes, forward, random_weights};

fn devices() -> Vec<Device> {
    if std::env::var("FEWBIT_TEST_DEVICE").as_deref() == Ok("gpu") {
        return vec![Device::gpu().expect("a GPU run needs an adapter")];
    }
    let with = |count: usize, level: Level| Device::Cpu(Threads::new(count).unwrap().with_level(level).unwrap());
    Level::available().into_iter().flat_map(|level| [with(1, level), with(3, level)]).collect()
}

/// Ragged on purpose: no size is a multiple of a vector.
const SIZES: Sizes = Sizes { mels: 5, frames: 14, width: 36, inner: 50, vocabulary: 53, context: 19 };

/// Wide enough that values between encoder and decoder are large inputs, which a GPU keeps.
const LARGE: Sizes = Sizes { mels: 7, frames: 600, width: 60, inner: 70, vocabulary: 91, context: 24 };

fn config() -> Config {
    Config { file: "test".into(), encoder_layers: 2, encoder_heads: 3, decoder_layers: 3, decoder_heads: 2 }
}

fn graph(weights: &BTreeMap<String, Tensor>) -> fewbit::Result<Model> {
    let weights = weights.iter().map(|(name, tensor)| (name.clone(), Weight::Dense(tensor.clone())));
    Ok(Model { graph: whisper::build(&config(), weights.collect())?, ..Model::default() })
}

#[track_caller]
fn assert_near(what: &str, got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}");
    let scale = want.iter().fold(0f64, |m, v| m.max(v.abs()));
    for (g, w) in got.iter().zip(want) {
        assert!((f64::from(*g) - w).abs() / scale < 1e-3, "{what}: {g} instead of {w}");
    }
}

fn features(s: &Sizes, random: &mut StdRng) -> Tensor {
    let values: Vec<f32> = (0..s.mels * s.frames).map(|_| random.random_range(-1.0..1.0)).collect();
    Tensor::new([1, s.mels, s.frames], &values).unwrap()
}

/// Two windows one after the other, each with tokens in pieces, the first again after the second.
#[test]
fn windows_and_tokens() {
    for sizes in [SIZES, LARGE] {
        let seed = rand::random();
        let mut random = StdRng::seed_from_u64(seed);
        let weights = random_weights(&config(), &sizes, &mut random);
        let model = graph(&weights).unwrap();
        let heard = [features(&sizes, &mut random), features(&sizes, &mut random)];
        let ids: Vec<u32> = (0..11).map(|_| random.random_range(0..sizes.vocabulary as u32)).collect();
        let want = heard.each_ref().map(|x| forward(&config(), &sizes, &weights, x.slice::<f32>().unwrap(), &ids));
        let input = model.graph.find(FEATURES).unwrap();
        let (encoder, decoder) = model.graph.split(&[input]);
        let part = |graph| Model { graph, ..Model::default() };
        let (encoder, decoder) = (part(encoder), part(decoder));
        for device in devices() {
            let what = format!("{} on {}, seed {seed}", sizes.width, device.describe());
            let mut encoder = Session::new(&encoder, &device).unwrap();
            let mut decoder = Decoder::conditional(&decoder, &device).unwrap();
            for window in [0, 1, 0] {
                decoder.set_condition(encoder.run(&[(FEATURES, &heard[window])]).unwrap());
                let rows: Vec<&[f64]> = want[window].chunks_exact(sizes.vocabulary).collect();
                for count in [3, 4, 11] {
                    let got = decoder.logits(&ids[..count], 1).unwrap();
                    assert_near(&format!("{what}, window {window}, {count} tokens"), &got, rows[count - 1]);
                }
            }
        }
    }
}

/// The graph in one piece gives the same, as `fewbit run` runs it.
#[test]
fn the_whole_graph() {
    let mut random = StdRng::seed_from_u64(3);
    let weights = random_weights(&config(), &SIZES, &mut random);
    check_whole("whole", &graph(&weights).unwrap(), &weights, &mut random);
}

/// Logits of a model in one piece against those of the weights.
fn check_whole(what: &str, model: &Model, weights: &BTreeMap<String, Tensor>, random: &mut StdRng) {
    let heard = features(&SIZES, random);
    let want = forward(&config(), &SIZES, weights, heard.slice::<f32>().unwrap(), &[7, 30, 2, 2]);
    let row = |values: &[i64]| Tensor::new([1, values.len()], values).unwrap();
    let (ids, positions, keep) = (row(&[7, 30, 2, 2]), row(&[0, 1, 2, 3]), Tensor::new([4], &[0i64, 1, 2, 3]).unwrap());
    let mut session = Session::new(model, &devices()[0]).unwrap();
    let inputs = [(FEATURES, &heard), ("input_ids", &ids), ("position_ids", &positions), ("logits_to_keep", &keep)];
    let got = session.run(&inputs).unwrap();
    assert_near(what, got[0].1.slice().unwrap(), &want);
}

/// The weights in half precision, and what they are worth.
fn halved(weights: &BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    let half = |tensor: &Tensor| {
        let values: Vec<half::f16> = tensor.slice::<f32>().unwrap().iter().map(|&v| half::f16::from_f32(v)).collect();
        Tensor::new(tensor.shape(), &values).unwrap()
    };
    weights.iter().map(|(name, tensor)| (name.clone(), half(tensor))).collect()
}

/// CTranslate2's file and Hugging Face's folder, in both precisions.
#[test]
fn files_hold_the_weights() {
    let mut random = StdRng::seed_from_u64(4);
    let weights = random_weights(&config(), &SIZES, &mut random);
    for weights in [weights.clone(), halved(&weights)] {
        let bytes = ct2::model_bin(&config(), &weights);
        let graph = format::read("test", bytes.len() as u64, &bytes[..]).unwrap();
        check_whole("CTranslate2", &Model { graph, ..Model::default() }, &weights, &mut random);
        let error = format::read("test", 500, &bytes[..500]).unwrap_err().to_string();
        assert!(error.contains("cut short"), "{error}");

        let folder = std::env::temp_dir().join(format!("fewbit-whisper-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config.json"), CONFIG).unwrap();
        std::fs::write(folder.join("generation_config.json"), r#"{"suppress_tokens": [3, -1, 5]}"#).unwrap();
        std::fs::write(folder.join("tokenizer.json"), r#"{"version": "1.0"}"#).unwrap();
        let types: Vec<_> = weights.iter().map(|(name, tensor)| (name.clone(), tensor.ty().clone())).collect();
        let mut file = safetensors::write_header(&types, &BTreeMap::new()).unwrap();
        weights.values().for_each(|tensor| file.extend(tensor.bytes()));
        std::fs::write(folder.join("model.safetensors"), file).unwrap();
        let model = Model::open(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        check_whole("Hugging Face", &model, &weights, &mut random);
        assert_eq!(model.manifest.task.as_deref(), Some("automatic-speech-recognition"));
        assert_eq!(model.manifest.extra["context"], SIZES.context);
        assert_eq!(model.manifest.extra["tokenizer"]["version"], "1.0");
        assert_eq!(Rules::of(&model.manifest), Rules { suppress: vec![3, 5], suppress_begin: vec![2] });
    }
}

const CONFIG: &str = r#"{"model_type": "whisper", "encoder_layers": 2, "encoder_attention_heads": 3, "decoder_layers": 3,
    "decoder_attention_heads": 2, "suppress_tokens": [1], "begin_suppress_tokens": [2]}"#;

#[test]
fn what_is_no_whisper_is_refused() {
    let mut random = StdRng::seed_from_u64(1);
    let weights = random_weights(&config(), &SIZES, &mut random);
    let refused = |change: &dyn Fn(&mut BTreeMap<String, Tensor>)| {
        let mut weights = weights.clone();
        change(&mut weights);
        graph(&weights).err().expect("refused").to_string()
    };
    let name = "model.decoder.layers.1.encoder_attn.v_proj.weight";
    let error = refused(&|w| drop(w.remove(name)));
    assert!(error.contains(name) && error.contains("missing"), "{error}");
    let flat = |w: &mut BTreeMap<String, Tensor>| {
        let conv = w.get_mut("model.encoder.conv1.weight").unwrap();
        *conv = conv.reshaped([conv.len()]).unwrap();
    };
    assert!(refused(&flat).contains("has no 3 dimensions"));
    let cut = Model { graph: graph(&weights).unwrap().graph, ..Model::default() };
    let error = Decoder::new(&cut, &devices()[0]).err().unwrap().to_string();
    assert!(error.contains("no decoder that could generate text"), "{error}");
}
