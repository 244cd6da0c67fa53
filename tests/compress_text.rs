//! Language models calibrated with a text, on small random decoders: what becomes of their logits on a text that
//! calibration has not seen.

#![cfg(all(feature = "text", feature = "cli"))]

#[path = "decoder/weights.rs"]
mod weights;

use fewbit::compress::{Rules, Sample, TensorReport, compress, train};
use fewbit::formats::gguf;
use fewbit::graph::{Model, Weight};
use fewbit::models::llama::{self, Config, Gate};
use fewbit::models::rope::{Rope, Scaling};
use fewbit::runtime::{Device, Session};
use fewbit::tasks::{lessons, windows};
use fewbit::tensor::Tensor;
use fewbit::weights::Encoded;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use weights::{Sizes, random_weights};

const CONFIG: Config = Config {
    file: String::new(),
    layers: 3,
    heads: 6,
    kv_heads: 2,
    epsilon: 1e-5,
    rope: Rope { theta: 10_000.0, dims: 10, interleaved: true, scaling: Scaling::None },
    local_rope: None,
    scale: None,
    window: None,
    gate: Gate::Silu,
    embedding_scale: 1.0,
};

/// A decoder with the vocabulary of `tests/data/text/bytes.gguf`.
fn decoder(random: &mut StdRng) -> Model {
    let bytes = std::fs::read("tests/data/text/bytes.gguf").unwrap();
    let metadata = gguf::metadata("test", &bytes.into()).unwrap();
    let vocabulary = metadata.array("tokenizer.ggml.tokens").unwrap().len();
    let sizes = Sizes { hidden: 44, head: 10, inner: 70, vocabulary, biases: false, tied: true, norms: 0 };
    let mut weights = random_weights(&CONFIG, &sizes, random);
    // Embeddings that go together, as a trained model's do.
    let Weight::Dense(embedding) = weights.get_mut("token_embd.weight").unwrap() else { unreachable!() };
    for row in embedding.slice_mut::<f32>().unwrap().chunks_exact_mut(sizes.hidden) {
        for i in 11..row.len() {
            row[i] = 0.2 * row[i] + row[i % 11];
        }
    }
    let mut model = Model { graph: llama::build(&CONFIG, llama::gguf_names, weights).unwrap(), ..Model::default() };
    model.manifest.extra.insert("gguf_metadata".into(), metadata.to_json().unwrap());
    model
}

fn text(random: &mut StdRng, words: usize) -> String {
    (0..words).map(|_| format!("{} ", random.random_range(0..100_000u32))).collect()
}

fn compressed(model: &Model, encoding: &str, samples: &[Sample]) -> (Model, Vec<TensorReport>) {
    let mut model = model.clone();
    let rules = Rules::parse(&[encoding.to_string()], None, None).unwrap();
    let reports = compress(&mut model, &rules, samples, &Device::cpu(2).unwrap(), |_| ()).unwrap();
    (model, reports)
}

fn logits(model: &Model, samples: &[Sample]) -> Vec<f32> {
    let names: Vec<&str> = model.graph.inputs.iter().map(|&id| model.graph.value(id).name.as_str()).collect();
    let mut session = Session::new(model, &Device::cpu(2).unwrap()).unwrap();
    let mut run = |sample: &Sample| {
        let named: Vec<(&str, &Tensor)> = names.iter().copied().zip(sample).collect();
        session.run(&named).unwrap()[0].1.to_f32().unwrap()
    };
    samples.iter().flat_map(&mut run).collect()
}

/// Relative squared error of the logits.
fn error(exact: &[f32], found: &[f32]) -> f64 {
    let square = |v: f32| f64::from(v).powi(2);
    let lost: f64 = exact.iter().zip(found).map(|(a, b)| square(a - b)).sum();
    lost / exact.iter().map(|&v| square(v)).sum::<f64>()
}

#[test]
fn a_text_guides_every_weight() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let model = decoder(&mut random);
    let samples = windows(&model, &text(&mut random, 1200)).unwrap();
    let (seen, unseen) = samples.split_at(samples.len() * 3 / 4);
    assert!(!unseen.is_empty() && seen.iter().all(|s| s[0].shape() == [1, 512]), "{} windows", samples.len());
    let exact = logits(&model, unseen);
    for (encoding, share) in [("palette:3:scale", 0.6), ("palette:6:dim=2:scale", 0.6), ("auto:5", 0.8)] {
        let (plain, _) = compressed(&model, encoding, &[]);
        let (guided, reports) = compressed(&model, encoding, seen);
        assert_eq!(reports.len(), 3 * 7 + 1);
        assert!(reports.iter().all(|r| r.output_error.is_some()));
        let (plain, guided) = (error(&exact, &logits(&plain, unseen)), error(&exact, &logits(&guided, unseen)));
        println!("{encoding}: {plain:.5} without a text, {guided:.5} with one");
        assert!(guided < share * plain, "{encoding}: {guided} against {plain}");
    }
}

/// Files hold weights in few bits: they are decoded, not left as they are.
#[test]
fn few_bits_become_fewer() {
    let mut random = StdRng::seed_from_u64(rand::random());
    let model = decoder(&mut random);
    let samples = windows(&model, &text(&mut random, 400)).unwrap();
    let (four, _) = compressed(&model, "affine:4:group=32", &[]);
    let (three, reports) = compressed(&four, "palette:3:scale", &samples);
    assert!(three.graph.weights.values().filter(|w| matches!(w, Weight::Encoded(_))).count() == reports.len());
    assert!(reports.iter().all(|r| r.encoding == "palette:3:scale"), "{reports:?}");
    let lost = error(&logits(&four, &samples), &logits(&three, &samples));
    assert!(lost > 0.0 && lost < 0.2, "{lost}");
}

#[test]
fn what_cannot_be_calibrated_says_so() {
    let mut random = StdRng::seed_from_u64(rand::random());
    let mut model = decoder(&mut random);
    let message = |result: fewbit::Result<Vec<Sample>>| result.err().map(|e| e.to_string()).unwrap_or_default();
    assert!(message(windows(&model, "")).contains("no two tokens"));
    let samples = windows(&model, "12 34").unwrap();
    let rules = Rules::parse(&["palette:4".to_string()], None, None).unwrap();
    let short: Vec<Sample> = vec![samples[0][..2].to_vec()];
    let refused = compress(&mut model.clone(), &rules, &short, &Device::cpu(1).unwrap(), |_| ());
    assert!(refused.is_err_and(|e| e.to_string().contains("3 inputs")));
    model.manifest.extra.clear();
    assert!(message(windows(&model, "12 34")).contains("tokenizer"));
    model.graph.inputs.pop();
    assert!(message(windows(&model, "12 34")).contains("decoders"));
}

/// What training changes is seen on a text that it has not seen: outputs come nearer to the float model's, codes stay.
#[test]
fn training_brings_the_model_nearer() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let model = decoder(&mut random);
    let lessons = lessons(&model, &text(&mut random, 1600)).unwrap();
    let (seen, unseen) = lessons.split_at(lessons.len() * 3 / 4);
    let exact = logits(&model, unseen);
    for encoding in ["palette:2:scale", "palette:4:dim=2:group=16"] {
        let (before, _) = compressed(&model, encoding, &[]);
        let mut after = before.clone();
        let divergences = train(&mut after, &model, seen, 4, &Device::cpu(2).unwrap(), || ()).unwrap();
        let [first, last] = [&before, &after].map(|m| error(&exact, &logits(m, unseen)));
        println!("{encoding}: {first:.5} before, {last:.5} after; divergences {divergences:?}");
        assert!(last < 0.75 * first, "{encoding}: {last} against {first}");
        assert!(divergences.len() == 4 && divergences[3] < divergences[0]);
        for (id, weight) in &before.graph.weights {
            let codes = |weight: &Weight| match weight {
                Weight::Encoded(encoded) => match &**encoded {
                    Encoded::Palette(palette) => Some(palette.codes().bytes().to_vec()),
                    _ => None,
                },
                Weight::Dense(_) => None,
            };
            assert_eq!(codes(weight), codes(&after.graph.weights[id]));
        }
    }
}

#[test]
fn what_cannot_be_trained_says_so() {
    let mut random = StdRng::seed_from_u64(rand::random());
    let model = decoder(&mut random);
    let samples = lessons(&model, "1234567").unwrap();
    let device = Device::cpu(1).unwrap();
    let mut other = model.clone();
    let refused = train(&mut other, &model, &[], 1, &device, || ());
    assert!(refused.is_err_and(|e| e.to_string().contains("--calibrate")));
    other.graph.nodes.iter_mut().filter(|n| n.op == "Swish").for_each(|n| n.op = "Sigmoid".into());
    let refused = train(&mut other, &model, &samples, 1, &device, || ());
    assert!(refused.is_err_and(|e| e.to_string().contains("`Sigmoid`")));
}
