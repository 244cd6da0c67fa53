//! Floor 6: file formats. Each reads bytes that it does not trust: an error, never a panic, and memory in proportion.

#[cfg(feature = "full")]
mod codes;
pub mod container;
#[cfg(feature = "full")]
pub mod ct2;
#[cfg(feature = "full")]
pub mod delta;
#[cfg(feature = "full")]
pub mod gguf;
#[cfg(feature = "full")]
mod halves;
#[cfg(feature = "full")]
pub mod hf;
pub mod npy;
mod object;
pub mod onnx;
#[cfg(feature = "full")]
pub mod peft;
#[cfg(feature = "full")]
mod pickle;
mod replace;
pub mod safetensors;
mod strided;
#[cfg(feature = "full")]
pub mod torch_legacy;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use bytes::Bytes;

use crate::graph::Model;
#[cfg(feature = "full")]
use crate::models;
use crate::{Error, Result};

/// What decides the format of a file: this many of its first bytes.
const SNIFF: usize = 16;

#[cfg(feature = "full")]
/// Class names beside a file of weights: a JSON list.
const LABELS: &str = "imagenet_labels.json";

impl Model {
    /// Reads a folder of Hugging Face's layout (`config.json`, safetensors) or CTranslate2's, or a model file: `.fewbit`, `.onnx`, or
    /// weights alone in `.safetensors`, `.gguf` or legacy torch files, recognised by its content. Weights of a known architecture become its graph; class names are taken from a file
    /// `imagenet_labels.json` beside them, if it has one name for each.
    pub fn open(path: impl AsRef<Path>) -> Result<Model> {
        Self::open_path(path.as_ref())
    }

    fn open_path(path: &Path) -> Result<Model> {
        let file = path.display().to_string();
        let io = |e| Error::io(&file, e);
        let mut source = File::open(path).map_err(io)?;
        let info = source.metadata().map_err(io)?;
        #[cfg(feature = "full")]
        if info.is_dir() {
            return if path.join(ct2::WEIGHTS).is_file() { ct2::open(path) } else { hf::open(path) };
        }
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

    /// Like `from_bytes`; a format that is read in place costs no copy.
    pub fn from_vec(name: &str, bytes: Vec<u8>) -> Result<Model> {
        if safetensors::detect(&bytes) { Self::from_bytes(name, &bytes) } else { read(name, bytes.into(), None) }
    }

    /// Writes a `.fewbit` file, from which `open` gives the same model again. A failure leaves no half-written file.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_path(path.as_ref())
    }

    fn save_path(&self, path: &Path) -> Result<()> {
        replace::replace(path, |out| container::write(&path.display().to_string(), self, out))
    }
}

fn read(file: &str, bytes: Bytes, folder: Option<&Path>) -> Result<Model> {
    if onnx::detect(&bytes) {
        return onnx::read(file, bytes, folder);
    }
    #[cfg(feature = "full")]
    if gguf::detect(&bytes) {
        return gguf::model(file, &bytes);
    }
    #[cfg(feature = "full")]
    if torch_legacy::detect(&bytes) {
        let mut model = models::from_state_dict(torch_legacy::read(file, &bytes)?)?;
        if let Some(labels) = folder.and_then(|f| labels(&f.join(LABELS), &model)) {
            model.manifest.labels = labels;
        }
        return Ok(model);
    }
    if bytes.starts_with(b"PK") {
        let what = format!("{file} is a zipped torch file; save its state dictionary as .safetensors");
        return Err(Error::Unsupported(what));
    }
    Err(Error::format(
        file,
        "not a model file: expected .fewbit, .safetensors, .onnx, .gguf or a torch state dictionary",
    ))
}

#[cfg(feature = "full")]
/// The names in a file, if they are as many as the model's classes.
fn labels(path: &Path, model: &Model) -> Option<Vec<String>> {
    let output = model.graph.value(*model.graph.outputs.first()?);
    let names: Vec<String> = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    (output.dims.as_ref()?.last() == Some(&crate::graph::Dim::Known(names.len()))).then_some(names)
}
