//! Floor 6: file formats. Each reads bytes that it does not trust: an error, never a panic, and memory in proportion.

pub mod onnx;

use std::path::Path;

use bytes::Bytes;

use crate::graph::Model;
use crate::{Error, Result};

impl Model {
    /// Reads a model file of any known format, recognised by its content.
    pub fn open(path: impl AsRef<Path>) -> Result<Model> {
        let path = path.as_ref();
        let file = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|e| Error::io(&file, e))?;
        read(&file, bytes.into(), path.parent())
    }

    /// Reads a model from memory. `name` names it in messages; its extension decides where the content does not.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Model> {
        read(name, Bytes::copy_from_slice(bytes), None)
    }
}

fn read(file: &str, bytes: Bytes, folder: Option<&Path>) -> Result<Model> {
    if onnx::detect(&bytes) {
        return onnx::read(file, bytes, folder.map(|f| if f.as_os_str().is_empty() { Path::new(".") } else { f }));
    }
    Err(Error::format(file, "not a model file: expected .fewbit, .safetensors, .onnx or a torch state dictionary"))
}
