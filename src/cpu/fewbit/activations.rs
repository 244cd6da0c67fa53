//! The precision of activations.

use std::str::FromStr;

use crate::{Error, Result};

/// Which activations a product works with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activations {
    #[default]
    F32,
    /// Rounded to 8 bits in blocks of at most 128, where there are kernels for it; else f32.
    Int8,
}

impl FromStr for Activations {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "f32" => Ok(Activations::F32),
            "int8" => Ok(Activations::Int8),
            other => Err(Error::Usage(format!("activations cannot be `{other}`; they are `f32` or `int8`"))),
        }
    }
}
