//! The precision of activations.

/// Which activations a product works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activations {
    F32,
    /// Rounded to 8 bits in blocks of at most 128, where there are kernels for it; else f32.
    Int8,
}
