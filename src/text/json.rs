//! `tokenizer.json` of the Hugging Face library `tokenizers`.

use serde_json::Value;
use tokenizers::Tokenizer;

use super::byte_level;
use super::pieces::Pieces;
use super::sentence_piece::{self, SPACE};
use crate::{Error, Result};

/// Ids may leave gaps, but not more than this many for each token that is there.
const MAX_GAPS: usize = 4;

pub struct Parts {
    pub tokenizer: Tokenizer,
    pub pieces: Pieces,
    /// Texts and ids of special tokens.
    pub specials: Vec<(String, u32)>,
}

/// How a token's text becomes bytes.
enum Decoder {
    ByteLevel,
    /// `▁` is a space, `<0xNN>` a byte.
    SentencePiece {
        space_first: bool,
    },
    /// A word begins with a space, unless this prefix says that it goes on.
    WordPiece {
        prefix: String,
    },
}

/// Reads the file. Fails if it is malformed, or if its decoder is none of byte-level, SentencePiece-like and WordPiece.
/// Truncation and padding, which belong to batches, are left out.
pub fn read(bytes: &[u8]) -> Result<Parts> {
    let bad = |e: &dyn std::fmt::Display| Error::format("tokenizer.json", e.to_string());
    let json: Value = serde_json::from_slice(bytes).map_err(|e| bad(&e))?;
    let decoder = decoder(&json["decoder"])?;
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|e| bad(&e))?;
    tokenizer.with_truncation(None).map_err(|e| bad(&e))?;
    tokenizer.with_padding(None);

    let added = tokenizer.get_added_tokens_decoder();
    let mut tokens: Vec<(String, u32)> = tokenizer.get_vocab(true).into_iter().collect();
    tokens.sort_unstable_by_key(|&(_, id)| id);
    let len = tokens.last().map_or(0, |&(_, id)| id as usize + 1);
    if len / MAX_GAPS > tokens.len() {
        return Err(bad(&format!("{} tokens have ids up to {}", tokens.len(), len - 1)));
    }
    let mut pieces = vec![Vec::new(); len];
    let mut specials = Vec::new();
    for (token, id) in tokens {
        match added.get(&id) {
            Some(added) if added.special => specials.push((token, id)),
            Some(_) => pieces[id as usize] = token.into_bytes(),
            None => pieces[id as usize] = decoder.bytes(&token),
        }
    }
    Ok(Parts { tokenizer, pieces: Pieces::new(pieces, decoder.space_first()), specials })
}

fn decoder(json: &Value) -> Result<Decoder> {
    let kind = |json: &Value| json["type"].as_str().unwrap_or("none").to_string();
    let prepends = |json: &Value| json["prepend_scheme"] != "never" && json["add_prefix_space"] != false;
    match kind(json).as_str() {
        "ByteLevel" => Ok(Decoder::ByteLevel),
        "WordPiece" => Ok(Decoder::WordPiece { prefix: json["prefix"].as_str().unwrap_or("##").into() }),
        "Metaspace" => Ok(Decoder::SentencePiece { space_first: prepends(json) }),
        "Sequence" => {
            let steps = json["decoders"].as_array().map_or(&[][..], Vec::as_slice);
            let mut has_space = false;
            let mut space_first = false;
            for step in steps {
                match kind(step).as_str() {
                    "Replace" if step["pattern"]["String"] == SPACE.to_string() && step["content"] == " " => {
                        has_space = true;
                    }
                    "Metaspace" => (has_space, space_first) = (true, prepends(step)),
                    "Strip" if step["content"] == " " && step["start"] == 1 && step["stop"] == 0 => space_first = true,
                    "ByteFallback" | "Fuse" => {}
                    "ByteLevel" if steps.len() == 1 => return Ok(Decoder::ByteLevel),
                    other => return Err(Error::Unsupported(format!("the step {other} of a tokenizer's decoder"))),
                }
            }
            match has_space {
                true => Ok(Decoder::SentencePiece { space_first }),
                false => Err(Error::Unsupported("a tokenizer's decoder that leaves no spaces".into())),
            }
        }
        other => Err(Error::Unsupported(format!("the decoder {other} of a tokenizer"))),
    }
}

impl Decoder {
    fn bytes(&self, token: &str) -> Vec<u8> {
        match self {
            Decoder::ByteLevel => byte_level::bytes(token),
            Decoder::SentencePiece { .. } => sentence_piece::bytes(token),
            Decoder::WordPiece { prefix } => match token.strip_prefix(prefix) {
                Some(rest) => rest.as_bytes().to_vec(),
                None => format!(" {token}").into_bytes(),
            },
        }
    }

    fn space_first(&self) -> bool {
        match self {
            Decoder::ByteLevel => false,
            Decoder::SentencePiece { space_first } => *space_first,
            Decoder::WordPiece { .. } => true,
        }
    }
}
