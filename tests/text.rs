//! Tokenizers and chat templates against llama.cpp, the library `tokenizers` and Jinja2 (`pkg-scripts/text_cases.py`).
//!
//! Without the fetched files the tests of real vocabularies pass over, unless `FEWBIT_TEST_REQUIRE_DATA` is set, as
//! `pkg-scripts/test` does.
#![cfg(feature = "text")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use fewbit::formats::gguf::{self, Metadata, Value};
use fewbit::text::{ChatTemplate, Message, Tokenizer};
use serde::Deserialize;

#[derive(Deserialize)]
struct Ids {
    /// Each a list of parts and how often they are repeated.
    texts: Vec<Vec<(String, usize)>>,
    tokenizers: BTreeMap<String, Expected>,
}

#[derive(Deserialize)]
struct Expected {
    size: usize,
    prefix: Vec<u32>,
    suffix: Vec<u32>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    /// `[id, how often, id, how often, …]`
    ids: Vec<u32>,
    /// With special tokens in the text, where that differs.
    special: Option<Vec<u32>>,
    /// What the latter decode to, where that is not the text.
    decoded: Option<String>,
}

fn data(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/text").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn ids() -> Ids {
    serde_json::from_slice(&data("ids.json")).unwrap()
}

/// A fetched file.
fn fetched(name: &str) -> Option<Vec<u8>> {
    let cache = std::env::var_os("FEWBIT_CACHE").map(PathBuf::from);
    let path = cache.or_else(|| std::env::home_dir().map(|home| home.join(".cache/fewbit")))?.join("models").join(name);
    let bytes = std::fs::read(&path).ok();
    let required = std::env::var_os("FEWBIT_TEST_REQUIRE_DATA").is_some();
    assert!(bytes.is_some() || !required, "{} is missing: run pkg-scripts/fetch", path.display());
    bytes
}

fn metadata(bytes: Vec<u8>) -> Metadata {
    gguf::metadata("test", &bytes.into()).unwrap()
}

fn runs(flat: &[u32]) -> Vec<u32> {
    flat.chunks(2).flat_map(|run| std::iter::repeat_n(run[0], run[1] as usize)).collect()
}

fn streamed(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let mut stream = tokenizer.stream();
    let text: String = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
    text + &stream.finish()
}

/// Ids, and the text of ids piece by piece, are the reference's.
#[track_caller]
fn check(name: &str, tokenizer: &Tokenizer, text_of: impl Fn(&[u32]) -> String) {
    let Ids { texts, tokenizers } = ids();
    let expected = &tokenizers[name];
    assert_eq!(tokenizer.vocabulary_size(), expected.size, "{name}");
    assert_eq!((tokenizer.prefix(), tokenizer.suffix()), (&expected.prefix[..], &expected.suffix[..]), "{name}");
    assert_eq!(texts.len(), expected.cases.len());
    for (parts, case) in texts.iter().zip(&expected.cases) {
        let text: String = parts.iter().map(|(part, count)| part.repeat(*count)).collect();
        let special = case.special.as_ref().unwrap_or(&case.ids);
        assert_eq!(tokenizer.encode(&text, false).unwrap(), runs(&case.ids), "{name}: {parts:?}");
        let ids = tokenizer.encode(&text, true).unwrap();
        assert_eq!(ids, runs(special), "{name}: special tokens of {parts:?}");
        assert_eq!(text_of(&ids), *case.decoded.as_ref().unwrap_or(&text), "{name}: the ids of {parts:?}");
    }
}

#[test]
fn byte_level_vocabularies_of_gguf() {
    for words in ["gpt-2", "smollm", "llama-bpe", "qwen2"] {
        let mut metadata = metadata(data("bytes.gguf"));
        metadata.0.insert("tokenizer.ggml.pre".into(), Value::Text(words.into()));
        let tokenizer = Tokenizer::from_gguf(&metadata).unwrap();
        check(words, &tokenizer, |ids| streamed(&tokenizer, ids));
        check(words, &tokenizer, |ids| tokenizer.decode(ids).unwrap());
    }
}

#[test]
fn sentence_piece_vocabularies_of_gguf() {
    let tokenizer = Tokenizer::from_gguf(&metadata(data("pieces.gguf"))).unwrap();
    assert_eq!(tokenizer.stops(), [2]);
    check("pieces.gguf", &tokenizer, |ids| streamed(&tokenizer, ids));
}

#[test]
fn tokenizers_of_hugging_face() {
    for name in ["digits.json", "llama3.json", "unigram.json", "pieces.json"] {
        let tokenizer = Tokenizer::from_json(&data(name)).unwrap();
        check(name, &tokenizer, |ids| tokenizer.decode(ids).unwrap());
    }
}

#[test]
fn the_vocabulary_of_smollm2() {
    let Some(bytes) = fetched("smollm2_135m_q4_1.gguf") else { return };
    let metadata = metadata(bytes);
    let tokenizer = Tokenizer::from_gguf(&metadata).unwrap();
    assert_eq!(tokenizer.stops(), [0, 2]);
    check("smollm2", &tokenizer, |ids| streamed(&tokenizer, ids));

    // What llama.cpp makes of the prompt of a chat.
    let chat = ChatTemplate::from_gguf(&metadata).unwrap().unwrap();
    let question = Message { role: "user".into(), content: "What is the capital of France?".into() };
    let text = chat.render(&[question], true).unwrap();
    let expected = [
        1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018, 411, 407, 19712, 8182, 2,
        198, 1, 4093, 198, 1780, 314, 260, 3575, 282, 4649, 47, 2, 198, 1, 520, 9531, 198,
    ];
    assert_eq!(tokenizer.encode(&text, true).unwrap(), expected);
}

#[test]
fn the_vocabulary_of_minilm() {
    let Some(bytes) = fetched("minilm/tokenizer.json") else { return };
    let tokenizer = Tokenizer::from_json(&bytes).unwrap();
    let Ids { texts, tokenizers } = ids();
    let expected = &tokenizers["minilm"];
    assert_eq!((tokenizer.prefix(), tokenizer.suffix()), (&expected.prefix[..], &expected.suffix[..]));
    for (parts, case) in texts.iter().zip(&expected.cases) {
        let text: String = parts.iter().map(|(part, count)| part.repeat(*count)).collect();
        assert_eq!(tokenizer.encode(&text, false).unwrap(), runs(&case.ids), "{parts:?}");
    }
    let ids = tokenizer.encode("The embeddings of Paris.", false).unwrap();
    assert_eq!(tokenizer.decode(&ids).unwrap(), "the embeddings of paris .");
}

#[derive(Deserialize)]
struct Chats {
    templates: BTreeMap<String, String>,
    cases: Vec<Chat>,
}

#[derive(Deserialize)]
struct Chat {
    template: String,
    messages: Vec<(String, String)>,
    open: bool,
    expected: Rendered,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Rendered {
    Text(String),
    Refused { error: String },
}

#[test]
fn chat_templates() {
    let chats: Chats = serde_json::from_slice(&data("chats.json")).unwrap();
    for case in &chats.cases {
        let template = ChatTemplate::new(&chats.templates[&case.template], "<s>", "</s>").unwrap();
        let message = |(role, content): &(String, String)| Message { role: role.clone(), content: content.clone() };
        let messages: Vec<Message> = case.messages.iter().map(message).collect();
        let rendered = template.render(&messages, case.open);
        match &case.expected {
            Rendered::Text(expected) => assert_eq!(rendered.unwrap(), *expected, "{}", case.template),
            Rendered::Refused { error } => assert!(rendered.unwrap_err().to_string().contains(error)),
        }
    }
}

#[test]
fn a_template_that_goes_on_is_stopped() {
    let hello = Message { role: "user".into(), content: "x".repeat(1 << 20) };
    let plain = "{% for m in messages %}{{ m.content }}{{ m.content.strip() }}{% endfor %}";
    let text = ChatTemplate::new(plain, "", "").unwrap().render(std::slice::from_ref(&hello), true).unwrap();
    assert_eq!(text.len(), 2 << 20);
    for hostile in [
        "{% for a in range(100000) %}{% for b in range(100000) %}{{ a }}{% endfor %}{% endfor %}",
        "{% set ns = namespace(s='aaaaaaaa') %}{% for a in range(64) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
        "{{ 'a' * 1000000000000 }}",
        "{{ raise_exception('no') }}",
        "{{ strftime_now('%Q%!') }}",
        "{{ messages[7].content.nothing.more }}",
        "{% include 'chat' %}",
        "{{ messages | tojson(indent=99999999999) | length }}{{ 1 // 0 }}",
    ] {
        assert!(ChatTemplate::new(hostile, "", "").and_then(|t| t.render(&[], true)).is_err(), "{hostile}");
    }
    for broken in ["{% if %}", "{{", "{% generation %}", &"{{ (".repeat(100_000), &"{% if 1 %}".repeat(100_000)] {
        assert!(ChatTemplate::new(broken, "", "").is_err(), "{}", &broken[..broken.len().min(40)]);
    }
}

#[test]
fn runs_of_any_length_are_encoded() {
    let mut metadata = metadata(data("bytes.gguf"));
    for words in ["gpt-2", "smollm", "llama-bpe", "qwen2"] {
        metadata.0.insert("tokenizer.ggml.pre".into(), Value::Text(words.into()));
        run_lengths(&Tokenizer::from_gguf(&metadata).unwrap());
    }
    run_lengths(&Tokenizer::from_json(&data("digits.json")).unwrap());
    let pieces = self::metadata(data("pieces.gguf"));
    run_lengths(&Tokenizer::from_gguf(&pieces).unwrap());
}

fn run_lengths(tokenizer: &Tokenizer) {
    for run in [" ", "a", "\n", "1", "🙂", "aB", "-\n"] {
        let text = run.repeat(40_000) + "x";
        let ids = tokenizer.encode(&text, false).unwrap();
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    }
    let most = " ".repeat(500_000) + "x";
    assert_eq!(tokenizer.decode(&tokenizer.encode(&most, false).unwrap()).unwrap(), most);
    assert!(tokenizer.encode(&(" ".repeat(500_001) + "x"), false).unwrap_err().to_string().contains("white space"));
}

#[test]
fn broken_vocabularies_are_errors() {
    let whole = metadata(data("bytes.gguf"));
    assert!(Tokenizer::from_gguf(&whole).is_ok());
    for key in ["model", "tokens", "merges"] {
        let mut metadata = whole.clone();
        metadata.0.remove(&format!("tokenizer.ggml.{key}"));
        assert!(Tokenizer::from_gguf(&metadata).is_err(), "{key}");
    }
    let pieces = metadata(data("pieces.gguf"));
    for (metadata, key, value) in [
        (&whole, "model", Value::Text("bert".into())),
        (&whole, "model", Value::Unsigned(3)),
        (&whole, "model", Value::Text("llama".into())),
        (&whole, "pre", Value::Text("unheard-of".into())),
        (&whole, "tokens", whole.0["tokenizer.ggml.merges"].clone()),
        (&whole, "tokens", whole.0["tokenizer.ggml.token_type"].clone()),
        (&whole, "tokens", pieces.0["tokenizer.ggml.tokens"].clone()),
        (&whole, "token_type", whole.0["tokenizer.ggml.merges"].clone()),
        (&whole, "token_type", pieces.0["tokenizer.ggml.token_type"].clone()),
        (&whole, "merges", whole.0["tokenizer.ggml.tokens"].clone()),
        (&whole, "eos_token_id", Value::Unsigned(705)),
        (&whole, "bos_token_id", Value::Unsigned(u64::MAX)),
        (&pieces, "scores", whole.0["tokenizer.ggml.merges"].clone()),
        (&pieces, "scores", pieces.0["tokenizer.ggml.token_type"].clone()),
        (&pieces, "token_type", Value::Bool(true)),
    ] {
        let mut metadata = metadata.clone();
        metadata.0.insert(format!("tokenizer.ggml.{key}"), value.clone());
        assert!(Tokenizer::from_gguf(&metadata).is_err(), "{key}: {value:?}");
    }
    let tokenizer = Tokenizer::from_gguf(&whole).unwrap();
    for id in [705, u32::MAX] {
        assert!(
            tokenizer.decode(&[id]).is_err() && tokenizer.stream().push(id).is_err() && tokenizer.bytes(id).is_err()
        );
    }
}

/// Every prefix, and files with a part changed: an error or a tokenizer, never a panic.
#[test]
fn broken_tokenizer_files_are_errors() {
    use rand::Rng;
    let mut rng = rand::rng();
    for name in ["digits.json", "unigram.json", "pieces.json"] {
        let whole = data(name);
        for _ in 0..60 {
            let cut = rng.random_range(0..whole.len() - 1);
            assert!(Tokenizer::from_json(&whole[..cut]).is_err(), "{name} cut at {cut}");
            let mut changed = whole.clone();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..changed.len());
                changed[at] = *b"019[]{}\",:-a\\"[..].get(rng.random_range(0..13)).unwrap();
            }
            if let Ok(tokenizer) = Tokenizer::from_json(&changed) {
                let ids = tokenizer.encode("The 12 foxes 🙂 <s>", true);
                drop(ids.and_then(|ids| tokenizer.decode(&ids)));
            }
        }
    }
    let gap = r#"{"version":"1.0","added_tokens":[],"decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,
        "use_regex":true},"model":{"type":"BPE","vocab":{"a":0,"b":4294967295},"merges":[]}}"#;
    assert!(Tokenizer::from_json(gap.as_bytes()).is_err());
}
