//! Speech to text with a real model, whisper-tiny.en: ids of an independent forward in f32, features of another's, sound
//! longer than a window. On the CPU, or the adapter if `FEWBIT_TEST_DEVICE=gpu`.
//!
//! Without the fetched model the tests pass over, unless `FEWBIT_TEST_REQUIRE_DATA` is set.

#![cfg(all(feature = "audio", feature = "cli"))]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use fewbit::audio::{LogMel, RATE, Sound};
use fewbit::compress::{Rules, Sample, compress};
use fewbit::graph::{Model, Weight};
use fewbit::runtime::{Device, Session};
use fewbit::tasks::caption::{Caption, Options};
use fewbit::tasks::{Transcriber, sound_windows};
use fewbit::tensor::Tensor;
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

fn captioned(transcriber: &mut Transcriber, samples: &[f32], options: &Options) -> Caption {
    let mut sound = Sound::from_samples(samples.to_vec(), RATE).unwrap();
    let mut streamed = String::new();
    let caption = transcriber.caption(&mut sound, options, |segment| {
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

/// Words of the first that the second lacks, when both are laid side by side as well as can be.
fn lost(want: &[String], got: &[String]) -> Vec<String> {
    // Of the longest common subsequence of what is left of both.
    let mut longest = vec![vec![0; got.len() + 1]; want.len() + 1];
    for i in (0..want.len()).rev() {
        for j in (0..got.len()).rev() {
            longest[i][j] = match want[i] == got[j] {
                true => longest[i + 1][j + 1] + 1,
                false => longest[i + 1][j].max(longest[i][j + 1]),
            };
        }
    }
    let (mut i, mut j, mut lost) = (0, 0, Vec::new());
    while i < want.len() {
        match j < got.len() {
            true if want[i] == got[j] => (i, j) = (i + 1, j + 1),
            true if longest[i][j + 1] > longest[i + 1][j] => j += 1,
            _ => {
                lost.push(want[i].clone());
                i += 1;
            }
        }
    }
    lost
}

#[test]
fn greedy_ids_are_the_references() {
    let Some(model) = whisper() else { return };
    let mut transcriber = Transcriber::new(&model, &device()).unwrap();
    // A GPU that computes on the CPU takes a second for some tokens.
    for clip in clips().iter().take(if on_gpu() { 1 } else { usize::MAX }) {
        let mut samples = samples(clip);
        samples.truncate(30 * RATE as usize);
        let caption = captioned(&mut transcriber, &samples, &Options::default());
        assert_eq!((&caption.ids, &caption.text), (&clip.tokens, &clip.text), "{}", clip.file);
        assert_eq!(caption.segments.len(), 1);
    }
    let on_host = |session: &fewbit::runtime::Session| {
        let nodes = session.report().unwrap().nodes.into_iter();
        nodes.filter(|n| on_gpu() && n.place != "gpu").map(|n| n.name).collect::<Vec<_>>()
    };
    assert_eq!(transcriber.sessions().map(on_host), [const { Vec::<String>::new() }; 2]);
}

/// The reference's features are of the clips as they were before they were stored with loss.
#[test]
fn features_are_the_references() {
    for clip in clips() {
        let features = LogMel::new(80, 3_000).window(&samples(&clip)).unwrap();
        let values: Vec<f64> = features.slice::<f32>().unwrap().iter().map(|&v| v.into()).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let std = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
        let min = values.iter().copied().fold(f64::INFINITY, f64::min);
        let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        println!("{}: {min} {max} {mean} {std}", clip.file);
        let Mel { min: a, max: b, mean: c, std: d } = clip.mel;
        for (got, want, most) in [(min, a, 0.02), (max, b, 0.02), (mean, c, 0.05), (std, d, 0.05)] {
            assert!((got - want).abs() < most, "{}: {got} instead of {want}", clip.file);
        }
    }
}

/// Clips one after the other, longer than two windows: no word is lost at borders.
#[test]
fn sound_longer_than_a_window() {
    let Some(model) = whisper().filter(|_| !on_gpu()) else { return };
    let mut transcriber = Transcriber::new(&model, &device()).unwrap();
    let clips = clips();
    let order = [&clips[1], &clips[0], &clips[0]];
    let all: Vec<f32> = order.iter().flat_map(|clip| samples(clip)).collect();
    assert!(all.len() > 70 * RATE as usize);
    let caption = captioned(&mut transcriber, &all, &Options::default());
    let want: Vec<String> = order.iter().flat_map(|clip| words(&clip.text)).collect();
    let lost = lost(&want, &words(&caption.text));
    assert!(lost.is_empty(), "{lost:?} of {}", caption.text);
    assert!(words(&caption.text).len() <= want.len() + 2, "{}", caption.text);
    assert!((caption.seconds - all.len() as f64 / f64::from(RATE)).abs() < 1e-6);
    let mut last = 0.0;
    for segment in &caption.segments {
        assert!(segment.start >= last && segment.end > segment.start, "{segment:?} after {last}");
        last = segment.end;
    }
    assert!(caption.segments.len() > 10 && last <= caption.seconds);
}

#[test]
fn times_of_one_window_and_silence() {
    let Some(model) = whisper().filter(|_| !on_gpu()) else { return };
    let mut transcriber = Transcriber::new(&model, &device()).unwrap();
    let clip = &clips()[0];
    let timed = Options { timestamps: true, ..Options::default() };
    let caption = captioned(&mut transcriber, &samples(clip), &timed);
    assert!(caption.segments.len() >= 4, "{:?}", caption.segments);
    assert!(lost(&words(&clip.text), &words(&caption.text)).is_empty(), "{}", caption.text);
    // The caller may have had enough.
    let mut sound = Sound::from_samples(samples(clip), RATE).unwrap();
    let stopped = transcriber.caption(&mut sound, &timed, |_| ControlFlow::Break(())).unwrap();
    assert_eq!(stopped.segments, caption.segments[..1]);
    let silence = captioned(&mut transcriber, &vec![0.0; 5 * RATE as usize], &Options::default());
    assert!(words(&silence.text).len() < 4, "{}", silence.text);
}

/// Eight bits a weight, by way of a file.
#[test]
fn few_bits_hear_as_much() {
    let Some(mut model) = whisper().filter(|_| !on_gpu()) else { return };
    for weight in model.graph.weights.values_mut() {
        if let Weight::Encoded(encoded) = weight {
            *weight = Weight::Dense(encoded.to_dense().unwrap());
        }
    }
    let rules = Rules::parse(&["affine:8:group=64".into()], None, None).unwrap();
    compress(&mut model, &rules, &[], &device(), |_| ()).unwrap();
    let file = std::env::temp_dir().join(format!("fewbit-whisper-{}.fewbit", std::process::id()));
    model.save(&file).unwrap();
    let (small, bytes) = (Model::open(&file).unwrap(), std::fs::metadata(&file).unwrap().len());
    std::fs::remove_file(&file).unwrap();
    // 37.8 million weights, and 2 MB of tokenizer.
    assert!(bytes < 46_000_000, "{bytes} bytes");
    let clip = &clips()[0];
    let caption = captioned(&mut Transcriber::new(&small, &device()).unwrap(), &samples(clip), &Options::default());
    assert!(lost(&words(&clip.text), &words(&caption.text)).is_empty(), "{}", caption.text);
}

/// The graph in one piece: its logits of each sample.
fn logits(model: &Model, samples: &[Sample]) -> Vec<f32> {
    let names: Vec<&str> = model.graph.inputs.iter().map(|&id| model.graph.value(id).name.as_str()).collect();
    let mut session = Session::new(model, &device()).unwrap();
    let mut run = |sample: &Sample| {
        let named: Vec<(&str, &Tensor)> = names.iter().copied().zip(sample).collect();
        session.run(&named).unwrap()[0].1.to_f32().unwrap()
    };
    samples.iter().flat_map(&mut run).collect()
}

/// Rounding that was guided by one clip leaves more of another's logits than rounding that was not.
#[test]
fn sound_guides_rounding() {
    let Some(model) = whisper().filter(|_| !on_gpu()) else { return };
    let mut transcriber = Transcriber::new(&model, &device()).unwrap();
    let clips = clips();
    let mut windows = |clip: &Clip| {
        let mut sound = Sound::from_samples(samples(clip), RATE).unwrap();
        sound_windows(&model, &mut transcriber, &mut sound).unwrap()
    };
    let (unseen, seen) = (windows(&clips[0]), windows(&clips[1]));
    // The second clip is longer than a window, so that it has times.
    assert_eq!((unseen.len(), seen.len()), (1, 2));
    let at = model.graph.inputs.iter().position(|&id| model.graph.value(id).name == "input_ids").unwrap();
    let ids: Vec<u32> = unseen[0][at].to_i64().unwrap().iter().map(|&id| id as u32).collect();
    assert_eq!(ids, [&[50_257, 50_362], &clips[0].tokens[..], &[50_256]].concat());

    let exact = logits(&model, &unseen);
    let error = |samples: &[Sample]| {
        let mut model = model.clone();
        let some = r"(encoder\.layers\.1|decoder\.layers\.2)\..*(v_proj|out_proj|fc2)\.weight";
        let rules = Rules::parse(&["palette:2:scale".into()], Some(some), None).unwrap();
        let reports = compress(&mut model, &rules, samples, &device(), |_| ()).unwrap();
        assert_eq!(reports.len(), 3 + 5);
        assert!(reports.iter().all(|r| r.output_error.is_some() != samples.is_empty()));
        let found = logits(&model, &unseen);
        let lost: f64 = exact.iter().zip(&found).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        lost / exact.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>()
    };
    let (plain, guided) = (error(&[]), error(&seen));
    println!("{plain:.6} unguided, {guided:.6} guided");
    assert!(guided < 0.7 * plain, "{guided} against {plain}");
}

#[test]
fn what_cannot_be_heard_is_refused() {
    let error = Transcriber::new(&Model::default(), &Device::cpu(1).unwrap()).err().unwrap().to_string();
    assert!(error.contains("no input of sound"), "{error}");
    let Some(mut model) = whisper().filter(|_| !on_gpu()) else { return };
    let mut transcriber = Transcriber::new(&model, &device()).unwrap();
    let mut refused = |samples: &[f32], options: &Options| {
        let mut sound = Sound::from_samples(samples.to_vec(), RATE).unwrap();
        transcriber.caption(&mut sound, options, |_| ControlFlow::Continue(())).unwrap_err().to_string()
    };
    assert!(refused(&[], &Options::default()).contains("no samples"));
    let german = Options { language: Some("de".into()), ..Options::default() };
    assert!(refused(&[0.1; 8_000], &german).contains("English alone"));
    model.manifest.extra.shift_remove("tokenizer");
    let error = Transcriber::new(&model, &device()).err().unwrap().to_string();
    assert!(error.contains("no tokenizer"), "{error}");
}
