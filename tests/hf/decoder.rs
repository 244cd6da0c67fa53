//! Decoders in folders of Hugging Face's layout against what `transformers` computes with them (pkg-scripts/decoder_cases.py).

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use fewbit::graph::{Model, Weight};
use fewbit::runtime::Device;
use fewbit::tasks::beams::{self, Beams};
use fewbit::tasks::generate::{End, Options};
use fewbit::tasks::{Decoder, Generator};
use fewbit::tensor::DType;
use fewbit::text::{Message, Sampling};

fn folder(name: &str) -> PathBuf {
    super::folder("decoders", name)
}

/// Fed in pieces of odd sizes, logits of every token.
fn check(name: &str, dtype: DType) {
    let model = Model::open(folder(name)).unwrap();
    let expected = super::expected(&folder(name));
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
        assert!((g - w).abs() <= 1e-4 * largest, "{name}: logit {i} is {g}, not {w}");
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

#[derive(serde::Deserialize)]
struct Search {
    model: String,
    prompt: Vec<u32>,
    ends: Vec<u32>,
    most: usize,
    beams: usize,
    length_penalty: f32,
    ids: Vec<u32>,
}

/// Ids of `generate(num_beams, length_penalty)`, with one decoder for all searches of a model.
#[test]
fn beams_are_those_of_transformers() {
    let searches: Vec<Search> = serde_json::from_slice(&std::fs::read(folder("beams.json")).unwrap()).unwrap();
    assert!(searches.len() >= 36);
    let device = match std::env::var("FEWBIT_TEST_DEVICE").as_deref() {
        Ok("gpu") => Device::gpu().unwrap(),
        _ => Device::cpu(2).unwrap(),
    };
    let mut decoders = BTreeMap::new();
    for Search { model, prompt, ends, most, beams, length_penalty, ids } in searches {
        let open = || Decoder::new(&Model::open(folder(&model)).unwrap(), &device).unwrap();
        let decoder = decoders.entry(model.clone()).or_insert_with(open);
        let mut search = beams::Search::new(Beams { count: beams, length_penalty }, &prompt, &ends, most).unwrap();
        loop {
            let running = search.running();
            if running.is_empty() {
                break;
            }
            assert!(running.len() <= beams);
            let mut logits = pollster::block_on(decoder.batch_logits_async(&running, 1)).unwrap();
            search.advance(&mut logits, |_, _| ());
        }
        assert_eq!(search.best().unwrap(), ids, "{model}, {beams} beams, length penalty {length_penalty}");
    }
}

/// One piece of text, whose ids are the search's; and what does not go with beams.
#[test]
fn a_folder_generates_with_beams() {
    let mut generator = Generator::new(&Model::open(with_tokenizer(7)).unwrap(), &Device::cpu(1).unwrap()).unwrap();
    let beams = Beams { count: 3, length_penalty: 0.5 };
    let options = Options { max_tokens: 9, beams, ..Options::default() };
    let mut pieces = Vec::new();
    let found = generator.generate("Hello", &options, |piece| {
        pieces.push(piece.to_string());
        ControlFlow::Continue(())
    });
    let found = found.unwrap();
    assert_eq!((pieces, found.prompt_tokens), (vec![found.text.clone()], 5));
    let prompt = generator.language().prompt("Hello").unwrap();
    let ends = generator.language().tokenizer.stops().to_vec();
    let mut search = beams::Search::new(beams, &prompt, &ends, 9).unwrap();
    while !search.running().is_empty() {
        let mut logits = pollster::block_on(generator.decoder().batch_logits_async(&search.running(), 1)).unwrap();
        // The tokenizer knows every word of the model.
        assert_eq!(logits.len() % 61, 0);
        search.advance(&mut logits, |_, _| ());
    }
    assert_eq!(search.best().unwrap(), found.ids);
    for wrong in [
        Options { beams: Beams { count: 0, ..beams }, ..options.clone() },
        Options { beams: Beams { count: 65, ..beams }, ..options.clone() },
        Options { beams: Beams { length_penalty: f32::NAN, ..beams }, ..options.clone() },
        Options { stop: vec!["x".into()], ..options.clone() },
        Options { schema: Some(serde_json::json!({})), ..options.clone() },
        Options { sampling: Sampling { temperature: 1.0, ..Sampling::default() }, ..options.clone() },
    ] {
        assert!(generator.generate("Hello", &wrong, |_| ControlFlow::Continue(())).is_err(), "{wrong:?}");
    }
    let none = Options { max_tokens: 0, ..options };
    assert!(generator.generate("Hello", &none, |_| ControlFlow::Continue(())).unwrap().ids.is_empty());
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

/// A folder with a tokenizer of letters, a chat template, and this token to end texts.
fn with_tokenizer(stop: u32) -> PathBuf {
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("hf_decoder_{stop}"));
    std::fs::create_dir_all(&made).unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(folder("llama").join(file), made.join(file)).unwrap();
    }
    let letters = ('a'..='z').chain('A'..='Z').chain(['Ġ', '.', ',', '!', '?', '-', ':', ';']);
    let vocabulary: serde_json::Map<String, serde_json::Value> =
        letters.zip(0u32..).map(|(letter, id)| (letter.to_string(), id.into())).collect();
    assert_eq!(vocabulary.len(), 60);
    let level =
        serde_json::json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    let tokenizer = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
        "added_tokens": [{"id": 60, "content": "<|turn|>", "special": true, "single_word": false, "lstrip": false,
                          "rstrip": false, "normalized": false}],
        "pre_tokenizer": level, "decoder": level,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": [], "dropout": null, "unk_token": null,
                  "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false},
    });
    let template = "{% for m in messages %}<|turn|>{{ m.content }}{% endfor %}<|turn|>";
    let files = [
        ("tokenizer.json", tokenizer.to_string()),
        ("tokenizer_config.json", "{}".into()),
        ("chat_template.jinja", template.into()),
        ("generation_config.json", serde_json::json!({"eos_token_id": [stop, 99]}).to_string()),
    ];
    for (name, text) in files {
        std::fs::write(made.join(name), text).unwrap();
    }
    made
}

/// Texts, chats and their end as the folder's files say, from the folder and from a `.fewbit` made of it.
#[test]
fn a_folder_generates() {
    let device = Device::cpu(1).unwrap();
    let options = Options { max_tokens: 5, ..Options::default() };
    let run = |model: &Model| {
        let mut generator = Generator::new(model, &device).unwrap();
        let message = Message { role: "user".into(), content: "Hello, you.".into() };
        generator.chat(&[message], &options, |_| ControlFlow::Continue(())).unwrap()
    };
    let free = run(&Model::open(with_tokenizer(59)).unwrap());
    assert_eq!((free.prompt_tokens, free.ids.len(), free.end), (13, 5, End::MaxTokens), "{free:?}");
    let mut decoder = Decoder::new(&Model::open(folder("llama")).unwrap(), &device).unwrap();
    let prompt = [60, 33, 4, 11, 11, 14, 54, 52, 24, 14, 20, 53, 60];
    let logits = decoder.logits(&prompt, 1).unwrap();
    let first = (0..60u32).max_by(|&a, &b| logits[a as usize].total_cmp(&logits[b as usize])).unwrap();
    assert_eq!(free.ids[0], first);

    let stopped = Model::open(with_tokenizer(free.ids[2])).unwrap();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hf_decoder.fewbit");
    stopped.save(&file).unwrap();
    for model in [stopped, Model::open(&file).unwrap()] {
        let found = run(&model);
        let until = free.ids.iter().position(|&id| id == free.ids[2]).unwrap();
        assert_eq!((found.ids, found.end), (free.ids[..=until].to_vec(), End::Stop));
    }
}
