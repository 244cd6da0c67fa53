//! A file that comes in pieces: beside the weights read so far no more than its header and one tensor is kept.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::header::{self, Header};
use super::tensors;
use crate::graph::{Model, Weight};
use crate::{Error, Result};

/// A header is looked for in this many first bytes, and again whenever they have doubled.
const FIRST_TRY: usize = 1 << 10;

/// A file on its way in: `push` for each piece in order, from its first byte on, then `finish`.
pub struct Incoming {
    file: String,
    state: State,
}

enum State {
    /// A header that is not whole: its bytes, and at how many of them to try next.
    Header {
        bytes: Vec<u8>,
        next_try: usize,
    },
    Tensors(Box<Tensors>),
}

struct Tensors {
    header: Header,
    weights: BTreeMap<String, Weight>,
    /// The tensor that is being collected, and what has come of it.
    next: usize,
    part: Vec<u8>,
    /// How many bytes of the file have come.
    at: usize,
}

impl Incoming {
    /// `file` names it in messages.
    pub fn new(file: &str) -> Self {
        Incoming { file: file.into(), state: State::Header { bytes: Vec::new(), next_try: FIRST_TRY } }
    }

    /// Fails for a tensor that cannot be read, and without memory.
    pub fn push(&mut self, chunk: &[u8]) -> Result<()> {
        match &mut self.state {
            State::Tensors(tensors) => tensors.push(&self.file, chunk),
            State::Header { bytes, next_try } => {
                append(&self.file, bytes, chunk)?;
                if bytes.len() < *next_try {
                    return Ok(());
                }
                *next_try = 2 * bytes.len();
                let shared = Bytes::from(std::mem::take(bytes));
                // One that is malformed fails as one that is cut short: `finish` tells them apart.
                let Ok(header) = header::parse(&self.file, &shared, usize::MAX) else {
                    *bytes = shared.into();
                    return Ok(());
                };
                let start = header.tensors.first().map_or(shared.len(), |tensor| tensor.range.start);
                let at = start.min(shared.len());
                let (weights, part) = (BTreeMap::new(), Vec::new());
                let mut tensors = Tensors { header, weights, next: 0, part, at };
                tensors.push(&self.file, &shared[at..])?;
                self.state = State::Tensors(Box::new(tensors));
                Ok(())
            }
        }
    }

    /// The model, as `gguf::model` reads it.
    pub fn finish(self) -> Result<Model> {
        match self.state {
            State::Header { bytes, .. } => super::model(&self.file, &bytes.into()),
            State::Tensors(tensors) => match tensors.header.tensors.get(tensors.next) {
                Some(missing) => Err(header::beyond(&self.file, &missing.name)),
                None => super::assemble(&self.file, tensors.header.metadata, tensors.weights),
            },
        }
    }
}

impl Tensors {
    fn push(&mut self, file: &str, mut chunk: &[u8]) -> Result<()> {
        // What follows on the last tensor means nothing.
        while let Some(tensor) = self.header.tensors.get(self.next) {
            let gap = tensor.range.start.saturating_sub(self.at).min(chunk.len());
            let missing = tensor.range.end - (self.at + gap);
            let (here, rest) = chunk[gap..].split_at(missing.min(chunk.len() - gap));
            self.at += gap + here.len();
            chunk = rest;
            if self.at < tensor.range.end {
                return append(file, &mut self.part, here);
            }
            let data = if self.part.is_empty() {
                here
            } else {
                append(file, &mut self.part, here)?;
                &self.part
            };
            self.weights.insert(tensor.name.clone(), tensors::weight(file, tensor, data)?);
            self.part.clear();
            self.next += 1;
        }
        Ok(())
    }
}

fn append(file: &str, bytes: &mut Vec<u8>, more: &[u8]) -> Result<()> {
    bytes.try_reserve(more.len()).map_err(|_| {
        let mib = bytes.len().saturating_add(more.len()) >> 20;
        Error::OutOfMemory(format!("no room for {mib} MiB of {file}; use a smaller model"))
    })?;
    bytes.extend_from_slice(more);
    Ok(())
}
