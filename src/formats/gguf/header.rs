//! Metadata and the table of tensors, checked against the file before any of it is used.

use std::collections::BTreeSet;
use std::ops::Range;

use bytes::Bytes;

use super::cursor::{Cursor, MAGIC};
use super::kinds::{self, Kind};
use super::metadata::{Metadata, value};
use crate::tensor::{Shape, element_count, order};
use crate::{Error, Result};

pub struct Header {
    pub metadata: Metadata,
    pub tensors: Vec<TensorInfo>,
}

pub struct TensorInfo {
    pub name: String,
    /// Row-major: the reverse of the file's order.
    pub shape: Shape,
    pub kind: &'static Kind,
    /// Where its blocks lie in the file.
    pub range: Range<usize>,
}

const DEFAULT_ALIGNMENT: usize = 32;

/// ggml's own limit.
const MAX_DIMS: u32 = 4;

/// Memory that an entry costs as a value of a graph, about.
const ENTRY_COST: usize = 400;

/// Reads the header of a file of `len` bytes from `bytes`, its first ones.
pub fn parse(file: &str, bytes: &Bytes, len: usize) -> Result<Header> {
    let mut cursor = Cursor::new(file, bytes);
    if cursor.take(MAGIC.len())? != MAGIC {
        return Err(cursor.error("it does not begin with GGUF"));
    }
    match cursor.u32()? {
        2 | 3 => {}
        // A big-endian file shows its version in the high byte.
        version if version.swap_bytes() <= 3 => {
            return Err(Error::Unsupported(format!("{file}: big-endian GGUF")));
        }
        version => return Err(Error::Unsupported(format!("{file}: GGUF version {version}, only 2 and 3 are read"))),
    }
    let (tensors, pairs) = (cursor.size()?, cursor.size()?);
    let entries = tensors.saturating_add(pairs);
    if entries.saturating_mul(ENTRY_COST) > bytes.len().saturating_mul(3).saturating_add(1 << 19) {
        return Err(cursor.error(format!("{entries} entries are out of proportion to its {} bytes", bytes.len())));
    }
    let mut metadata = Metadata::default();
    for _ in 0..pairs {
        let (key, kind) = (cursor.text()?, cursor.u32()?);
        let value = value(&mut cursor, kind)?;
        if let Some(twice) = metadata.0.insert(key, value).and(Some("a key occurs twice")) {
            return Err(cursor.error(twice));
        }
    }
    if metadata.size("split.count").is_some_and(|count| count > 1) {
        return Err(Error::Unsupported(format!("{file}: one of several parts; merge them with llama-gguf-split")));
    }
    let alignment = metadata.size("general.alignment").unwrap_or(DEFAULT_ALIGNMENT);
    if alignment == 0 || !alignment.is_multiple_of(8) {
        return Err(cursor.error(format!("its alignment is {alignment}")));
    }
    let table = (0..tensors).map(|_| entry(file, &mut cursor)).collect::<Result<Vec<_>>>()?;
    let start = cursor.at().checked_next_multiple_of(alignment).ok_or_else(|| cursor.error("it is cut short"))?;
    Ok(Header { tensors: place(file, table, start, alignment, len)?, metadata })
}

/// A tensor, its size in bytes and its offset from where the data begin.
type Entry = (TensorInfo, usize, u64);

fn entry(file: &str, cursor: &mut Cursor) -> Result<Entry> {
    let name = cursor.text()?;
    let dims = cursor.u32()?;
    if dims > MAX_DIMS {
        return Err(cursor.error(format!("tensor `{name}` has {dims} dimensions")));
    }
    let mut shape: Shape = (0..dims).map(|_| cursor.size()).collect::<Result<_>>()?;
    shape.reverse();
    let number = cursor.u32()?;
    let kind = kinds::find(number)
        .ok_or_else(|| Error::Unsupported(format!("{file}: tensor `{name}` has ggml type number {number}")))?;
    let offset = cursor.u64()?;
    let columns = shape.last().copied().unwrap_or(1);
    let elements = element_count(&shape)?;
    if elements == 0 || !columns.is_multiple_of(kind.block) {
        let what = format!("tensor `{name}` of shape {shape:?} has no whole blocks of {}", kind.name);
        return Err(cursor.error(what));
    }
    let size = (elements / kind.block).checked_mul(kind.bytes);
    let size = size.ok_or_else(|| cursor.error(format!("tensor `{name}` is cut short")))?;
    Ok((TensorInfo { name, shape, kind, range: 0..0 }, size, offset))
}

/// Places every tensor in the file; none may leave it, lie across another or share its name.
fn place(file: &str, mut table: Vec<Entry>, start: usize, alignment: usize, len: usize) -> Result<Vec<TensorInfo>> {
    order::sort(&mut table, &|a, b| a.2.cmp(&b.2));
    let mut names = BTreeSet::new();
    let mut end = start;
    for (tensor, size, offset) in &mut table {
        let bad = |what: &str| Error::format(file, format!("tensor `{}` {what}", tensor.name));
        let from = usize::try_from(*offset).ok().and_then(|offset| start.checked_add(offset));
        let to = from.and_then(|from| from.checked_add(*size)).filter(|&to| to <= len);
        let (Some(from), Some(to)) = (from, to) else {
            return Err(beyond(file, &tensor.name));
        };
        if !from.is_multiple_of(alignment) {
            return Err(bad(&format!("does not begin at a multiple of {alignment} bytes")));
        }
        if from < end {
            return Err(bad("lies across the one before it"));
        }
        if !names.insert(tensor.name.clone()) {
            return Err(bad("occurs twice"));
        }
        tensor.range = from..to;
        end = to;
    }
    Ok(table.into_iter().map(|(tensor, _, _)| tensor).collect())
}

/// A tensor that the file does not hold, or not whole.
pub fn beyond(file: &str, tensor: &str) -> Error {
    let what = format!("tensor `{tensor}` lies beyond the end of the file; the download is probably incomplete");
    Error::format(file, what)
}
