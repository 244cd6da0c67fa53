//! Text generation with a real model: ids of llama.cpp on its weights in f32, which an independent forward in numpy gives
//! too, and llama.cpp's perplexity. On the CPU, or the adapter if `FEWBIT_TEST_DEVICE=gpu`.
//!
//! Without the fetched model its tests pass over, unless `FEWBIT_TEST_REQUIRE_DATA` is set. Modules need no trained one.

#![cfg(all(feature = "text", feature = "cli"))]

#[path = "generate/ahead.rs"]
mod ahead;
#[path = "generate/drafts.rs"]
mod drafts;
#[path = "text_schema/random.rs"]
mod random;
#[path = "generate/schemas.rs"]
mod schemas;
#[path = "generate/small.rs"]
mod small;
#[path = "decoder/weights.rs"]
mod weights;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use fewbit::graph::Model;
use fewbit::runtime::{Device, KvKind};
use fewbit::tasks::ahead::Draft;
use fewbit::tasks::generate::{End, Options};
use fewbit::tasks::perplexity::perplexity;
use fewbit::tasks::{Decoder, Generator};
use fewbit::text::{Message, Sampling};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Case {
    prompt: String,
    prompt_ids: Vec<u32>,
    ids: Vec<u32>,
    text: String,
}

/// Best two logits that are closer may change places: the reference adds in another order.
const TIE: f32 = 0.02;

fn on_gpu() -> bool {
    std::env::var("FEWBIT_TEST_DEVICE").as_deref() == Ok("gpu")
}

fn device() -> Device {
    if on_gpu() { Device::gpu().expect("a GPU run needs an adapter") } else { Device::cpu(0).unwrap() }
}

/// The model, if it was fetched.
fn smollm2() -> Option<Model> {
    let cache = std::env::var_os("FEWBIT_CACHE").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::home_dir().map(|home| home.join(".cache/fewbit")))?;
    let path = cache.join("models/smollm2_135m_q4_1.gguf");
    let required = std::env::var_os("FEWBIT_TEST_REQUIRE_DATA").is_some();
    assert!(path.is_file() || !required, "no model: run pkg-scripts/fetch smollm2");
    if !path.is_file() {
        eprintln!("skipped: run pkg-scripts/fetch smollm2");
        return None;
    }
    Some(Model::open(path).unwrap())
}

fn data(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/generate").join(name)).unwrap()
}

fn cases() -> Vec<Case> {
    serde_json::from_slice(&data("smollm2_greedy.json")).unwrap()
}

/// The best two: their ids and how far apart they are.
fn best(logits: &[f32]) -> ([u32; 2], f32) {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    ([order[0] as u32, order[1] as u32], logits[order[0]] - logits[order[1]])
}

#[test]
fn greedy_ids_are_the_references() {
    let Some(model) = smollm2() else { return };
    let mut decoder = Decoder::new(&model, &device()).unwrap();
    let mut cases = cases();
    // A GPU that computes on the CPU takes a second for some tokens.
    cases.truncate(if on_gpu() { 3 } else { cases.len() });
    for case in cases {
        let mut ids = case.prompt_ids.clone();
        for (step, &want) in case.ids.iter().enumerate() {
            let logits = decoder.logits(&ids, 1).unwrap();
            let ([first, second], gap) = best(&logits);
            let tie = gap < TIE && second == want;
            assert!(first == want || tie, "{:?}, step {step}: {first} instead of {want}, by {gap}", case.prompt);
            ids.push(want);
        }
    }
    if let Some(report) = decoder.session().report().filter(|_| on_gpu()) {
        let on_host: Vec<_> =
            report.nodes.iter().filter(|n| n.place != "gpu" && n.op != "fewbit.RotaryAngles").collect();
        assert!(on_host.is_empty(), "{on_host:?}");
    }
}

/// Of a prompt and of a conversation, streamed; stop texts, most tokens, and a caller who has had enough.
#[test]
fn texts_are_streamed() {
    let Some(model) = smollm2().filter(|_| !on_gpu()) else { return };
    let mut generator = Generator::new(&model, &device()).unwrap();
    let case = &cases()[0];
    let mut streamed = String::new();
    let options = Options { max_tokens: 40, ..Options::default() };
    let mut run = |options: &Options, enough: usize| {
        streamed.clear();
        let generated = generator.generate(&case.prompt, options, |piece| {
            streamed += piece;
            if streamed.len() < enough { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        let generated = generated.unwrap();
        assert_eq!(generated.text, streamed);
        assert_eq!(generated.prompt_tokens, case.prompt_ids.len());
        generated
    };
    let whole = run(&options, usize::MAX);
    assert_eq!((whole.text.as_str(), &whole.ids, whole.end), (case.text.as_str(), &case.ids, End::Stop));
    let few = run(&Options { max_tokens: 3, ..options.clone() }, usize::MAX);
    assert_eq!((&few.ids[..], few.end), (&case.ids[..3], End::MaxTokens));
    let stopped = run(&Options { stop: vec!["answer is".into()], ..options.clone() }, usize::MAX);
    assert_eq!((stopped.text.as_str(), stopped.end), (" Paris.\n\nThe ", End::Stop));
    assert_eq!(run(&options, 3).end, End::Cancelled);

    let sampling = |seed| Sampling { temperature: 0.8, top_k: 40, top_p: 0.95, seed, ..Sampling::default() };
    let mut sampled =
        |seed| run(&Options { max_tokens: 12, sampling: sampling(seed), ..options.clone() }, usize::MAX).ids;
    assert_eq!(sampled(3), sampled(3));
    assert!((4..8).any(|seed| sampled(seed) != sampled(3)));

    let user = Message { role: "user".into(), content: "What is the capital of France?".into() };
    let answer = generator.chat(&[user], &options, |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((answer.text.as_str(), answer.prompt_tokens), ("The capital of France is Paris.", 37));
}

/// The same ids, greedily and sampled, from the text itself and from a draft model (the model itself: all comes true).
#[test]
fn drafts_change_nothing() {
    let Some(model) = smollm2().filter(|_| !on_gpu()) else { return };
    let mut generator = Generator::new(&model, &device()).unwrap();
    let mut run = |draft: Draft, temperature: f32, prompt: &str| {
        generator.set_draft(draft).unwrap();
        let sampling = Sampling { temperature, seed: 5, ..Sampling::default() };
        let options = Options { max_tokens: 48, sampling, ..Options::default() };
        generator.generate(prompt, &options, |_| ControlFlow::Continue(())).unwrap()
    };
    for (temperature, prompt) in
        [(0.0, "one two three one two three one two three one"), (0.7, "a b c a b c a b c a b")]
    {
        let plain = run(Draft::None, temperature, prompt);
        assert_eq!(plain.accepted, 0);
        for draft in [Draft::Lookup, Draft::Model(Box::new(Decoder::new(&model, &device()).unwrap()))] {
            let drafted = run(draft, temperature, prompt);
            assert_eq!(drafted.ids, plain.ids, "{temperature}");
            assert!(drafted.accepted > 0 && drafted.accepted < drafted.ids.len(), "{} accepted", drafted.accepted);
        }
    }
}

/// Whatever the model would rather say, and however few tokens there are.
#[test]
fn texts_satisfy_a_schema() {
    let Some(model) = smollm2().filter(|_| !on_gpu()) else { return };
    let mut generator = Generator::new(&model, &device()).unwrap();
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["type", "x", "why"],
        "properties": {
            "type": { "enum": ["click", "scroll"] },
            "x": { "type": "integer", "minimum": 0, "maximum": 1919 },
            "why": { "type": "string" },
        },
    });
    let validator = jsonschema::validator_for(&schema).unwrap();
    for (seed, max_tokens) in [(0, 200), (1, 40), (2, 25), (3, 25)] {
        let temperature = if seed == 0 { 0.0 } else { 1.0 };
        let sampling = Sampling { temperature, seed, ..Sampling::default() };
        let options = Options { max_tokens, sampling, schema: Some(schema.clone()), ..Options::default() };
        let prompt = "The button is at the top. The next action, as JSON:\n";
        let text = generator.generate(prompt, &options, |_| ControlFlow::Continue(())).unwrap().text;
        let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert!(validator.is_valid(&value), "{text}");
    }
    let few = Options { max_tokens: 3, schema: Some(schema), ..Options::default() };
    let error = generator.generate("Hello", &few, |_| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().contains("more tokens"), "{error}");
}

#[test]
fn what_cannot_be_continued_is_refused() {
    let Some(mut model) = smollm2().filter(|_| !on_gpu()) else { return };
    model.manifest.extra.insert("context".into(), 8.into());
    let mut generator = Generator::new(&model, &device()).unwrap();
    let mut refused = |prompt: &str| {
        generator.generate(prompt, &Options::default(), |_| ControlFlow::Continue(())).unwrap_err().to_string()
    };
    assert!(refused("").contains("empty"));
    assert!(refused("one two three four five six seven eight nine").contains("the model's context 8"));
    let end = generator.generate("one two three", &Options::default(), |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((end.ids.len() + end.prompt_tokens, end.end), (9, End::Context));
    let error = Decoder::new(&Model::default(), &device()).err().unwrap();
    assert!(error.to_string().contains("no decoder"));
}

/// 37.25 is llama.cpp's of the file.
#[test]
fn perplexity_is_llama_cpps() {
    let Some(model) = smollm2().filter(|_| !on_gpu()) else { return };
    let generator = Generator::new(&model, &device()).unwrap();
    let text = String::from_utf8(data("perplexity.txt")).unwrap();
    let ids = generator.language().tokenizer.encode(&text, false).unwrap();
    assert_eq!(ids.len(), 8308);
    let mut decoder = Decoder::new(&model, &device()).unwrap();
    let found = perplexity(&mut decoder, &ids, 512, None, |_| ()).unwrap();
    println!("{found:?}");
    assert_eq!(found.tokens, 16 * 255);
    assert!((found.perplexity / 37.25 - 1.0).abs() < 5e-3, "{found:?}");
    // Keys and values of 8 bits, on a part of the text.
    let part = &ids[..2 * 512];
    let mut with = |kind| {
        decoder.set_kv(kind);
        perplexity(&mut decoder, part, 512, None, |_| ()).unwrap().perplexity
    };
    let (halves, eight) = (with(KvKind::F16), with(KvKind::Q8));
    println!("f16 {halves}, q8 {eight}");
    assert!(eight < 1.005 * halves, "f16 {halves}, q8 {eight}");
}
