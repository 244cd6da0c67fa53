//! Floor 2: few-bit weight encodings. One file each: its fields, its size, its scalar `decode`, which defines it.
//!
//! A weight of logical shape `[rows, …]` is a matrix `[rows, cols]` (`cols` = product of the rest). Codes lie along
//! `cols`; each row starts at a 32-bit boundary, so a kernel reads whole words and a file streams straight to the GPU.

pub mod affine;
pub mod codebook;
pub mod dual;
mod encoding;
pub mod half_float;
pub mod kquant;
pub mod palette;
pub mod parts;
pub mod tables;

use std::fmt;

pub use affine::{Affine, Zero};
pub use codebook::Codebook;
pub use dual::Dual;
pub use encoding::{Encoding, Stored};
pub use half_float::HalfFloat;
pub use kquant::KQuant;
pub use palette::{Palette, Scale};

use crate::Result;
use crate::tensor::{Shape, Tensor};

/// Declares `Encoded` with one variant per encoding and the word that names it in files.
macro_rules! encodings {
    ($($variant:ident = $kind:literal,)*) => {
        /// A weight in one of the encodings.
        #[derive(Clone)]
        pub enum Encoded {
            $($variant($variant),)*
        }

        impl Encoded {
            pub fn as_encoding(&self) -> &dyn Encoding {
                match self {
                    $(Encoded::$variant(w) => w,)*
                }
            }

            /// The word that names the encoding in files.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Encoded::$variant(_) => $kind,)*
                }
            }

            /// Builds a weight from its stored form; `None` for a `kind` that does not exist.
            pub fn restore(kind: &str, shape: Shape, stored: &Stored) -> Option<Result<Self>> {
                match kind {
                    $($kind => Some($variant::restore(shape, stored).map(Encoded::$variant)),)*
                    _ => None,
                }
            }
        }

        $(
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
        let encoding = self.as_encoding();
        let fields = encoding.fields().into_iter().map(|(name, number)| (name.to_string(), number)).collect();
        let parts = encoding.parts().into_iter().map(|(name, part)| (name.to_string(), part.clone())).collect();
        let restored = Self::restore(self.kind(), shape, &Stored { fields, parts });
        restored.unwrap_or_else(|| Err(crate::Error::Unsupported(format!("encoding `{}`", self.kind()))))
    }

    /// Bytes of the stored form: codes, tables, scales and zero points.
    pub fn bytes(&self) -> usize {
        self.as_encoding().parts().iter().map(|(_, t)| t.bytes().len()).sum()
    }

    pub fn bits_per_weight(&self) -> f64 {
        8.0 * self.bytes() as f64 / (self.rows() * self.cols()).max(1) as f64
    }

    /// The whole weight as f32: for tests, `inspect` and operators that have no few-bit kernel.
    pub fn to_dense(&self) -> Result<Tensor> {
        let (rows, cols) = (self.rows(), self.cols());
        let mut data = vec![0f32; rows * cols];
        if cols > 0 {
            for (row, out) in data.chunks_exact_mut(cols).enumerate() {
                self.as_encoding().decode(row, 0, out);
            }
        }
        Tensor::new(self.shape(), &data)
    }
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.as_encoding().name(), self.shape())
    }
}
