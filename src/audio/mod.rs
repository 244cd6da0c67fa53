//! Floor 8: sound. Files to samples, piece by piece; other rates to 16 kHz; samples to log-mel windows.

mod file;
mod mel;
mod resample;
mod sound;

pub use mel::LogMel;
pub use resample::Resampler;
pub use sound::{RATE, Sound};
