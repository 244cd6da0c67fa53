//! Floor 6: file formats. Each reads bytes that it does not trust: an error, never a panic, and memory in proportion.

pub mod container;
pub mod npy;
pub mod onnx;
pub mod safetensors;

use std::fs::File;
use std::io::{BufReader, BufWriter, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::graph::Model;
use crate::{Error, Result};

/// What decides the format of a file: this many of its first bytes.
const SNIFF: usize = 16;

impl Model {
    /// Reads a model file: `.fewbit`, `.safetensors` (weights only) or `.onnx`, recognised by its content.
    pub fn open(path: impl AsRef<Path>) -> Result<Model> {
        let path = path.as_ref();
        let file = path.display().to_string();
        let io = |e| Error::io(&file, e);
        let mut source = File::open(path).map_err(io)?;
        let info = source.metadata().map_err(io)?;
        if !info.is_file() {
            return Err(Error::Usage(format!("{file} is not a file")));
        }
        let mut first = Vec::with_capacity(SNIFF);
        (&mut source).take(SNIFF as u64).read_to_end(&mut first).map_err(io)?;
        if safetensors::detect(&first) {
            let mut whole = BufReader::new(first.as_slice().chain(source));
            return container::read(&file, info.len(), &mut whole);
        }
        let mut bytes = Vec::with_capacity(usize::try_from(info.len()).unwrap_or(0));
        bytes.append(&mut first);
        source.read_to_end(&mut bytes).map_err(io)?;
        let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
        read(&file, bytes.into(), Some(folder))
    }

    /// Reads a model from memory, of any format that `open` reads. `name` names it in messages.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Model> {
        if safetensors::detect(bytes) {
            return container::read(name, bytes.len() as u64, &mut &*bytes);
        }
        read(name, Bytes::copy_from_slice(bytes), None)
    }

    /// Writes a `.fewbit` file, from which `open` gives the same model again. A failure leaves no half-written file.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let file = path.display().to_string();
        let part = PathBuf::from(format!("{file}.part"));
        let io = |e| Error::io(&file, e);
        let written = File::create(&part)
            .map_err(io)
            .and_then(|out| container::write(&file, self, &mut BufWriter::new(out)))
            .and_then(|()| std::fs::rename(&part, path).map_err(io));
        if written.is_err() {
            // The first failure is what matters; the part file may not even exist.
            std::fs::remove_file(&part).ok();
        }
        written
    }
}

fn read(file: &str, bytes: Bytes, folder: Option<&Path>) -> Result<Model> {
    if onnx::detect(&bytes) {
        return onnx::read(file, bytes, folder);
    }
    Err(Error::format(file, "not a model file: expected .fewbit, .safetensors, .onnx or a torch state dictionary"))
}
