//! The files of a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use crate::formats::safetensors;
use crate::tensor::Tensor;
use crate::{Error, Result};

const INDEX: &str = "model.safetensors.index.json";

const SINGLE: &str = "model.safetensors";

/// Configurations and indices of the largest models take a few megabytes.
const MAX_JSON: u64 = 32 << 20;

/// Reads a JSON file; `None` if there is none.
pub fn json(path: &Path) -> Result<Option<Value>> {
    bytes(path)?.map(|bytes| parse_json(&path.display().to_string(), &bytes)).transpose()
}

/// Reads a text file; `None` if there is none.
pub fn text(path: &Path) -> Result<Option<String>> {
    let text = |bytes| String::from_utf8(bytes).map_err(|_| Error::format(path.display().to_string(), "is not UTF-8"));
    bytes(path)?.map(text).transpose()
}

fn bytes(path: &Path) -> Result<Option<Vec<u8>>> {
    let name = path.display().to_string();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(name, e)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_JSON + 1).read_to_end(&mut bytes).map_err(|e| Error::io(&name, e))?;
    if bytes.len() as u64 > MAX_JSON {
        return Err(Error::format(name, format!("has more than {MAX_JSON} bytes")));
    }
    Ok(Some(bytes))
}

pub fn parse_json(name: &str, bytes: &[u8]) -> Result<Value> {
    serde_json::from_slice(bytes).map_err(|e| Error::format(name, format!("not valid JSON ({e})")))
}

/// All tensors of a folder's safetensors files.
pub fn tensors(folder: &Path) -> Result<BTreeMap<String, Tensor>> {
    let mut tensors = BTreeMap::new();
    for path in shards(folder)? {
        let name = path.display().to_string();
        let io = |e| Error::io(&name, e);
        let file = File::open(&path).map_err(io)?;
        let len = file.metadata().map_err(io)?.len();
        add(&name, len, &mut BufReader::new(file), &mut tensors)?;
    }
    Ok(tensors)
}

/// Adds the tensors of one safetensors file of `len` bytes.
pub fn add(name: &str, len: u64, source: &mut impl Read, tensors: &mut BTreeMap<String, Tensor>) -> Result<()> {
    for entry in safetensors::read_header(name, len, source)?.tensors {
        let tensor = safetensors::read_tensor(name, &entry, source)?;
        if tensors.insert(entry.name.clone(), tensor).is_some() {
            return Err(Error::format(name, format!("tensor `{}` is in another file too", entry.name)));
        }
    }
    Ok(())
}

/// The files that the index names; without an index `model.safetensors`, or else every `.safetensors` file.
fn shards(folder: &Path) -> Result<Vec<PathBuf>> {
    let name = folder.display().to_string();
    if let Some(index) = json(&folder.join(INDEX))? {
        let bad = |what: String| Error::format(format!("{name}/{INDEX}"), what);
        let map =
            index.get("weight_map").and_then(Value::as_object).ok_or_else(|| bad("has no `weight_map`".into()))?;
        let mut files = BTreeSet::new();
        for file in map.values() {
            let file = file.as_str().unwrap_or("");
            // Files lie in the folder itself, whatever an index from elsewhere says.
            if !matches!(Path::new(file).components().collect::<Vec<_>>()[..], [Component::Normal(_)]) {
                return Err(bad(format!("names the file `{file}`")));
            }
            files.insert(folder.join(file));
        }
        return Ok(files.into_iter().collect());
    }
    let single = folder.join(SINGLE);
    if single.exists() {
        return Ok(vec![single]);
    }
    let io = |e| Error::io(&name, e);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|e| e == "safetensors") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Error::format(name, "has no .safetensors file"));
    }
    Ok(files)
}
