//! Folders of Hugging Face's layout against what `transformers` computes with them.

#![cfg(all(feature = "text", feature = "cli"))]
#![allow(clippy::unwrap_used)]

#[path = "hf/decoder.rs"]
mod decoder;
#[path = "hf/encoder.rs"]
mod encoder;
#[path = "hf/maccap.rs"]
mod maccap;
#[path = "hf/vision_language.rs"]
mod vision_language;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fewbit::formats::safetensors;
use fewbit::tensor::Tensor;

fn folder(kind: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(kind).join(name)
}

/// The tensors of a folder's `expected.safetensors`.
fn expected(folder: &Path) -> BTreeMap<String, Tensor> {
    let name = folder.display().to_string();
    let bytes = std::fs::read(folder.join("expected.safetensors")).unwrap();
    let mut source = bytes.as_slice();
    let header = safetensors::read_header(&name, bytes.len() as u64, &mut source).unwrap();
    let one =
        |entry: &safetensors::Entry| (entry.name.clone(), safetensors::read_tensor(&name, entry, &mut source).unwrap());
    header.tensors.iter().map(one).collect()
}

/// That no model comes of a folder whose `config.json` has `to` for `from`, and that the error says so.
#[track_caller]
fn refused(folder: &Path, [from, to, said]: [&str; 3]) {
    let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
    assert!(config.contains(from), "{from}: {config}");
    let weights = std::fs::read(folder.join("model.safetensors")).unwrap();
    let made = fewbit::formats::hf::from_bytes("folder", config.replace(from, to).as_bytes(), &weights);
    let error = made.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains(said), "{} with {to}: {error}", folder.display());
}
