//! What a GGUF file says about its tokens (keys `tokenizer.ggml.*` of the GGUF specification).

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::formats::gguf::{Metadata, Value};
use crate::{Error, Result};

/// How text becomes tokens of a vocabulary (`tokenizer.ggml.model`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// `gpt2`: pairs of tokens over an alphabet of 256 bytes are merged in the order of `merges`.
    ByteLevel,
    /// `llama`: neighbours are merged into the token with the best score; what no token covers becomes bytes.
    SentencePiece,
}

/// What a token stands for (`tokenizer.ggml.token_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// A piece of text.
    Normal,
    /// A piece of text that is one token wherever it occurs.
    UserDefined,
    /// No text: ends, roles of a chat, the unknown token.
    Control,
    /// `<0xNN>`: one byte.
    Byte,
}

/// A vocabulary and the rules around it; token ids index `tokens`, `roles` and `scores`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Vocabulary {
    pub kind: Kind,
    /// The rule by which byte-level text is cut into words (`tokenizer.ggml.pre`).
    pub words: String,
    pub tokens: Vec<String>,
    pub roles: Vec<Role>,
    /// `left right`, the first is merged first; of byte-level vocabularies only.
    pub merges: Vec<String>,
    /// Of SentencePiece vocabularies only.
    pub scores: Vec<f32>,
    /// What a sequence begins and ends with, if anything.
    pub begin: Option<u32>,
    pub end: Option<u32>,
    /// Tokens that end a generated text.
    pub stops: Vec<u32>,
    /// Whether text gets a space before its first word; of SentencePiece vocabularies only.
    pub space_first: bool,
}

const FILE: &str = "GGUF metadata";

/// Control tokens that end a text or a turn in the chats of common models, whether or not a file's keys name them.
const STOPS: &[&str] = &[
    "</s>",
    "<EOT>",
    "<end_of_turn>",
    "<|calls|>",
    "<|end_of_text|>",
    "<|end|>",
    "<|endoftext|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|im_end|>",
    "<|return|>",
    "<｜end▁of▁sentence｜>",
];

impl Vocabulary {
    /// Tokens without text, as they are written.
    pub fn controls(&self) -> Vec<(String, u32)> {
        let tokens = self.tokens.iter().zip(&self.roles).zip(0u32..);
        tokens.filter(|((_, role), _)| **role == Role::Control).map(|((token, _), id)| (token.clone(), id)).collect()
    }

    /// Reads the `tokenizer.ggml` keys. Fails if one is missing, of another length than the tokens or out of range, and
    /// for kinds other than `gpt2` and `llama`.
    pub fn from_gguf(metadata: &Metadata) -> Result<Self> {
        let kind = match metadata.text("tokenizer.ggml.model") {
            Some("gpt2") => Kind::ByteLevel,
            Some("llama") => Kind::SentencePiece,
            Some(other) => return Err(Error::Unsupported(format!("a tokenizer of the kind `{other}` in GGUF"))),
            None => return Err(bad("it has no tokenizer (`tokenizer.ggml.model`)")),
        };
        let tokens = texts(metadata, "tokens")?.ok_or_else(|| bad("`tokenizer.ggml.tokens` is missing"))?;
        let distinct: HashSet<&String> = tokens.iter().collect();
        if distinct.len() != tokens.len() {
            return Err(bad("a token occurs twice"));
        }
        let roles = roles(metadata, tokens.len())?;
        let begin = id(metadata, "bos_token_id", tokens.len())?;
        let end = id(metadata, "eos_token_id", tokens.len())?;
        let words = metadata.text("tokenizer.ggml.pre").unwrap_or("default").to_string();
        // What llama.cpp assumes where a file is silent.
        let begins = kind == Kind::SentencePiece || words.starts_with("llama");
        Ok(Vocabulary {
            merges: match kind {
                Kind::ByteLevel => {
                    texts(metadata, "merges")?.ok_or_else(|| bad("`tokenizer.ggml.merges` is missing"))?
                }
                Kind::SentencePiece => Vec::new(),
            },
            scores: match kind {
                Kind::ByteLevel => Vec::new(),
                Kind::SentencePiece => scores(metadata, tokens.len())?,
            },
            begin: begin.filter(|_| flag(metadata, "add_bos_token").unwrap_or(begins)),
            end: end.filter(|_| flag(metadata, "add_eos_token").unwrap_or(false)),
            stops: stops(metadata, &tokens, &roles)?,
            space_first: kind == Kind::SentencePiece && flag(metadata, "add_space_prefix").unwrap_or(true),
            kind,
            words,
            tokens,
            roles,
        })
    }
}

fn stops(metadata: &Metadata, tokens: &[String], roles: &[Role]) -> Result<Vec<u32>> {
    let mut stops = Vec::new();
    for key in ["eos_token_id", "eot_token_id", "eom_token_id"] {
        stops.extend(id(metadata, key, tokens.len())?);
    }
    let known = |&i: &usize| roles[i] == Role::Control && STOPS.contains(&tokens[i].as_str());
    stops.extend((0..tokens.len()).filter(known).map(|i| i as u32));
    stops.sort_unstable();
    stops.dedup();
    Ok(stops)
}

/// Whether a special token of this text ends a generated text.
pub fn is_stop(token: &str) -> bool {
    STOPS.contains(&token)
}

fn bad(what: impl Into<String>) -> Error {
    Error::format(FILE, what)
}

fn texts(metadata: &Metadata, key: &str) -> Result<Option<Vec<String>>> {
    metadata.array(&format!("tokenizer.ggml.{key}")).map(|array| array.texts()).transpose()
}

fn flag(metadata: &Metadata, key: &str) -> Option<bool> {
    metadata.flag(&format!("tokenizer.ggml.{key}"))
}

fn id(metadata: &Metadata, key: &str, tokens: usize) -> Result<Option<u32>> {
    match metadata.size(&format!("tokenizer.ggml.{key}")) {
        Some(id) if id < tokens => Ok(Some(id as u32)),
        // Some files write the greatest number for none.
        Some(id) if id == u32::MAX as usize => Ok(None),
        Some(id) => Err(bad(format!("`tokenizer.ggml.{key}` is {id}, but there are {tokens} tokens"))),
        None => Ok(None),
    }
}

fn roles(metadata: &Metadata, tokens: usize) -> Result<Vec<Role>> {
    let Some(array) = metadata.array("tokenizer.ggml.token_type") else { return Ok(vec![Role::Normal; tokens]) };
    let role = |value: &Value| match value {
        // Unused tokens are text that nothing was trained on.
        Value::Signed(1 | 5) | Value::Unsigned(1 | 5) => Ok(Role::Normal),
        Value::Signed(2 | 3) | Value::Unsigned(2 | 3) => Ok(Role::Control),
        Value::Signed(4) | Value::Unsigned(4) => Ok(Role::UserDefined),
        Value::Signed(6) | Value::Unsigned(6) => Ok(Role::Byte),
        other => Err(bad(format!("`tokenizer.ggml.token_type` holds {other:?}"))),
    };
    let roles = array.values()?.iter().map(role).collect::<Result<Vec<_>>>()?;
    same_length("token_type", roles, tokens)
}

fn scores(metadata: &Metadata, tokens: usize) -> Result<Vec<f32>> {
    let array = metadata.array("tokenizer.ggml.scores").ok_or_else(|| bad("`tokenizer.ggml.scores` is missing"))?;
    let score = |value: &Value| match *value {
        Value::Float(v) if !v.is_nan() => Ok(v as f32),
        _ => Err(bad(format!("`tokenizer.ggml.scores` holds {value:?}"))),
    };
    let scores = array.values()?.iter().map(score).collect::<Result<Vec<_>>>()?;
    same_length("scores", scores, tokens)
}

fn same_length<T>(key: &str, values: Vec<T>, tokens: usize) -> Result<Vec<T>> {
    match values.len() == tokens {
        true => Ok(values),
        false => Err(bad(format!("`tokenizer.ggml.{key}` has {} values for {tokens} tokens", values.len()))),
    }
}
