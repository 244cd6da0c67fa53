//! Text under JSON schemas: whatever tokens are chosen, it ends within its tokens and the crate `jsonschema` finds it
//! valid. No model is needed: a random one among the admitted tokens is the most adverse.
#![cfg(feature = "text")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use fewbit::formats::gguf;
use fewbit::text::{Schemas, Tokenizer};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Map, Value, json};

fn tokenizer(path: PathBuf) -> Tokenizer {
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    Tokenizer::from_gguf(&gguf::metadata("test", &bytes.into()).unwrap()).unwrap()
}

fn small() -> Tokenizer {
    tokenizer(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/text/bytes.gguf"))
}

const KEYS: &[&str] = &["a", "name", "item list", "quote\"d", "back\\slash", "größe", "日本", "a b\tc", "x-1", ""];
const PATTERNS: &[&str] = &["^[a-z]{2,5}$", "^\\d{3}-\\d{4}$", "^(yes|no|maybe)+$", "^[^\"]*$", "^$", "^\\w+@\\w+$"];
const FORMATS: &[&str] = &["date", "uuid", "ipv4"];

/// A schema that some text satisfies.
fn schema(rng: &mut StdRng, depth: usize) -> Value {
    match rng.random_range(0..if depth == 0 { 9 } else { 14 }) {
        0 => json!({ "type": "null" }),
        1 => json!({ "type": "boolean" }),
        2 => integer(rng),
        3 => number(rng),
        4 | 5 => string(rng),
        6 => json!({ "enum": all_values()[..rng.random_range(1..6)] }),
        7 => json!({ "const": all_values().choose(rng) }),
        8 => json!({ "type": ["string", "null", "integer"] }),
        9 | 10 => array(rng, depth - 1),
        11 | 12 => object(rng, depth - 1),
        _ => json!({ "anyOf": [schema(rng, depth - 1), schema(rng, depth - 1)] }),
    }
}

fn all_values() -> Vec<Value> {
    vec![json!(1), json!("two"), json!(null), json!([3, { "four": [4.5, true] }]), json!("🙂"), json!("\"\\\n")]
}

fn integer(rng: &mut StdRng) -> Value {
    let (low, span) = (rng.random_range(-1000..1000i64), rng.random_range(0..500));
    match rng.random_range(0..4) {
        0 => json!({ "type": "integer" }),
        1 => json!({ "type": "integer", "minimum": low, "maximum": low + span }),
        2 => json!({ "type": "integer", "exclusiveMinimum": low }),
        _ => json!({ "type": "integer", "maximum": low }),
    }
}

fn number(rng: &mut StdRng) -> Value {
    let low: f64 = (rng.random_range(-100.0..100.0f64) * 8.0).round() / 8.0;
    match rng.random_range(0..3) {
        0 => json!({ "type": "number" }),
        1 => json!({ "type": "number", "minimum": low, "maximum": low + 1.5 }),
        _ => json!({ "type": "number", "minimum": low }),
    }
}

fn string(rng: &mut StdRng) -> Value {
    let least = rng.random_range(0..12);
    match rng.random_range(0..5) {
        0 => json!({ "type": "string" }),
        1 => json!({ "type": "string", "minLength": least }),
        2 => json!({ "type": "string", "minLength": least, "maxLength": least + rng.random_range(0..9) }),
        3 => json!({ "type": "string", "pattern": PATTERNS.choose(rng) }),
        _ => json!({ "type": "string", "format": FORMATS.choose(rng) }),
    }
}

fn array(rng: &mut StdRng, depth: usize) -> Value {
    let least = rng.random_range(0..4);
    match rng.random_range(0..4) {
        0 => json!({ "type": "array", "items": schema(rng, depth) }),
        1 => json!({ "type": "array", "items": schema(rng, depth), "minItems": least }),
        2 => json!({ "type": "array", "items": schema(rng, depth), "minItems": least, "maxItems": least + 2 }),
        _ => json!({ "type": "array", "prefixItems": [schema(rng, depth), schema(rng, depth)], "items": false,
                     "minItems": least.min(2) }),
    }
}

fn object(rng: &mut StdRng, depth: usize) -> Value {
    let mut properties = Map::new();
    for _ in 0..rng.random_range(0..5) {
        properties.insert(KEYS.choose(rng).unwrap().to_string(), schema(rng, depth));
    }
    let required: Vec<&String> = properties.keys().filter(|_| rng.random()).collect();
    let mut object = json!({ "type": "object", "required": required, "properties": properties });
    match rng.random_range(0..4) {
        0 => {}
        1 => object["additionalProperties"] = schema(rng, depth),
        _ => object["additionalProperties"] = json!(false),
    }
    object
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

#[track_caller]
fn check(schema: &Value, text: &str) {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{schema}: {text}: {e}"));
    let validator = jsonschema::options().should_validate_formats(true).build(schema).unwrap();
    if let Err(e) = validator.validate(&value) {
        panic!("{schema}: {text}: {e}");
    }
}

fn random_schemas(tokenizer: &Tokenizer, count: usize) {
    let seed = rand::rng().random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let schemas = Schemas::new(tokenizer).unwrap();
    let mut total = Cost::default();
    for i in 0..count {
        let schema = schema(&mut rng, 3);
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
    ] {
        assert!(schemas.constraint(&schema).is_err(), "{schema}");
    }
    let mut constraint = schemas.constraint(&json!({ "type": "integer" })).unwrap();
    let quote = tokenizer.encode("\"", false).unwrap()[0];
    assert!(constraint.take(quote, 10).is_err());
    let mut constraint = schemas.constraint(&json!({ "type": "string", "minLength": 30 })).unwrap();
    assert!(constraint.take(quote, 3).unwrap_err().to_string().contains("tokens"));
}
