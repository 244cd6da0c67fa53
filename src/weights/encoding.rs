//! What all encodings have in common.

use std::collections::BTreeMap;

use crate::tensor::Tensor;
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

/// What a file says about a weight: the fields and parts of its encoding, before they are checked.
#[derive(Default)]
pub struct Stored {
    pub fields: BTreeMap<String, usize>,
    pub parts: BTreeMap<String, Tensor>,
}

impl Stored {
    pub fn field(&self, name: &str) -> Result<usize> {
        self.fields.get(name).copied().ok_or_else(|| missing(name))
    }

    pub fn bits(&self) -> Result<u32> {
        u32::try_from(self.field("bits")?).map_err(|_| Error::Usage("its `bits` are too many".into()))
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
