//! Text that a JSON schema admits: which tokens may come next, and a way to the end that is always short enough.
//!
//! The masks are made by `llguidance`, which turns a schema into a grammar over bytes. Keywords that it knows:
//! `type`, `enum`, `const`, `anyOf`, `oneOf` (of alternatives that exclude each other), `allOf`, `$ref` within the schema
//! (`#/…`, without escaped characters), `properties`, `required`, `additionalProperties`, `patternProperties`,
//! `minProperties` and `maxProperties` (where all of `properties` are required, and of others at most one), `items`,
//! `prefixItems`, `minItems`, `maxItems`, `minLength`, `maxLength`, `pattern`, `format`, `minimum`, `maximum`,
//! `exclusiveMinimum` and `exclusiveMaximum` of integers. Any other keyword that restricts is an error, and so is a `format`
//! other than those in `FORMATS`.

use std::fmt::Display;
use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};
use llguidance::{JsonCompileOptions, Matcher, ParserFactory};
use serde_json::{Value, json};

use super::closing::{self, State};
use super::tokenizer::Tokenizer;
use crate::{Error, Result};

/// Between the parts of a JSON text: room for a line's indentation, but not for blanks without end.
const BLANKS: &str = r"[\x20\x0A\x0D\x09]{1,40}";

/// Formats whose grammar admits nothing that a validator refuses; others let through too long addresses, leap seconds at
/// noon and the like.
const FORMATS: &[&str] = &["date", "ipv4", "uuid"];

/// Days that there are, together with the grammar of `date`, which lets every February have 29.
const DAYS: &str = "^(?:[0-9]{4}-(?:0[13-9]|1[0-2])-[0-9]{2}|[0-9]{4}-02-(?:[01][0-9]|2[0-8])\
    |(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-02-29)$";

/// Keys of a schema under which there is data, not a schema.
const DATA: &[&str] = &["const", "default", "enum", "examples"];

/// Longer tokens are never chosen. (Vocabularies have runs of spaces up to about this long.)
const LONGEST_TOKEN: usize = 255;

/// The tokens of a vocabulary, prepared once for any number of schemas.
pub struct Schemas {
    factory: ParserFactory,
    vocabulary: Arc<Vocabulary>,
}

struct Vocabulary {
    tokens: TokEnv,
    /// The tokens of single bytes.
    of_bytes: Vec<Option<u32>>,
    stops: Vec<u32>,
}

impl Schemas {
    /// Fails for a tokenizer that has no token to end a text with.
    pub fn new(tokenizer: &Tokenizer) -> Result<Self> {
        let stops = tokenizer.stops().to_vec();
        let stop =
            *stops.first().ok_or_else(|| Error::Unsupported("a schema without a token that ends texts".into()))?;
        let word = |id| tokenizer.bytes(id).map(|bytes| if bytes.len() > LONGEST_TOKEN { &[] } else { bytes }.to_vec());
        let words = (0..tokenizer.vocabulary_size() as u32).map(word).collect::<Result<Vec<_>>>()?;
        let trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, stop), &words);
        let of_bytes = (0..=255).map(|byte| trie.token_id_at_bytes(&[byte])).collect();
        let tokens: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let mut factory = ParserFactory::new_simple(&tokens).map_err(|e| Error::Unsupported(e.to_string()))?;
        factory.quiet();
        factory.limits_mut().verbose_errors = false;
        Ok(Schemas { factory, vocabulary: Arc::new(Vocabulary { tokens, of_bytes, stops }) })
    }

    /// Fails for a schema with a keyword that is not known here, that admits nothing, or that is too large.
    pub fn constraint(&self, schema: &Value) -> Result<Constraint> {
        check_kept(schema)?;
        let mut schema = schema.clone();
        keep_days(&mut schema);
        if schema.is_object() {
            let options = JsonCompileOptions { whitespace_pattern: Some(BLANKS.into()), ..Default::default() };
            options.apply_to(&mut schema);
        }
        let parser = self.factory.create_parser(TopLevelGrammar::from_json_schema(schema));
        let matcher = Matcher::new(parser);
        if let Some(e) = matcher.get_error() {
            return Err(failed(e));
        }
        let state = State::default();
        let way = self.vocabulary.way(&matcher, state).ok_or_else(|| failed("no text is found that it admits"))?;
        Ok(Constraint { matcher, state, way, vocabulary: self.vocabulary.clone() })
    }
}

/// A text under a schema as it grows.
pub struct Constraint {
    matcher: Matcher,
    state: State,
    /// Tokens after which the text may end.
    way: Vec<u32>,
    vocabulary: Arc<Vocabulary>,
}

impl Constraint {
    /// How many tokens a text must still get, as far as is known.
    pub fn tokens_needed(&self) -> usize {
        self.way.len()
    }

    /// Whether the text is whole and nothing may follow.
    pub fn is_finished(&self) -> bool {
        self.matcher.is_stopped()
    }

    /// Sets the logits of tokens that may not come to −∞. Where the text may end, the tokenizer's stops may come.
    pub fn mask(&mut self, logits: &mut [f32]) -> Result<()> {
        let mask = self.matcher.compute_mask_or_eos().map_err(failed)?;
        let vocabulary = &self.vocabulary;
        let may_end = self.way.is_empty();
        for (id, logit) in logits.iter_mut().enumerate() {
            let is_stop = vocabulary.stops.contains(&(id as u32));
            if if is_stop { !may_end } else { id >= mask.len() || !mask.get(id) } {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }

    /// Goes on with `token`, which the mask admits and which is no stop; or with the next token on the way to the text's
    /// end, if `left` tokens, this one included, would not suffice to end it otherwise, or a number would become too long.
    /// Gives the token taken, `None` where the text ends instead.
    ///
    /// Fails if the token may not come, and if even the way to the end takes more than `left` tokens, which happens only
    /// where it did before the first token (`tokens_needed`).
    pub fn take(&mut self, token: u32, left: usize) -> Result<Option<u32>> {
        let (ahead, state, is_long) = self.after(token)?;
        let way = match self.way.split_first() {
            Some((&next, rest)) if next == token => Some(rest.to_vec()),
            _ if is_long => None,
            _ => self.vocabulary.way(&ahead, state),
        };
        match way {
            Some(way) if way.len() < left => {
                (self.matcher, self.state, self.way) = (ahead, state, way);
                Ok(Some(token))
            }
            _ => self.take_way(left),
        }
    }

    fn take_way(&mut self, left: usize) -> Result<Option<u32>> {
        let needed = self.way.len();
        if needed > left {
            let what = format!("the JSON schema needs {needed} more tokens, but only {left} are left");
            return Err(Error::Usage(what));
        }
        let Some(&next) = self.way.first() else { return Ok(None) };
        (self.matcher, self.state, _) = self.after(next)?;
        self.way.remove(0);
        Ok(Some(next))
    }

    /// What follows on a token, and whether it writes a number too long.
    fn after(&self, token: u32) -> Result<(Matcher, State, bool)> {
        let (mut matcher, mut state, mut is_long) = (self.matcher.clone(), self.state, false);
        matcher.consume_token(token).map_err(failed)?;
        for &byte in self.vocabulary.tokens.tok_trie().token(token) {
            state.step(byte);
            is_long |= state.is_long_number();
        }
        Ok((matcher, state, is_long))
    }
}

impl Vocabulary {
    fn way(&self, matcher: &Matcher, state: State) -> Option<Vec<u32>> {
        closing::way(matcher, state, &self.tokens, &self.of_bytes)
    }
}

/// Refuses what `llguidance` takes and does not keep strictly. Looks at all that can be a schema. (A JSON text is nested
/// less deeply than a stack is.)
fn check_kept(schema: &Value) -> Result<()> {
    match schema {
        Value::Object(object) => {
            let is_unkept = |format: &&str| !FORMATS.contains(format);
            if let Some(format) = object.get("format").and_then(Value::as_str).filter(is_unkept) {
                return Err(failed(format!("the format `{format}`; of formats only {} are kept", FORMATS.join(", "))));
            }
            if object.get("multipleOf").is_some_and(Value::is_number) {
                return Err(failed("`multipleOf`: numbers could not be kept short"));
            }
            let required = object.get("required").and_then(Value::as_array).map_or(0, Vec::len) as u64;
            if object.get("minProperties").and_then(Value::as_u64).is_some_and(|least| least > required + 1) {
                return Err(failed("`minProperties` of more than one beyond those `required`: a key could come twice"));
            }
            let is_exclusive = object.contains_key("exclusiveMinimum") || object.contains_key("exclusiveMaximum");
            if is_exclusive && object.get("type").is_none_or(|kind| kind != "integer") {
                return Err(failed("an exclusive bound of other numbers than integers; use `minimum` and `maximum`"));
            }
            object.iter().filter(|(key, _)| !DATA.contains(&key.as_str())).try_for_each(|(_, inner)| check_kept(inner))
        }
        Value::Array(list) => list.iter().try_for_each(check_kept),
        _ => Ok(()),
    }
}

/// Makes every `date` one that there is.
fn keep_days(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.iter_mut().filter(|(key, _)| !DATA.contains(&key.as_str())).for_each(|(_, inner)| keep_days(inner));
            if object.get("format").is_some_and(|format| format == "date") {
                // A schema has one pattern.
                if !object.contains_key("pattern") {
                    object.insert("pattern".into(), DAYS.into());
                } else if let Some(Value::Array(all)) = object.get_mut("allOf") {
                    all.push(json!({ "pattern": DAYS }));
                } else {
                    object.insert("allOf".into(), json!([{ "pattern": DAYS }]));
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(keep_days),
        _ => {}
    }
}

fn failed(e: impl Display) -> Error {
    Error::Unsupported(format!("JSON schema: {e}"))
}
