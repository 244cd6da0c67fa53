//! Floor 2: few-bit weight encodings. One file each: its fields, its size, its scalar `decode`, which defines it.
//!
//! A weight of logical shape `[rows, …]` is a matrix `[rows, cols]` (`cols` = product of the rest). Codes lie along
//! `cols`; each row starts at a 32-bit boundary, so a kernel reads whole words and a file streams straight to the GPU.

pub mod affine;
mod encoding;
pub mod half_float;
pub mod palette;

use std::fmt;

pub use affine::Affine;
pub use encoding::Encoding;
pub use half_float::HalfFloat;
pub use palette::Palette;

use encoding::{matrix, row_stride};

use crate::Result;
use crate::tensor::Tensor;

/// A weight in one of the encodings.
#[derive(Clone)]
pub enum Encoded {
    Palette(Palette),
    Affine(Affine),
    HalfFloat(HalfFloat),
}

impl Encoded {
    pub fn as_encoding(&self) -> &dyn Encoding {
        match self {
            Encoded::Palette(w) => w,
            Encoded::Affine(w) => w,
            Encoded::HalfFloat(w) => w,
        }
    }

    pub fn shape(&self) -> &[usize] {
        self.as_encoding().shape()
    }

    pub fn rows(&self) -> usize {
        self.shape().first().copied().unwrap_or(1)
    }

    pub fn cols(&self) -> usize {
        self.shape().iter().skip(1).product()
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
