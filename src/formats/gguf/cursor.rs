//! Reading numbers and text from untrusted bytes.

use std::ops::Range;

use bytes::Bytes;

use crate::{Error, Result};

pub const MAGIC: &[u8] = b"GGUF";

pub struct Cursor<'a> {
    file: &'a str,
    bytes: &'a Bytes,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(file: &'a str, bytes: &'a Bytes) -> Self {
        Cursor { file, bytes, at: 0 }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    /// Another cursor at the same place.
    pub fn fork(&self) -> Cursor<'a> {
        Cursor { file: self.file, bytes: self.bytes, at: self.at }
    }

    pub fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::format(self.file, format!("not a valid GGUF file: {what} (near byte {})", self.at))
    }

    fn range(&mut self, len: usize) -> Result<Range<usize>> {
        let end = self.at.checked_add(len).filter(|&end| end <= self.bytes.len());
        let range = self.at..end.ok_or_else(|| self.error("it is cut short"))?;
        self.at = range.end;
        Ok(range)
    }

    pub fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let range = self.range(len)?;
        Ok(&self.bytes[range])
    }

    /// The next bytes, shared with the file.
    pub fn share(&mut self, len: usize) -> Result<Bytes> {
        let range = self.range(len)?;
        Ok(self.bytes.slice(range))
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A length or count; one that is no `usize` cannot be in the file either.
    pub fn size(&mut self) -> Result<usize> {
        usize::try_from(self.u64()?).map_err(|_| self.error("it is cut short"))
    }

    pub fn text(&mut self) -> Result<String> {
        let len = self.size()?;
        let bytes = self.take(len)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| self.error("a text is not UTF-8"))
    }
}
