//! What stands between a language model and text: its tokenizer and how it wants a conversation written.

use serde_json::Value;

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
            return Self::of_folder(manifest, &json.to_string());
        }
        let Some(json) = manifest.extra.get("gguf_metadata") else {
            return Err(Error::Unsupported("the model has no tokenizer".into()));
        };
        let metadata = Metadata::from_json(json);
        Ok(Language { tokenizer: Tokenizer::from_gguf(&metadata)?, chat: ChatTemplate::from_gguf(&metadata)? })
    }

    /// From the files of a folder of Hugging Face's layout.
    fn of_folder(manifest: &Manifest, tokenizer: &str) -> Result<Self> {
        let extra = |key: &str| manifest.extra.get(key).unwrap_or(&Value::Null);
        let mut tokenizer = Tokenizer::from_json(tokenizer.as_bytes())?;
        let stops = match extra("eos_token_id") {
            Value::Array(ids) => ids.as_slice(),
            one => std::slice::from_ref(one),
        };
        tokenizer.stop_at(stops.iter().filter_map(|id| u32::try_from(id.as_u64()?).ok()));
        let config = extra("tokenizer_config").to_string();
        let chat = ChatTemplate::from_config(config.as_bytes(), extra("chat_template").as_str())?;
        Ok(Language { tokenizer, chat })
    }

    /// The ids of a text that the model is to continue; special tokens may be written in it. Fails for an empty one.
    pub fn prompt(&self, text: &str) -> Result<Vec<u32>> {
        if text.is_empty() {
            return Err(Error::Usage("the prompt is empty".into()));
        }
        Ok([self.tokenizer.prefix(), &self.tokenizer.encode(text, true)?].concat())
    }

    /// The text of a message about a picture, up to where the answer begins. A text that has the picture's token already is
    /// taken as it is. Fails if there is neither that nor a chat template that writes it.
    pub fn picture_prompt(&self, text: &str, token: &str) -> Result<String> {
        let written = match &self.chat {
            _ if text.contains(token) => text.to_string(),
            Some(template) => template.render_picture(text, true)?,
            None => {
                let what =
                    format!("the model has no chat template; write `{token}` into the prompt where the picture is");
                return Err(Error::Usage(what));
            }
        };
        match written.matches(token).count() {
            1 => Ok(written),
            count => {
                Err(Error::Usage(format!("the prompt has `{token}` {count} times; once it stands for the picture")))
            }
        }
    }

    /// The ids of a text with special tokens in it, with what the model wants before a text unless that is written too.
    pub fn whole(&self, text: &str) -> Result<Vec<u32>> {
        let (ids, prefix) = (self.tokenizer.encode(text, true)?, self.tokenizer.prefix());
        Ok(if ids.starts_with(prefix) { ids } else { [prefix, &ids].concat() })
    }

    /// The ids of a conversation, up to where the answer begins. Fails if the model has no chat template.
    pub fn chat(&self, messages: &[Message]) -> Result<Vec<u32>> {
        let what = "the model has no chat template; leave `--chat` out";
        let template = self.chat.as_ref().ok_or_else(|| Error::Unsupported(what.into()))?;
        self.tokenizer.encode(&template.render(messages, true)?, true)
    }
}
