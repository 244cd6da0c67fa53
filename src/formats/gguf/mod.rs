//! GGUF, the file of ggml and llama.cpp: metadata, a table of tensors, their blocks.
//!
//! Blocks are repacked without loss into the encodings of `weights/`: the same codes and scales in another order. Codes of
//! types with fixed grids of vectors (IQ1, IQ2, IQ3) become those of the vectors' coordinates: 5 or 6 bits a weight.

mod cursor;
mod decoder;
mod grids;
mod header;
mod kinds;
mod metadata;
mod simple;
mod stream;
mod supers;
mod tensors;

use std::collections::BTreeMap;

use bytes::Bytes;

pub use metadata::{Array, Metadata, Value};
pub use stream::Incoming;

use crate::Result;
use crate::graph::{Model, Weight};
use crate::models::llama;

/// What a file holds.
pub struct Gguf {
    pub metadata: Metadata,
    /// Matrices `[outputs, inputs]`: shapes are row-major, the reverse of ggml's.
    pub tensors: BTreeMap<String, Weight>,
}

/// Whether bytes look like a GGUF file.
pub fn detect(bytes: &[u8]) -> bool {
    bytes.starts_with(cursor::MAGIC)
}

/// Reads a file of version 2 or 3. `file` names it in messages.
pub fn read(file: &str, bytes: &Bytes) -> Result<Gguf> {
    let header = header::parse(file, bytes, bytes.len())?;
    let mut weights = BTreeMap::new();
    for tensor in &header.tensors {
        weights.insert(tensor.name.clone(), tensors::weight(file, tensor, &bytes[tensor.range.clone()])?);
    }
    Ok(Gguf { metadata: header.metadata, tensors: weights })
}

/// Reads the metadata alone.
pub fn metadata(file: &str, bytes: &Bytes) -> Result<Metadata> {
    Ok(header::parse(file, bytes, bytes.len())?.metadata)
}

/// The graph of a decoder whose architecture is known, else weights without a graph; numbers and words of the metadata, and
/// what makes a tokenizer, go into the manifest as `gguf_metadata`.
pub fn model(file: &str, bytes: &Bytes) -> Result<Model> {
    let Gguf { metadata, tensors } = read(file, bytes)?;
    assemble(file, metadata, tensors)
}

fn assemble(file: &str, metadata: Metadata, tensors: BTreeMap<String, Weight>) -> Result<Model> {
    let mut model = Model::default();
    if let Some(config) = decoder::config(file, &metadata, &tensors)? {
        model.graph = llama::build(&config, llama::gguf_names, tensors)?;
        model.manifest.task = Some("text-generation".into());
        model.manifest.extra.extend(decoder::context(&metadata).map(|length| ("context".into(), length.into())));
    } else {
        for (name, weight) in tensors {
            model.graph.add_weight(name, weight);
        }
    }
    model.manifest.license = metadata.text("general.license").map(str::to_string);
    model.manifest.extra.insert("gguf_metadata".into(), metadata.to_json()?);
    Ok(model)
}
