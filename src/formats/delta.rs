//! `.fewbit-delta`: a safetensors file with the parts of a delta, and in its metadata what they are, as JSON, and a SHA-256 of
//! all of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::replace::replace;
use super::safetensors::{self, write_header};
use crate::deltas::{Change, Delta};
use crate::tensor::{Shape, Tensor, TensorType};
use crate::weights::Stored;
use crate::{Error, Result};

/// Metadata key of the JSON.
pub const MANIFEST: &str = "fewbit_delta";

/// Metadata key of the SHA-256, in hexadecimal, over the JSON, the names and types of the tensors and their bytes.
const SHA256: &str = "fewbit_delta_sha256";

const VERSION: u32 = 1;

/// Memory that one JSON value costs, about; bounds what a manifest of tiny values may allocate.
const JSON_VALUE_COST: u64 = 64;

#[derive(Serialize, Deserialize)]
struct Spec {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<String>,
    changes: Vec<Stated>,
}

#[derive(Serialize, Deserialize)]
struct Stated {
    tensor: String,
    kind: String,
    shape: Shape,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    fields: BTreeMap<String, usize>,
    /// Names of the file's tensors by the names of parts.
    parts: BTreeMap<String, String>,
}

/// Whether a file is a delta, by its header.
pub fn is_one(path: &Path) -> bool {
    let header = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let header = header.map(|(len, file)| safetensors::read_header("", len, &mut BufReader::new(file)));
    matches!(header, Ok(Ok(header)) if header.metadata.contains_key(MANIFEST))
}

pub fn open(path: &Path) -> Result<Delta> {
    let name = path.display().to_string();
    let io = |e| Error::io(&name, e);
    let file = File::open(path).map_err(io)?;
    let len = file.metadata().map_err(io)?.len();
    read(&name, len, &mut BufReader::new(file))
}

/// Reads a file of `len` bytes. Everything is checked: the hash, and that each change stays within its tensor.
pub fn read(file: &str, len: u64, source: &mut impl Read) -> Result<Delta> {
    let header = safetensors::read_header(file, len, source)?;
    let (Some(json), Some(sha256)) = (header.metadata.get(MANIFEST), header.metadata.get(SHA256)) else {
        return Err(Error::format(file, "not a delta: expected .fewbit-delta, or a folder of a PEFT adapter"));
    };
    let mut tensors = Vec::with_capacity(header.tensors.len());
    for entry in &header.tensors {
        tensors.push((entry.name.clone(), safetensors::read_tensor(file, entry, source)?));
    }
    if *sha256 != digest(json, &tensors) {
        let what = "its SHA-256 differs: the file is damaged, fetch it again".into();
        return Err(Error::Integrity { file: file.into(), what });
    }
    let values = json.bytes().filter(|b| matches!(b, b',' | b'[' | b'{')).count() as u64;
    if values * JSON_VALUE_COST > 3 * len + (1 << 19) {
        return Err(Error::format(file, format!("its manifest of {values} values is out of proportion to the file")));
    }
    let invalid = |e| Error::format(file, format!("its manifest is not valid ({e})"));
    let spec: Spec = serde_json::from_str(json).map_err(invalid)?;
    if spec.version > VERSION {
        let what = format!("{file} has version {}, this program reads up to {VERSION}: update it", spec.version);
        return Err(Error::Unsupported(what));
    }
    interpret(file, spec, tensors.into_iter().collect())
}

fn interpret(file: &str, spec: Spec, tensors: BTreeMap<String, Tensor>) -> Result<Delta> {
    let mut changes = BTreeMap::new();
    for Stated { tensor: name, kind, shape, fields, parts } in spec.changes {
        let wrong = |e: &dyn std::fmt::Display| Error::format(file, format!("the change of `{name}`: {e}"));
        let mut stored = Stored { fields: fields.into_iter().collect(), ..Stored::default() };
        for (part, tensor) in parts {
            let found = tensors.get(&tensor).cloned();
            stored.parts.insert(part, found.ok_or_else(|| wrong(&format!("tensor `{tensor}` is missing")))?);
        }
        let change = match Change::restore(&kind, shape, &stored) {
            Some(change) => change.map_err(|e| wrong(&e))?,
            None => return Err(Error::Unsupported(format!("{file}: changes of kind `{kind}`: update this program"))),
        };
        if changes.contains_key(&name) {
            return Err(wrong(&"occurs twice"));
        }
        changes.insert(name, change);
    }
    Ok(Delta { base: spec.base, changes })
}

/// Writes a file and returns its bytes. A failure leaves no half-written file.
pub fn save(path: &Path, delta: &Delta) -> Result<u64> {
    let bytes = write(delta)?;
    replace(path, |out| out.write_all(&bytes).map_err(|e| Error::io(path.display().to_string(), e)))?;
    Ok(bytes.len() as u64)
}

/// The bytes of a file.
pub fn write(delta: &Delta) -> Result<Vec<u8>> {
    let mut tensors: Vec<(String, Tensor)> = Vec::new();
    let mut changes = Vec::new();
    for (name, change) in &delta.changes {
        let mut parts = BTreeMap::new();
        for (part, tensor) in change.parts() {
            // Numbered, since one tensor's name and part may be another's name.
            let stored = tensors.len().to_string();
            tensors.push((stored.clone(), tensor.clone()));
            parts.insert(part.to_string(), stored);
        }
        let fields = change.fields().into_iter().map(|(field, number)| (field.to_string(), number)).collect();
        let (tensor, kind, shape) = (name.clone(), change.kind().into(), change.shape().to_vec());
        changes.push(Stated { tensor, kind, shape, fields, parts });
    }
    // Every tensor starts at a multiple of its element.
    tensors.sort_by_key(|(_, tensor)| std::cmp::Reverse(tensor.bytes().len().trailing_zeros().min(3)));
    let spec = Spec { version: VERSION, base: delta.base.clone(), changes };
    let json = serde_json::to_string(&spec).map_err(|e| Error::Usage(format!("the delta cannot be written ({e})")))?;
    let types: Vec<(String, TensorType)> = tensors.iter().map(|(name, t)| (name.clone(), t.ty().clone())).collect();
    let sha256 = digest(&json, &tensors);
    let metadata = BTreeMap::from([(MANIFEST.to_string(), json), (SHA256.to_string(), sha256)]);
    let mut bytes = write_header(&types, &metadata)?;
    tensors.iter().for_each(|(_, tensor)| bytes.extend(tensor.bytes()));
    Ok(bytes)
}

/// What a file's hash must be: for those who write one by other means.
pub fn digest(json: &str, tensors: &[(String, Tensor)]) -> String {
    let mut sha = Sha256::new();
    sha.update(json);
    for (name, tensor) in tensors {
        sha.update(format!("\n{name} {} {:?}\n", tensor.dtype().name(), tensor.shape()));
        sha.update(tensor.bytes());
    }
    sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
