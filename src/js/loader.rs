//! Takes a model file in pieces, as they arrive. Of a `.fewbit` or GGUF file no more than one tensor is kept twice.

use sha2::{Digest, Sha256};
use wasm_bindgen::prelude::*;

use super::error::{keep_panics, to_js};
use super::model::JsModel;
use crate::formats::container::{self, Builder};
#[cfg(feature = "text")]
use crate::formats::gguf;
use crate::formats::safetensors;
use crate::graph::Model;
use crate::{Error, Result};

/// A model on its way in: `push` for each piece in order, then `finish`.
#[wasm_bindgen]
pub struct Loader {
    name: String,
    hash: Sha256,
    received: u64,
    state: State,
}

enum State {
    /// Too little to know the format, or a header that is not whole.
    Start(Vec<u8>),
    /// A `.fewbit` file past its header: tensor number `next` is being collected.
    Tensors { builder: Box<Builder>, next: usize, part: Vec<u8> },
    #[cfg(feature = "text")]
    Gguf(Box<gguf::Incoming>),
    /// Another format, read when it is whole.
    Whole(Vec<u8>),
}

#[wasm_bindgen]
impl Loader {
    /// `name` is the file's name in messages.
    #[wasm_bindgen(constructor)]
    pub fn new(name: String) -> Loader {
        keep_panics();
        Loader { name, hash: Sha256::new(), received: 0, state: State::Start(Vec::new()) }
    }

    /// `hashed`: whether `sha256` is to know of the piece. Whoever checks the file in another way saves the time.
    pub fn push(&mut self, chunk: &[u8], hashed: bool) -> Result<(), JsValue> {
        if hashed {
            self.hash.update(chunk);
        }
        self.received += chunk.len() as u64;
        self.take(chunk).map_err(to_js)
    }

    /// Bytes so far.
    pub fn bytes(&self) -> f64 {
        self.received as f64
    }

    /// SHA-256 of the pieces that were to be hashed, in hexadecimal.
    pub fn sha256(&self) -> String {
        self.hash.clone().finalize().iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Reads the file. Consumes the loader.
    pub fn finish(self) -> Result<JsModel, JsValue> {
        let received = self.received;
        let model = self.build().map_err(to_js)?;
        Ok(JsModel::new(model, received))
    }
}

impl Loader {
    fn take(&mut self, mut chunk: &[u8]) -> Result<()> {
        match &mut self.state {
            State::Start(bytes) => {
                append(bytes, chunk, &self.name)?;
                self.recognise()
            }
            State::Whole(bytes) => append(bytes, chunk, &self.name),
            #[cfg(feature = "text")]
            State::Gguf(incoming) => incoming.push(chunk),
            State::Tensors { builder, next, part } => {
                loop {
                    // Empty tensors have no bytes to wait for.
                    let Some(entry) = builder.header().tensors().get(*next) else {
                        return if chunk.is_empty() { Ok(()) } else { Err(too_long(&self.name)) };
                    };
                    let size = (entry.range.end - entry.range.start) as usize;
                    let (here, rest) = chunk.split_at(chunk.len().min(size - part.len()));
                    if part.is_empty() && here.len() < size {
                        reserve(part, size, &self.name)?;
                    }
                    chunk = rest;
                    if part.is_empty() && here.len() == size {
                        builder.put_bytes(*next, here)?;
                    } else {
                        append(part, here, &self.name)?;
                        if part.len() < size {
                            return Ok(());
                        }
                        builder.put_bytes(*next, part)?;
                        part.clear();
                    }
                    *next += 1;
                }
            }
        }
    }

    /// Leaves `Start` as soon as the first bytes tell the format, and a safetensors header is whole.
    fn recognise(&mut self) -> Result<()> {
        let State::Start(bytes) = &mut self.state else { return Ok(()) };
        if bytes.len() <= safetensors::PREFIX {
            return Ok(());
        }
        #[cfg(feature = "text")]
        if gguf::detect(bytes) {
            let bytes = std::mem::take(bytes);
            self.state = State::Gguf(Box::new(gguf::Incoming::new(&self.name)));
            return self.take(&bytes);
        }
        if !safetensors::detect(bytes) {
            self.state = State::Whole(std::mem::take(bytes));
            return Ok(());
        }
        let header_len = safetensors::header_len(&self.name, bytes)? as usize;
        if bytes.len() < header_len {
            return Ok(());
        }
        let bytes = std::mem::take(bytes);
        let builder = Box::new(Builder::new(container::parse_header(&self.name, &bytes)?));
        self.state = State::Tensors { builder, next: 0, part: Vec::new() };
        self.take(&bytes[header_len..])
    }

    fn build(self) -> Result<Model> {
        match self.state {
            State::Start(bytes) | State::Whole(bytes) => Model::from_vec(&self.name, bytes),
            #[cfg(feature = "text")]
            State::Gguf(incoming) => incoming.finish(),
            State::Tensors { builder, .. } if builder.header().file_len() != self.received => {
                let (want, got) = (builder.header().file_len(), self.received);
                Err(Error::format(self.name, format!("has {got} bytes instead of {want}; fetch it again")))
            }
            State::Tensors { builder, .. } => builder.finish(),
        }
    }
}

fn append(bytes: &mut Vec<u8>, more: &[u8], name: &str) -> Result<()> {
    reserve(bytes, more.len(), name)?;
    bytes.extend_from_slice(more);
    Ok(())
}

fn reserve(bytes: &mut Vec<u8>, more: usize, name: &str) -> Result<()> {
    bytes.try_reserve(more).map_err(|_| {
        let mib = bytes.len().saturating_add(more) >> 20;
        Error::OutOfMemory(format!("no room for {mib} MiB of {name}; use a smaller model"))
    })
}

fn too_long(name: &str) -> Error {
    Error::format(name, "has bytes after its last tensor; fetch it again")
}
