//! Floor 2: few-bit weight encodings. One file each: its fields, its size, its scalar `decode`, which defines it.
//!
//! A weight of logical shape `[rows, …]` is a matrix `[rows, cols]` (`cols` = product of the rest). Codes lie along
//! `cols`; each row starts at a 32-bit boundary, so a kernel reads whole words and a file streams straight to the GPU.

pub mod affine;
#[cfg(any(feature = "cli", feature = "full"))]
pub mod blocks;
pub mod codebook;
pub mod dual;
#[cfg(any(feature = "cli", feature = "full"))]
pub mod elastic;
mod encoding;
pub mod half_float;
pub mod kquant;
pub mod palette;
pub mod parts;
pub mod sparse;
pub mod tables;

pub use affine::{Affine, Zero};
pub use codebook::Codebook;
pub use dual::Dual;
#[cfg(any(feature = "cli", feature = "full"))]
pub use elastic::Elastic;
pub use encoding::{Encoding, Nested, Stored};
pub use half_float::HalfFloat;
pub use kquant::KQuant;
pub use palette::{Palette, Scale};

use std::collections::BTreeMap;
use std::fmt;

use crate::Result;
use crate::tensor::{DType, Shape, Tensor, TensorType};

/// Declares `Encoded` with one variant per encoding and the word that names it in files.
macro_rules! encodings {
    ($($(#[$meta:meta])* $variant:ident = $kind:literal,)*) => {
        /// A weight in one of the encodings.
        #[derive(Clone)]
        pub enum Encoded {
            $($(#[$meta])* $variant($variant),)*
        }

        impl Encoded {
            pub fn as_encoding(&self) -> &dyn Encoding {
                match self {
                    $($(#[$meta])* Encoded::$variant(w) => w,)*
                }
            }

            /// The word that names the encoding in files.
            pub fn kind(&self) -> &'static str {
                match self {
                    $($(#[$meta])* Encoded::$variant(_) => $kind,)*
                }
            }

            /// Builds a weight from its stored form; `None` for a `kind` that does not exist.
            pub fn restore(kind: &str, shape: Shape, stored: &Stored) -> Option<Result<Self>> {
                match kind {
                    $($(#[$meta])* $kind => Some($variant::restore(shape, stored).map(Encoded::$variant)),)*
                    _ => None,
                }
            }
        }

        $(
            $(#[$meta])*
            impl From<$variant> for Encoded {
                fn from(weight: $variant) -> Self {
                    Encoded::$variant(weight)
                }
            }
        )*
    };
}

encodings! {
    Palette = "palette",
    Affine = "affine",
    HalfFloat = "f16",
    KQuant = "kquant",
    Codebook = "codebook",
    Dual = "dual",
    Sparse = "sparse",
    #[cfg(any(feature = "cli", feature = "full"))]
    Elastic = "elastic",
    #[cfg(any(feature = "cli", feature = "full"))]
    Blocks = "blocks",
}

/// Sparse weights whose values have one of the other encodings.
pub type Sparse = sparse::Sparse<Encoded>;

/// Block-sparse weights whose values have one of the other encodings.
#[cfg(any(feature = "cli", feature = "full"))]
pub type Blocks = blocks::Blocks<Encoded>;

impl Encoding for Encoded {
    fn shape(&self) -> &[usize] {
        self.as_encoding().shape()
    }

    fn name(&self) -> String {
        self.as_encoding().name()
    }

    fn decode(&self, row: usize, col: usize, out: &mut [f32]) {
        self.as_encoding().decode(row, col, out);
    }

    fn fields(&self) -> Vec<(&'static str, usize)> {
        self.as_encoding().fields()
    }

    fn parts(&self) -> Vec<(&'static str, &Tensor)> {
        self.as_encoding().parts()
    }
}

impl Nested for Encoded {
    fn kind(&self) -> &'static str {
        Encoded::kind(self)
    }

    fn restore(kind: &str, shape: Shape, stored: &Stored) -> Option<Result<Self>> {
        Encoded::restore(kind, shape, stored)
    }
}

impl Encoded {
    pub fn shape(&self) -> &[usize] {
        self.as_encoding().shape()
    }

    pub fn rows(&self) -> usize {
        self.shape().first().copied().unwrap_or(1)
    }

    pub fn cols(&self) -> usize {
        self.shape().iter().skip(1).product()
    }

    /// The same rows and columns under another shape.
    pub fn reshaped(&self, shape: Shape) -> Result<Self> {
        let parts = self.stored_parts().into_iter().map(|(name, part)| (name, part.clone())).collect();
        let stored = Stored { fields: self.stored_fields(), words: self.stored_words(), parts };
        let restored = Self::restore(self.kind(), shape, &stored);
        restored.unwrap_or_else(|| Err(crate::Error::Unsupported(format!("encoding `{}`", self.kind()))))
    }

    /// The numbers of the stored form, with those of an encoding inside.
    pub fn stored_fields(&self) -> Vec<(String, usize)> {
        let own = self.as_encoding().fields().into_iter().map(|(name, number)| (name.to_string(), number));
        let inner = self.inner().map(Encoded::stored_fields).unwrap_or_default();
        own.chain(inner.into_iter().map(|(name, number)| (below(&name), number))).collect()
    }

    /// The words of the stored form: the kind of an encoding inside.
    pub fn stored_words(&self) -> BTreeMap<String, String> {
        self.inner().map(|inner| (sparse::VALUES.to_string(), inner.kind().to_string())).into_iter().collect()
    }

    /// The tensors of the stored form, with those of an encoding inside.
    pub fn stored_parts(&self) -> Vec<(String, &Tensor)> {
        let own = self.as_encoding().parts().into_iter().map(|(name, part)| (name.to_string(), part));
        let inner = self.inner().map(Encoded::stored_parts).unwrap_or_default();
        own.chain(inner.into_iter().map(|(name, part)| (below(&name), part))).collect()
    }

    fn inner(&self) -> Option<&Encoded> {
        match self {
            Encoded::Sparse(sparse) => Some(sparse.values()),
            #[cfg(any(feature = "cli", feature = "full"))]
            Encoded::Blocks(blocks) => Some(blocks.values()),
            _ => None,
        }
    }

    /// Bytes of the stored form: codes, tables, scales and zero points.
    pub fn bytes(&self) -> usize {
        self.stored_parts().iter().map(|(_, t)| t.bytes().len()).sum()
    }

    pub fn bits_per_weight(&self) -> f64 {
        8.0 * self.bytes() as f64 / (self.rows() * self.cols()).max(1) as f64
    }

    /// The whole weight as f32: for tests, `inspect` and operators that have no few-bit kernel.
    pub fn to_dense(&self) -> Result<Tensor> {
        let mut dense = Tensor::zeros(TensorType::new(DType::F32, self.shape()))?;
        let rows = dense.slice_mut()?.chunks_exact_mut(self.cols().max(1));
        rows.enumerate().for_each(|(row, out)| self.as_encoding().decode(row, 0, out));
        Ok(dense)
    }
}

fn below(name: &str) -> String {
    format!("{}.{name}", sparse::VALUES)
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.as_encoding().name(), self.shape())
    }
}
