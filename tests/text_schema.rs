//! Text under JSON schemas: whatever tokens are chosen, it ends within its tokens and the crate `jsonschema` finds it
//! valid. No model is needed: a random one among the admitted tokens is the most adverse.
#![cfg(feature = "text")]

#[path = "text_schema/random.rs"]
mod random;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use fewbit::formats::gguf;
use fewbit::text::{Schemas, Tokenizer};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use random::{check, schema};
use serde_json::{Value, json};

fn tokenizer(path: PathBuf) -> Tokenizer {
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    Tokenizer::from_gguf(&gguf::metadata("test", &bytes.into()).unwrap()).unwrap()
}

fn small() -> Tokenizer {
    tokenizer(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/text/bytes.gguf"))
}

/// What a text cost.
#[derive(Default)]
struct Cost {
    tokens: u32,
    spent: Duration,
    worst: Duration,
}

/// Writes a text of at most `spare` tokens more than it needs.
fn write(tokenizer: &Tokenizer, schemas: &Schemas, schema: &Value, spare: usize, rng: &mut StdRng) -> (String, Cost) {
    let mut constraint = schemas.constraint(schema).unwrap_or_else(|e| panic!("{schema}: {e}"));
    let mut left = constraint.tokens_needed() + spare;
    let (mut bytes, mut cost) = (Vec::new(), Cost::default());
    while !constraint.is_finished() && left > 0 {
        let mut logits = vec![0.0f32; tokenizer.vocabulary_size()];
        let begun = Instant::now();
        constraint.mask(&mut logits).unwrap();
        let masked = begun.elapsed();
        let admitted: Vec<u32> =
            (0u32..).zip(&logits).filter(|(_, logit)| logit.is_finite()).map(|(id, _)| id).collect();
        let token = *admitted.choose(rng).unwrap_or_else(|| panic!("{schema}: nothing may follow"));
        if tokenizer.stops().contains(&token) {
            assert_eq!(constraint.tokens_needed(), 0, "{schema}: a stop was admitted too early");
            break;
        }
        let begun = Instant::now();
        let taken = constraint.take(token, left).unwrap_or_else(|e| panic!("{schema}: {e}"));
        let Some(token) = taken else { break };
        let spent = masked + begun.elapsed();
        cost = Cost { tokens: cost.tokens + 1, spent: cost.spent + spent, worst: cost.worst.max(spent) };
        bytes.extend_from_slice(tokenizer.bytes(token).unwrap());
        left -= 1;
    }
    assert_eq!(constraint.tokens_needed(), 0, "{schema}: no tokens are left");
    (String::from_utf8(bytes).unwrap(), cost)
}

fn random_schemas(tokenizer: &Tokenizer, count: usize) {
    let seed = rand::rng().random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let schemas = Schemas::new(tokenizer).unwrap();
    let mut total = Cost::default();
    for i in 0..count {
        let schema = schema(&mut rng);
        let (text, cost) = write(tokenizer, &schemas, &schema, i % 60, &mut rng);
        check(&schema, &text);
        total.tokens += cost.tokens;
        total.spent += cost.spent;
        total.worst = total.worst.max(cost.worst);
    }
    let mean = total.spent / total.tokens.max(1);
    println!("{count} schemas, {} tokens: {mean:?} a token, at most {:?}", total.tokens, total.worst);
}

#[test]
fn random_schemas_are_satisfied() {
    random_schemas(&small(), 1000);
}

#[test]
fn random_schemas_are_satisfied_with_a_real_vocabulary() {
    let cache = std::env::var_os("FEWBIT_CACHE").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::home_dir().map(|home| home.join(".cache/fewbit"))).unwrap();
    let path = cache.join("models/smollm2_135m_q4_1.gguf");
    if path.is_file() || std::env::var_os("FEWBIT_TEST_REQUIRE_DATA").is_some() {
        random_schemas(&tokenizer(path), 200);
    }
}

#[test]
fn schemas_that_refer_to_themselves_end() {
    let tokenizer = small();
    let schemas = Schemas::new(&tokenizer).unwrap();
    let mut rng = StdRng::seed_from_u64(7);
    let tree = json!({ "$ref": "#/$defs/node", "$defs": { "node": {
        "type": "object", "additionalProperties": false, "required": ["value", "children"],
        "properties": { "value": { "type": "string" }, "next": { "$ref": "#/$defs/node" },
                        "children": { "type": "array", "items": { "$ref": "#/$defs/node" } } } } } });
    let any = json!({});
    let merged = json!({ "allOf": [
        { "type": "object", "properties": { "a": { "type": "integer" } }, "required": ["a"] },
        { "type": "object", "properties": { "b": { "type": "string" } }, "required": ["b"] } ] });
    for schema in [tree, any, merged, json!(true)] {
        for spare in 0..40 {
            let (text, _) = write(&tokenizer, &schemas, &schema, spare, &mut rng);
            check(&schema, &text);
        }
    }
}

/// Of leap days those of leap years alone.
#[test]
fn only_days_that_there_are_come() {
    let tokenizer = small();
    let schemas = Schemas::new(&tokenizer).unwrap();
    let mut rng = StdRng::seed_from_u64(rand::rng().random());
    let leap = json!({ "type": "string", "format": "date", "pattern": "-02-29$" });
    let both =
        json!({ "type": ["string", "null"], "format": "date", "pattern": "^19", "allOf": [{ "pattern": "-02-" }] });
    let any = json!({ "type": "string", "format": "date" });
    for schema in [leap, both, any] {
        let mut written = std::collections::HashSet::new();
        for _ in 0..300 {
            let (text, _) = write(&tokenizer, &schemas, &schema, 30, &mut rng);
            check(&schema, &text);
            written.insert(text);
        }
        assert!(written.len() > 20, "{schema}: {written:?}");
    }
}

#[test]
fn schemas_that_cannot_be_kept_are_errors() {
    let tokenizer = small();
    let schemas = Schemas::new(&tokenizer).unwrap();
    let deep = (0..100).fold(json!({}), |inner, _| json!({ "type": "array", "items": inner, "minItems": 1 }));
    assert!(schemas.constraint(&deep).is_ok());
    for schema in [
        json!(false),
        json!(3),
        json!("type"),
        json!({ "type": "colour" }),
        json!({ "type": "array", "uniqueItems": true }),
        json!({ "not": { "type": "string" } }),
        json!({ "if": { "type": "string" }, "then": { "minLength": 3 } }),
        json!({ "$ref": "#/$defs/missing" }),
        json!({ "$ref": "#/$defs/a~1b", "$defs": { "a/b": true } }),
        json!({ "$ref": "file:///etc/passwd" }),
        json!({ "$ref": "#" }),
        json!({ "type": "string", "format": "email" }),
        json!({ "type": "number", "exclusiveMinimum": 96.0, "maximum": 97 }),
        json!({ "type": "integer", "multipleOf": 7 }),
        json!({ "type": "string", "pattern": "(" }),
        json!({ "type": "string", "pattern": "(?=a)b" }),
        json!({ "type": "integer", "minimum": 5, "maximum": 4 }),
        json!({ "type": "string", "minLength": 5, "maxLength": 4 }),
        json!({ "type": "string", "minLength": 100_000_000 }),
        json!({ "type": "array", "minItems": 100_000_000 }),
        json!({ "type": "object", "required": ["a"], "additionalProperties": false }),
        json!({ "type": "object", "required": ["a"], "minProperties": 3 }),
        json!({ "type": "object", "properties": { "a": {}, "b": {}, "c": {} }, "minProperties": 1, "maxProperties": 2 }),
    ] {
        assert!(schemas.constraint(&schema).is_err(), "{schema}");
    }
    let mut constraint = schemas.constraint(&json!({ "type": "integer" })).unwrap();
    let quote = tokenizer.encode("\"", false).unwrap()[0];
    assert!(constraint.take(quote, 10).is_err());
    let mut constraint = schemas.constraint(&json!({ "type": "string", "minLength": 30 })).unwrap();
    assert!(constraint.take(quote, 3).unwrap_err().to_string().contains("tokens"));
}
