//! What a folder holds, for the builders of architectures.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::config::Config;
use super::folder;
use super::keys::Keys;
use crate::formats::halves;
use crate::graph::Weight;
use crate::tensor::Tensor;
use crate::{Error, Result};

pub struct Source<'a> {
    /// Names the folder in messages.
    pub name: &'a str,
    pub config: Config,
    /// Without, there are no files but the two that were given.
    pub folder: Option<&'a Path>,
    /// Tensors as they are stored.
    pub dense: BTreeMap<String, Tensor>,
    /// Quantised layers.
    pub few_bit: BTreeMap<String, Weight>,
}

impl Source<'_> {
    /// The configuration.
    pub fn keys(&self) -> Keys<'_> {
        Keys { file: self.name, json: &self.config.json }
    }

    /// Another JSON file; `None` if there is none.
    pub fn json(&self, file: &str) -> Result<Option<Value>> {
        self.folder.map_or(Ok(None), |folder| folder::json(&folder.join(file)))
    }

    /// Another text file; `None` if there is none.
    pub fn text(&self, file: &str) -> Result<Option<String>> {
        self.folder.map_or(Ok(None), |folder| folder::text(&folder.join(file)))
    }

    /// Whether a tensor's name begins so.
    pub fn has_prefix(&self, prefix: &str) -> bool {
        self.dense.keys().chain(self.few_bit.keys()).any(|name| name.starts_with(prefix))
    }

    pub fn has(&self, name: &str) -> bool {
        self.dense.contains_key(name) || self.few_bit.contains_key(name)
    }

    /// All tensors as weights of a graph.
    pub fn weights(&mut self) -> Result<BTreeMap<String, Weight>> {
        let mut weights = std::mem::take(&mut self.few_bit);
        if let Some(name) = weights.keys().find(|name| name.ends_with(".weight_order")) {
            return Err(Error::Unsupported(format!("{}: a graph with `{name}` (GPTQ's `desc_act`)", self.name)));
        }
        for (name, tensor) in std::mem::take(&mut self.dense) {
            if weights.insert(name.clone(), halves::weight(tensor)?).is_some() {
                return Err(Error::format(self.name, format!("tensor `{name}` occurs twice")));
            }
        }
        Ok(weights)
    }

    /// What models of text need beside the graph, for the manifest: tokenizer, chat template, context and ends of texts.
    pub fn beside(&self) -> Result<Map<String, Value>> {
        let generation = self.json("generation_config.json")?.unwrap_or_default();
        let json = &self.config.json;
        let stops = [&generation["eos_token_id"], &json["eos_token_id"]].into_iter().find(|ids| !ids.is_null());
        let template = match self.text("chat_template.jinja")? {
            Some(text) => Some(Value::from(text)),
            // Where processors had it for a time.
            None => self.json("chat_template.json")?.and_then(|json| json.get("chat_template").cloned()),
        };
        let fields = [
            ("context", json.get("max_position_embeddings").cloned()),
            ("tokenizer", self.json("tokenizer.json")?),
            ("tokenizer_config", self.json("tokenizer_config.json")?),
            ("chat_template", template),
            ("eos_token_id", stops.cloned()),
        ];
        Ok(fields.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?))).collect())
    }
}
