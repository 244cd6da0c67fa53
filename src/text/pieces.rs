//! The bytes that each token stands for.

use crate::{Error, Result};

/// Bytes of all tokens in a row. A token without text (control tokens, ids that are not in use) has none.
pub struct Pieces {
    bytes: Vec<u8>,
    /// Where the bytes of token `i` begin; one entry more than tokens.
    starts: Vec<usize>,
    /// Whether decoded text loses a space at its beginning, which encoding has put there.
    space_first: bool,
}

impl Pieces {
    pub fn new(pieces: impl IntoIterator<Item = Vec<u8>>, space_first: bool) -> Self {
        let (mut bytes, mut starts) = (Vec::new(), vec![0]);
        for piece in pieces {
            bytes.extend(piece);
            starts.push(bytes.len());
        }
        Pieces { bytes, starts, space_first }
    }

    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    pub fn get(&self, id: u32) -> Result<&[u8]> {
        let id = id as usize;
        match self.starts.get(id..=id + 1) {
            Some(&[from, to]) => Ok(&self.bytes[from..to]),
            _ => Err(Error::Usage(format!("token {id} is not in the vocabulary of {} tokens", self.len()))),
        }
    }

    /// The text of whole sequences; bytes that are not UTF-8 become U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        let mut bytes = Vec::new();
        for &id in ids {
            bytes.extend_from_slice(self.get(id)?);
        }
        let text = bytes.strip_prefix(b" ").filter(|_| self.space_first).unwrap_or(&bytes);
        Ok(String::from_utf8_lossy(text).into_owned())
    }
}
