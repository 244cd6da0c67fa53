//! Floor 8: from photos to input tensors.

#[cfg(feature = "cli")]
pub mod decode;
pub mod input;
#[cfg(feature = "cli")]
mod jpeg;
#[cfg(feature = "cli")]
mod limit;
pub mod photo;
pub mod resize;

pub use input::image_tensor;
pub use photo::Photo;
