//! Floor 8: whole tasks, from what a person has to what a person wants.

pub mod classify;
#[cfg(feature = "cli")]
pub mod compare;
#[cfg(feature = "cli")]
pub mod conformance;

pub use classify::{Classifier, Prediction};
