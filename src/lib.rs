//! Runs models compressed to 1–4 bits per weight on the GPU that is there, and fast on the CPU where there is none.
//!
//! The floors, from the ground up; a module imports only floors below its own (`tests/floors.rs` holds this):
//! `tensor` → `weights` → `graph`, `ops` → `cpu`, `gpu` → `runtime` → `deltas`, `formats`, `models` → `compress` →
//! `vision`, `text`, `audio`, `tasks` → `js`, `bin/fewbit`.
#![forbid(unsafe_op_in_unsafe_fn)]

pub mod clock;
pub mod error;
pub use error::{Error, Result};

pub mod tensor;
pub mod weights;

pub mod graph;
pub mod ops;

pub mod cpu;
#[cfg(feature = "gpu")]
pub mod gpu;

pub mod runtime;
pub use graph::Model;
pub use runtime::{Device, Session};
pub use tensor::Tensor;

#[cfg(feature = "cli")]
pub mod compress;
#[cfg(feature = "full")]
pub mod deltas;
pub mod formats;
pub mod models;

#[cfg(feature = "audio")]
pub mod audio;
pub mod tasks;
#[cfg(feature = "text")]
pub mod text;
pub mod vision;

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "js")]
pub mod js;
