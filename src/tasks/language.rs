//! What stands between a language model and text: its tokenizer and how it wants a conversation written.

use crate::formats::gguf::Metadata;
use crate::graph::Manifest;
use crate::text::{ChatTemplate, Message, Tokenizer};
use crate::{Error, Result};

/// A model's tokenizer and, if it has one, its chat template.
pub struct Language {
    pub tokenizer: Tokenizer,
    chat: Option<ChatTemplate>,
}

impl Language {
    /// From what the model's file said, which its manifest keeps.
    pub fn new(manifest: &Manifest) -> Result<Self> {
        if let Some(json) = manifest.extra.get("tokenizer") {
            return Ok(Language { tokenizer: Tokenizer::from_json(json.to_string().as_bytes())?, chat: None });
        }
        let Some(json) = manifest.extra.get("gguf_metadata") else {
            return Err(Error::Unsupported("the model has no tokenizer".into()));
        };
        let metadata = Metadata::from_json(json);
        Ok(Language { tokenizer: Tokenizer::from_gguf(&metadata)?, chat: ChatTemplate::from_gguf(&metadata)? })
    }

    /// The ids of a text that the model is to continue; special tokens may be written in it. Fails for an empty one.
    pub fn prompt(&self, text: &str) -> Result<Vec<u32>> {
        if text.is_empty() {
            return Err(Error::Usage("the prompt is empty".into()));
        }
        Ok([self.tokenizer.prefix(), &self.tokenizer.encode(text, true)?].concat())
    }

    /// The ids of a conversation, up to where the answer begins. Fails if the model has no chat template.
    pub fn chat(&self, messages: &[Message]) -> Result<Vec<u32>> {
        let what = "the model has no chat template; leave `--chat` out";
        let template = self.chat.as_ref().ok_or_else(|| Error::Unsupported(what.into()))?;
        self.tokenizer.encode(&template.render(messages, true)?, true)
    }
}
