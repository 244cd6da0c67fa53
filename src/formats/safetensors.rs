//! Safetensors: `u64` length of a JSON header, the header, then the tensors' bytes without gaps.
//!
//! Own parser instead of the crate's: it reads the header before the data are there (a browser plans while it
//! downloads), refuses a name that occurs twice, and keeps memory in proportion to the header.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read;
use std::ops::Range;

use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::object::from_object;
use crate::tensor::{DType, Shape, Tensor, TensorType, order};
use crate::{Error, Result};

/// The format's own limit on a header.
const MAX_HEADER: u64 = 100_000_000;

/// Memory that one entry costs in a model with its name, type and weight, about.
const ENTRY_COST: u64 = 400;

/// Bytes before the JSON.
pub const PREFIX: usize = 8;

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub name: String,
    pub ty: TensorType,
    /// Where its bytes lie in the file.
    pub range: Range<u64>,
}

/// What a file says before its data.
#[derive(Clone, Debug, Default)]
pub struct Header {
    /// In the order of their bytes, which have no gaps.
    pub tensors: Vec<Entry>,
    pub metadata: BTreeMap<String, String>,
    /// Bytes of prefix and JSON: where the data begin.
    pub data_start: u64,
    /// Bytes of the whole file.
    pub file_len: u64,
}

/// Bytes of prefix and JSON, from the first 8 bytes of a file.
pub fn header_len(file: &str, prefix: &[u8]) -> Result<u64> {
    let Some(prefix) = prefix.first_chunk::<PREFIX>() else {
        return Err(Error::format(file, "not a safetensors file: it has less than 8 bytes"));
    };
    match u64::from_le_bytes(*prefix) {
        n @ 2..=MAX_HEADER => Ok(n + PREFIX as u64),
        n => Err(Error::format(file, format!("not a safetensors file: its header would have {n} bytes"))),
    }
}

/// Whether bytes look like a safetensors file.
pub fn detect(bytes: &[u8]) -> bool {
    header_len("", bytes).is_ok() && matches!(bytes.get(PREFIX), Some(b'{'))
}

/// Parses the header from the file's first bytes, at least `header_len` of them.
pub fn parse_header(file: &str, bytes: &[u8]) -> Result<Header> {
    let data_start = header_len(file, bytes)?;
    let json = bytes.get(PREFIX..data_start as usize).ok_or_else(|| {
        Error::format(file, format!("its header needs {data_start} bytes, but there are {}", bytes.len()))
    })?;
    let raw: RawHeader = serde_json::from_slice(json)
        .map_err(|e| Error::format(file, format!("its safetensors header is not valid ({e})")))?;
    let mut raw_tensors = raw.tensors;
    order::sort(&mut raw_tensors, &|a, b| a.1.data_offsets.cmp(&b.1.data_offsets));
    let mut tensors = Vec::with_capacity(raw_tensors.len());
    let mut end = 0u64;
    for (name, info) in raw_tensors {
        let bad = |what: String| Error::format(file, format!("tensor `{name}` {what}"));
        let dtype = dtype(&info.dtype)
            .ok_or_else(|| Error::Unsupported(format!("{file}: tensor `{name}` has element type {}", info.dtype)))?;
        let (from, to) = info.data_offsets;
        if from != end || to < from {
            return Err(bad(format!("lies at {from}..{to}, but the one before it ends at {end}")));
        }
        end = to;
        crate::tensor::element_count(&info.shape)?;
        let ty = TensorType::new(dtype, info.shape);
        if ty.bytes() as u64 != to - from {
            return Err(bad(format!("of shape {:?} needs {} bytes, but has {}", ty.shape, ty.bytes(), to - from)));
        }
        let place = |at: u64| data_start.checked_add(at).ok_or_else(|| bad("lies beyond any file".into()));
        let range = place(from)?..place(to)?;
        tensors.push(Entry { name, ty, range });
    }
    let file_len = data_start.saturating_add(end);
    check_count(file, tensors.len(), file_len)?;
    let mut names = BTreeSet::new();
    if let Some(twice) = tensors.iter().find(|t| !names.insert(&t.name)) {
        return Err(Error::format(file, format!("tensor `{}` occurs twice", twice.name)));
    }
    Ok(Header { tensors, metadata: raw.metadata, data_start, file_len })
}

/// Refuses a file of which the names and types alone would take more memory than it has bytes.
fn check_count(file: &str, tensors: usize, file_len: u64) -> Result<()> {
    if tensors as u64 * ENTRY_COST <= 3 * file_len + (1 << 19) {
        return Ok(());
    }
    Err(Error::format(file, format!("has {tensors} tensors, nearly all of them empty")))
}

/// Reads the header from the start of a stream of `len` bytes; every tensor lies within them.
pub fn read_header(file: &str, len: u64, source: &mut impl Read) -> Result<Header> {
    let io = |e| Error::io(file, e);
    let mut bytes = vec![0u8; PREFIX.min(len as usize)];
    source.read_exact(&mut bytes).map_err(io)?;
    let data_start = header_len(file, &bytes)?;
    if data_start > len {
        return Err(Error::format(file, format!("its header needs {data_start} bytes, but the file has {len}")));
    }
    bytes.resize(data_start as usize, 0);
    source.read_exact(&mut bytes[PREFIX..]).map_err(io)?;
    let key = b"\"data_offsets\"";
    check_count(file, bytes.windows(key.len()).filter(|w| w == key).count(), len)?;
    let header = parse_header(file, &bytes)?;
    match header.file_len == len {
        true => Ok(header),
        false => Err(Error::format(
            file,
            format!("needs {} bytes, but has {len}; the download is probably incomplete", header.file_len),
        )),
    }
}

/// Reads the next tensor of a stream straight into its buffer.
pub fn read_tensor(file: &str, entry: &Entry, source: &mut impl Read) -> Result<Tensor> {
    let mut tensor = Tensor::zeros(entry.ty.clone())?;
    source.read_exact(tensor.bytes_mut()).map_err(|e| Error::io(file, e))?;
    Ok(tensor)
}

/// Prefix and JSON of a file with these tensors in this order; the data follow without gaps.
pub fn write_header(tensors: &[(String, TensorType)], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let mut header = serde_json::Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".into(), serde_json::json!(metadata));
    }
    let mut at = 0usize;
    for (name, ty) in tensors {
        let end = at + ty.bytes();
        let info = serde_json::json!({ "dtype": dtype_name(ty.dtype), "shape": ty.shape, "data_offsets": [at, end] });
        if header.insert(name.clone(), info).is_some() {
            return Err(Error::Usage(format!("two tensors are called `{name}`")));
        }
        at = end;
    }
    let mut json = serde_json::to_vec(&header).map_err(|e| Error::Usage(format!("cannot write the header ({e})")))?;
    // Spaces align the data to 8 bytes, as the format recommends.
    json.resize(json.len().next_multiple_of(8), b' ');
    if json.len() as u64 > MAX_HEADER {
        return Err(Error::Usage(format!("the header would have {} bytes, more than readers accept", json.len())));
    }
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.append(&mut json);
    Ok(bytes)
}

const DTYPES: [(&str, DType); 13] = [
    ("F32", DType::F32),
    ("F64", DType::F64),
    ("F16", DType::F16),
    ("BF16", DType::BF16),
    ("I8", DType::I8),
    ("I16", DType::I16),
    ("I32", DType::I32),
    ("I64", DType::I64),
    ("U8", DType::U8),
    ("U16", DType::U16),
    ("U32", DType::U32),
    ("U64", DType::U64),
    ("BOOL", DType::Bool),
];

fn dtype(name: &str) -> Option<DType> {
    DTYPES.iter().find(|(n, _)| *n == name).map(|&(_, d)| d)
}

fn dtype_name(dtype: DType) -> &'static str {
    DTYPES.iter().find(|(_, d)| *d == dtype).map_or("U8", |&(n, _)| n)
}

struct RawEntry {
    dtype: String,
    shape: Shape,
    data_offsets: (u64, u64),
}

from_object!(RawEntry, others = false, [dtype shape data_offsets] []);

/// The header as written: `__metadata__` among the tensors.
struct RawHeader {
    tensors: Vec<(String, RawEntry)>,
    metadata: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = RawHeader;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<RawHeader, A::Error> {
        let mut header = RawHeader { tensors: Vec::new(), metadata: BTreeMap::new() };
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                header.metadata = map.next_value_seed(Metadata)?;
            } else {
                header.tensors.push((name, map.next_value()?));
            }
        }
        Ok(header)
    }
}

/// Text by name; a key that occurs twice is refused, since readers would disagree on which one counts.
struct Metadata;

impl<'de> DeserializeSeed<'de> for Metadata {
    type Value = BTreeMap<String, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Metadata {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("text by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
        let mut metadata = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, String>()? {
            if metadata.insert(key, value).is_some() {
                return Err(A::Error::custom("a metadata key occurs twice"));
            }
        }
        Ok(metadata)
    }
}
