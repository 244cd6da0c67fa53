//! Floor 8: whole tasks, from what a person has to what a person wants.

#[cfg(feature = "cli")]
pub mod accuracy;
#[cfg(feature = "text")]
pub mod ahead;
#[cfg(feature = "text")]
pub mod beams;
#[cfg(feature = "audio")]
pub mod caption;
#[cfg(feature = "audio")]
mod captioner;
pub mod classify;
#[cfg(feature = "cli")]
pub mod compare;
#[cfg(feature = "cli")]
pub mod conformance;
#[cfg(feature = "full")]
pub mod decoder;
#[cfg(feature = "text")]
pub mod describe;
#[cfg(feature = "full")]
pub mod early_exit;
#[cfg(feature = "text")]
pub mod generate;
#[cfg(feature = "text")]
pub mod language;
#[cfg(feature = "text")]
mod noise;
#[cfg(all(feature = "full", feature = "cli"))]
pub mod perplexity;
#[cfg(feature = "full")]
pub mod places;
#[cfg(all(feature = "audio", feature = "cli"))]
pub mod sound_windows;
#[cfg(feature = "text")]
pub mod stop;
#[cfg(feature = "audio")]
mod timestamps;
#[cfg(all(feature = "full", feature = "cli"))]
pub mod token_schedule;
#[cfg(feature = "audio")]
mod whisper_tokens;
#[cfg(all(feature = "text", feature = "cli"))]
pub mod windows;

#[cfg(feature = "audio")]
pub use caption::Transcriber;
#[cfg(feature = "audio")]
pub use captioner::Captioner;
pub use classify::{Classifier, Prediction};
#[cfg(feature = "full")]
pub use decoder::Decoder;
#[cfg(feature = "text")]
pub use describe::Describer;
#[cfg(feature = "full")]
pub use early_exit::EarlyExit;
#[cfg(feature = "text")]
pub use generate::Generator;
#[cfg(feature = "text")]
pub use language::Language;
#[cfg(all(feature = "audio", feature = "cli"))]
pub use sound_windows::sound_windows;
#[cfg(all(feature = "text", feature = "cli"))]
pub use windows::{lessons, windows};
