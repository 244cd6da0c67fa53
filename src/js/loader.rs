//! Takes a model file in pieces, as they arrive.

use sha2::{Digest, Sha256};
use wasm_bindgen::prelude::*;

use super::error::{keep_panics, to_js};
use super::model::JsModel;
use crate::graph::Model;
use crate::{Error, Result};

/// A model on its way in. `reserve`, then `push` for each piece, then `finish`.
#[wasm_bindgen]
pub struct Loader {
    name: String,
    bytes: Vec<u8>,
    hash: Sha256,
}

#[wasm_bindgen]
impl Loader {
    /// `name` is the file's name in messages.
    #[wasm_bindgen(constructor)]
    pub fn new(name: String) -> Loader {
        keep_panics();
        Loader { name, bytes: Vec::new(), hash: Sha256::new() }
    }

    /// Makes room for `total` bytes at once, if there is any; 0 = unknown.
    pub fn reserve(&mut self, total: usize) -> Result<(), JsValue> {
        self.grow(total.saturating_sub(self.bytes.len())).map_err(to_js)
    }

    pub fn push(&mut self, chunk: &[u8]) -> Result<(), JsValue> {
        self.hash.update(chunk);
        self.grow(chunk.len()).map_err(to_js)?;
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    /// Bytes so far.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// SHA-256 of the bytes so far, in hexadecimal.
    pub fn sha256(&self) -> String {
        self.hash.clone().finalize().iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Reads the file. Consumes the loader.
    pub fn finish(self) -> Result<JsModel, JsValue> {
        let size = self.bytes.len();
        let model = Model::from_bytes(&self.name, &self.bytes).map_err(to_js)?;
        Ok(JsModel::new(model, size))
    }
}

impl Loader {
    fn grow(&mut self, more: usize) -> Result<()> {
        self.bytes.try_reserve(more).map_err(|_| {
            let mib = (self.bytes.len() + more) >> 20;
            Error::OutOfMemory(format!("no room for {mib} MiB of {}; use a smaller model", self.name))
        })
    }
}
