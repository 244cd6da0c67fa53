//! Floor 8: from photos to input tensors.

#[cfg(feature = "cli")]
pub mod decode;
#[cfg(feature = "text")]
mod glance;
pub mod input;
#[cfg(feature = "cli")]
mod jpeg;
#[cfg(feature = "cli")]
mod labelled;
#[cfg(feature = "cli")]
mod limit;
#[cfg(feature = "text")]
mod patches;
pub mod photo;
pub mod resize;
#[cfg(feature = "text")]
mod tiles;

#[cfg(feature = "text")]
pub use glance::Glance;
pub use input::image_tensor;
#[cfg(feature = "cli")]
pub use labelled::{Labelled, Part};
pub use photo::Photo;
