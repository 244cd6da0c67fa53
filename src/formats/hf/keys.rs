//! An object of `config.json`.

use serde_json::Value;

use crate::{Error, Result};

#[derive(Clone, Copy)]
pub struct Keys<'a> {
    /// Names the folder in messages.
    pub file: &'a str,
    pub json: &'a Value,
}

impl<'a> Keys<'a> {
    pub fn size(&self, key: &str) -> Option<usize> {
        usize::try_from(self.json[key].as_u64()?).ok()
    }

    pub fn float(&self, key: &str) -> Option<f64> {
        self.json[key].as_f64()
    }

    pub fn text(&self, key: &str) -> Option<&'a str> {
        self.json[key].as_str()
    }

    /// The object `key`, or `Null`.
    pub fn inner(&self, key: &str) -> Keys<'a> {
        Keys { file: self.file, json: &self.json[key] }
    }

    /// A number that must be there, and not 0.
    pub fn need(&self, key: &str) -> Result<usize> {
        self.size(key).filter(|&size| size > 0).ok_or_else(|| self.wrong(key))
    }

    /// The same with what files leave out that have nothing else.
    pub fn need_or(&self, key: &str, default: usize) -> Result<usize> {
        if self.json[key].is_null() { Ok(default) } else { self.need(key) }
    }

    pub fn wrong(&self, key: &str) -> Error {
        Error::format(self.file, format!("config.json: `{key}` is missing or not what it should be"))
    }

    pub fn unsupported(&self, what: impl std::fmt::Display) -> Error {
        Error::Unsupported(format!("{}: {what}", self.file))
    }
}
