//! What all encodings have in common.

use std::collections::BTreeMap;

use crate::tensor::{Shape, Tensor};
use crate::{Error, Result};

/// What every encoding can do. `decode` is the definition that all kernels are tested against.
pub trait Encoding: Send + Sync {
    /// Logical shape.
    fn shape(&self) -> &[usize];

    /// The contract's name with its parameters, e.g. `affine:4:group=32`.
    fn name(&self) -> String;

    /// Writes elements `col .. col + out.len()` of `row` as f32. The caller keeps within `rows` and `cols`.
    fn decode(&self, row: usize, col: usize, out: &mut [f32]);

    /// The numbers beside the shape that the stored form needs (`bits`, `group`, …).
    fn fields(&self) -> Vec<(&'static str, usize)>;

    /// The tensors that make up the stored form, by part name (`codes`, `table`, `scales`, …).
    fn parts(&self) -> Vec<(&'static str, &Tensor)>;
}

/// An encoding that another can hold.
pub trait Nested: Encoding + Sized {
    /// The word that names it in files.
    fn kind(&self) -> &'static str;

    /// Builds it from its stored form; `None` for a `kind` that does not exist.
    fn restore(kind: &str, shape: Shape, stored: &Stored) -> Option<Result<Self>>;
}

/// What a file says about a weight: the fields and parts of its encoding, before they are checked. Those of an encoding
/// inside another have its name and a dot before their own.
#[derive(Default)]
pub struct Stored {
    pub fields: Vec<(String, usize)>,
    /// Fields that are words: the kind of an encoding inside.
    pub words: BTreeMap<String, String>,
    pub parts: BTreeMap<String, Tensor>,
}

impl Stored {
    pub fn field(&self, name: &str) -> Result<usize> {
        self.opt_field(name).ok_or_else(|| missing(name))
    }

    pub fn opt_field(&self, name: &str) -> Option<usize> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, number)| *number)
    }

    pub fn bits(&self) -> Result<u32> {
        u32::try_from(self.field("bits")?).map_err(|_| Error::Usage("its `bits` are too many".into()))
    }

    pub fn word(&self, name: &str) -> Result<&str> {
        self.words.get(name).map(String::as_str).ok_or_else(|| missing(name))
    }

    /// The stored form of the encoding called `name` inside this one.
    pub fn below(&self, name: &str) -> Stored {
        let own = |key: &String| key.strip_prefix(name)?.strip_prefix('.').map(str::to_string);
        Stored {
            fields: self.fields.iter().filter_map(|(key, number)| Some((own(key)?, *number))).collect(),
            words: self.words.iter().filter_map(|(key, word)| Some((own(key)?, word.clone()))).collect(),
            parts: self.parts.iter().filter_map(|(key, part)| Some((own(key)?, part.clone()))).collect(),
        }
    }

    pub fn part(&self, name: &str) -> Result<Tensor> {
        self.parts.get(name).cloned().ok_or_else(|| missing(name))
    }

    pub fn opt_part(&self, name: &str) -> Option<Tensor> {
        self.parts.get(name).cloned()
    }
}

fn missing(name: &str) -> Error {
    Error::Usage(format!("a few-bit weight lacks its `{name}`"))
}
