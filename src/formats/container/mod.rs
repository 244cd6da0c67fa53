//! The `.fewbit` container: a safetensors file whose metadata hold graph, encodings and manifest as JSON.
//!
//! The header comes first and gives every tensor's place and SHA-256, so a browser can fetch tensors one at a time:
//! `parse_header`, then `Builder::put` for each, then `Builder::finish`. A plain safetensors file becomes a model of
//! weights without nodes.

mod forms;
mod load;
mod save;
mod spec;

pub use load::{Builder, Header, parse_header, read};
pub use save::write;

use sha2::{Digest, Sha256};

use crate::tensor::TensorType;

/// Metadata key of the JSON.
const MANIFEST: &str = "fewbit";

/// Metadata key of `digest`.
const MANIFEST_SHA256: &str = "fewbit_sha256";

/// SHA-256 over the JSON and the tensors' names and types, in hexadecimal: with the tensors' own, all bytes that count.
pub fn digest<'a>(json: &str, tensors: impl Iterator<Item = (&'a str, &'a TensorType)>) -> String {
    let mut sha = Sha256::new();
    sha.update(json);
    for (name, ty) in tensors {
        sha.update(format!("\n{name} {} {:?}", ty.dtype.name(), ty.shape));
    }
    hex(&sha.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
