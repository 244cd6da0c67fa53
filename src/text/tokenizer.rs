//! Text to token ids and back.

use std::sync::{Mutex, PoisonError};

use super::pieces::Pieces;
use super::sentence_piece::{self, SPACE, SentencePiece};
use super::special::{Part, Specials};
use super::stream::TextStream;
use super::vocabulary::{self, Kind, Role, Vocabulary};
use super::{byte_level, json};
use crate::formats::gguf::Metadata;
use crate::{Error, Result};

/// A tokenizer and what a model wants around a text.
pub struct Tokenizer {
    encoder: Encoder,
    pieces: Pieces,
    prefix: Vec<u32>,
    suffix: Vec<u32>,
    stops: Vec<u32>,
    /// Tokens without text, as they are written.
    specials: Vec<(String, u32)>,
}

enum Encoder {
    /// Of a `tokenizer.json`, which knows its special tokens; whether it looks for them is a state of it.
    Json(Box<Mutex<tokenizers::Tokenizer>>),
    /// Of a vocabulary: special tokens first, then the text between them.
    Vocabulary { all: Specials, text: Specials, words: Words },
}

enum Words {
    ByteLevel(Box<tokenizers::Tokenizer>),
    SentencePiece { model: SentencePiece, space_first: bool },
}

/// The regular expressions that cut words give up, without saying so, on runs of white space not far above this.
const MAX_BLANK: usize = 500_000;

impl Tokenizer {
    /// Reads a `tokenizer.json`. Fails if it is malformed, and for decoders that are neither byte-level nor like those of
    /// SentencePiece or WordPiece.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let json::Parts { tokenizer, pieces, specials } = json::read(bytes)?;
        // What is put around a text shows around one that is there in the middle.
        let probe = "a";
        let ids = |whole| Ok(tokenizer.encode_fast(probe, whole).map_err(encoding)?.get_ids().to_vec());
        let (inner, whole): (Vec<u32>, Vec<u32>) = (ids(false)?, ids(true)?);
        let at = (0..=whole.len().saturating_sub(inner.len())).find(|&at| whole[at..].starts_with(&inner));
        let at = at.ok_or_else(|| Error::Unsupported("a tokenizer whose post-processor changes the text".into()))?;
        Ok(Tokenizer {
            prefix: whole[..at].to_vec(),
            suffix: whole[at + inner.len()..].to_vec(),
            stops: specials.iter().filter(|(text, _)| vocabulary::is_stop(text)).map(|&(_, id)| id).collect(),
            encoder: Encoder::Json(Box::new(Mutex::new(tokenizer))),
            pieces,
            specials,
        })
    }

    /// The tokenizer of a GGUF file, from its metadata alone.
    pub fn from_gguf(metadata: &Metadata) -> Result<Self> {
        Self::new(&Vocabulary::from_gguf(metadata)?)
    }

    /// A tokenizer of a vocabulary. Fails for an unknown rule of words, and if merges or bytes have no tokens.
    pub fn new(vocabulary: &Vocabulary) -> Result<Self> {
        let words = match vocabulary.kind {
            Kind::ByteLevel => Words::ByteLevel(Box::new(byte_level::tokenizer(vocabulary)?)),
            Kind::SentencePiece => {
                Words::SentencePiece { model: SentencePiece::new(vocabulary)?, space_first: vocabulary.space_first }
            }
        };
        let pieces =
            vocabulary.tokens.iter().zip(&vocabulary.roles).map(|(token, role)| match (role, vocabulary.kind) {
                (Role::Control, _) => Vec::new(),
                (Role::UserDefined, Kind::ByteLevel) => token.clone().into_bytes(),
                (_, Kind::ByteLevel) => byte_level::bytes(token),
                (_, Kind::SentencePiece) => sentence_piece::bytes(token),
            });
        Ok(Tokenizer {
            pieces: Pieces::new(pieces, vocabulary.space_first),
            prefix: vocabulary.begin.into_iter().collect(),
            suffix: vocabulary.end.into_iter().collect(),
            stops: vocabulary.stops.clone(),
            encoder: Encoder::Vocabulary {
                all: Specials::new(vocabulary, &[Role::UserDefined, Role::Control])?,
                text: Specials::new(vocabulary, &[Role::UserDefined])?,
                words,
            },
            specials: vocabulary.controls(),
        })
    }

    /// The ids of a text, without `prefix` and `suffix`. With `special`, special tokens written in the text, such as
    /// `<|im_end|>`, become these tokens: for templates, not for what a person wrote.
    ///
    /// Fails for a run of more than 500,000 characters of white space.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        check_blanks(text)?;
        match &self.encoder {
            Encoder::Json(tokenizer) => {
                let mut tokenizer = tokenizer.lock().unwrap_or_else(PoisonError::into_inner);
                tokenizer.set_encode_special_tokens(!special);
                Ok(tokenizer.encode_fast(text, false).map_err(encoding)?.get_ids().to_vec())
            }
            Encoder::Vocabulary { all, text: user_defined, words } => {
                let mut ids = Vec::new();
                for part in if special { all } else { user_defined }.split(text) {
                    match part {
                        Part::Token(id) => ids.push(id),
                        Part::Text(text) => words.encode(text, &mut ids)?,
                    }
                }
                Ok(ids)
            }
        }
    }

    /// The text of ids; special tokens have none, and bytes that are not UTF-8 become U+FFFD. Where encoding puts a space
    /// before the first word, it is taken off again. Fails for an id outside the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.pieces.decode(ids)
    }

    /// The text of ids that come one by one, as they continue a text.
    pub fn stream(&self) -> TextStream<'_> {
        TextStream::new(&self.pieces)
    }

    /// The bytes that a token stands for: none for special tokens. Fails for an id outside the vocabulary.
    pub fn bytes(&self, id: u32) -> Result<&[u8]> {
        self.pieces.get(id)
    }

    /// How many ids there are, the greatest id + 1. A model may have rows for more, which stand for nothing; with fewer it
    /// belongs to another tokenizer.
    pub fn vocabulary_size(&self) -> usize {
        self.pieces.len()
    }

    /// What the model wants before a text (BOS, `[CLS]`), mostly nothing. Not before a chat, whose template writes it.
    pub fn prefix(&self) -> &[u32] {
        &self.prefix
    }

    /// What the model wants after a whole text (`[SEP]`); not after a prompt that is to be continued.
    pub fn suffix(&self) -> &[u32] {
        &self.suffix
    }

    /// The special token that is written so, if there is one.
    pub fn special(&self, text: &str) -> Option<u32> {
        self.specials.iter().find(|(special, _)| special == text).map(|&(_, id)| id)
    }

    /// Says which further tokens end a text.
    pub fn stop_at(&mut self, ids: impl IntoIterator<Item = u32>) {
        self.stops.extend(ids);
        self.stops.sort_unstable();
        self.stops.dedup();
    }

    /// Tokens that end a generated text or turn, in ascending order.
    pub fn stops(&self) -> &[u32] {
        &self.stops
    }
}

impl Words {
    fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        match self {
            Words::ByteLevel(tokenizer) => {
                ids.extend_from_slice(tokenizer.encode_fast(text, false).map_err(encoding)?.get_ids());
            }
            Words::SentencePiece { model, space_first } => {
                let first = if *space_first { " " } else { "" };
                model.encode(&format!("{first}{text}").replace(' ', SPACE.encode_utf8(&mut [0; 4])), ids);
            }
        }
        Ok(())
    }
}

fn encoding(e: tokenizers::Error) -> Error {
    Error::format("tokenizer", format!("a text cannot be encoded: {e}"))
}

fn check_blanks(text: &str) -> Result<()> {
    let mut run = 0;
    for character in text.chars() {
        run = if character.is_whitespace() { run + 1 } else { 0 };
        if run > MAX_BLANK {
            let what = format!("the text has more than {MAX_BLANK} characters of white space in a row; take some out");
            return Err(Error::Usage(what));
        }
    }
    Ok(())
}
