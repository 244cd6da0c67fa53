//! Random JSON schemas of every keyword that is known, and whether a text satisfies one.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Map, Value, json};

const KEYS: &[&str] = &["a", "name", "item list", "quote\"d", "back\\slash", "größe", "日本", "a b\tc", "x-1", ""];
const PATTERNS: &[&str] = &["^[a-z]{2,5}$", "^\\d{3}-\\d{4}$", "^(yes|no|maybe)+$", "^[^\"]*$", "^$", "^\\w+@\\w+$"];
const FORMATS: &[&str] = &["date", "uuid", "ipv4"];

/// A schema that some text satisfies, nested up to three deep, with definitions that it may refer to.
pub fn schema(rng: &mut StdRng) -> Value {
    let mut root = inner(rng, 3);
    root["$defs"] = json!({ "flat": leaf(rng), "some-list": { "type": "array", "items": leaf(rng), "maxItems": 2 } });
    root
}

fn inner(rng: &mut StdRng, depth: usize) -> Value {
    match rng.random_range(0..if depth == 0 { 6 } else { 14 }) {
        0..=3 => leaf(rng),
        4 => json!({ "$ref": "#/$defs/flat" }),
        5 => json!({ "$ref": "#/$defs/some-list" }),
        6 | 7 => array(rng, depth - 1),
        8..=10 => object(rng, depth - 1),
        11 => json!({ "anyOf": [inner(rng, depth - 1), inner(rng, depth - 1)] }),
        12 => json!({ "oneOf": [{ "type": "boolean" }, string(rng), array(rng, depth - 1), integer(rng)] }),
        _ => all_of(rng, depth - 1),
    }
}

fn leaf(rng: &mut StdRng) -> Value {
    match rng.random_range(0..9) {
        0 => json!({ "type": "null" }),
        1 => json!({ "type": "boolean" }),
        2 => integer(rng),
        3 => number(rng),
        4 | 5 => string(rng),
        6 => json!({ "enum": all_values()[..rng.random_range(1..6)] }),
        7 => json!({ "const": all_values().choose(rng) }),
        _ => json!({ "type": ["string", "null", "integer"] }),
    }
}

fn all_values() -> Vec<Value> {
    vec![json!(1), json!("two"), json!(null), json!([3, { "four": [4.5, true] }]), json!("🙂"), json!("\"\\\n")]
}

fn integer(rng: &mut StdRng) -> Value {
    let (low, span) = (rng.random_range(-1000..1000i64), rng.random_range(0..500));
    match rng.random_range(0..5) {
        0 => json!({ "type": "integer" }),
        1 => json!({ "type": "integer", "minimum": low, "maximum": low + span }),
        2 => json!({ "type": "integer", "exclusiveMinimum": low }),
        3 => json!({ "type": "integer", "exclusiveMaximum": low, "minimum": low - span - 2 }),
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
        0 => json!({ "type": "array", "items": inner(rng, depth) }),
        1 => json!({ "type": "array", "items": inner(rng, depth), "minItems": least }),
        2 => json!({ "type": "array", "items": inner(rng, depth), "minItems": least, "maxItems": least + 2 }),
        _ => json!({ "type": "array", "prefixItems": [inner(rng, depth), inner(rng, depth)], "items": false,
                     "minItems": least.min(2) }),
    }
}

fn object(rng: &mut StdRng, depth: usize) -> Value {
    let mut properties = Map::new();
    for _ in 0..rng.random_range(0..5) {
        properties.insert(KEYS.choose(rng).unwrap().to_string(), inner(rng, depth));
    }
    let kind = rng.random_range(0..6);
    let is_counted = kind == 2 || kind == 3;
    let required: Vec<&String> = properties.keys().filter(|_| is_counted || rng.random()).collect();
    let mut object = json!({ "type": "object", "required": required, "properties": properties });
    match kind {
        0 => {}
        1 => object["additionalProperties"] = inner(rng, depth),
        2 => {
            object["patternProperties"] = json!({ "^p[0-9]{1,3}$": inner(rng, depth) });
            object["additionalProperties"] = json!(false);
            object["minProperties"] = json!(required.len() + rng.random_range(0..2));
        }
        3 => object["maxProperties"] = json!(properties.len() + rng.random_range(0..2)),
        _ => object["additionalProperties"] = json!(false),
    }
    object
}

/// Of parts that admit a text together.
fn all_of(rng: &mut StdRng, depth: usize) -> Value {
    let low = rng.random_range(-50..50i64);
    match rng.random_range(0..3) {
        0 => json!({ "allOf": [{ "type": "integer", "minimum": low }, { "type": "integer", "maximum": low + 20 }] }),
        1 => json!({ "allOf": [{ "type": ["string", "integer"] }, string(rng)] }),
        _ => json!({ "allOf": [
            { "type": "object", "properties": { "left": inner(rng, depth) }, "required": ["left"] },
            { "type": "object", "properties": { "right": inner(rng, depth) }, "required": ["right"] },
        ] }),
    }
}

#[track_caller]
pub fn check(schema: &Value, text: &str) {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{schema}: {text}: {e}"));
    let validator = jsonschema::options().should_validate_formats(true).build(schema).unwrap();
    if let Err(e) = validator.validate(&value) {
        panic!("{schema}: {text}: {e}");
    }
}
