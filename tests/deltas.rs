//! Deltas on a loaded model: what each kind gives beside a reference in f64, how small its file is, that the base comes back to
//! the bit, and that files of other models and broken ones are refused.
//!
//! `FEWBIT_TEST_DEVICE=gpu` takes the adapter.

#![cfg(all(feature = "full", feature = "cli"))]
#![allow(clippy::unwrap_used)]

#[path = "deltas/adapter.rs"]
mod adapter;
#[path = "deltas/commands.rs"]
mod commands;
#[path = "deltas/files.rs"]
mod files;
#[path = "deltas/kinds.rs"]
mod kinds;
#[path = "deltas/models.rs"]
mod models;
#[path = "deltas/soups.rs"]
mod soups;
#[path = "deltas/swap.rs"]
mod swap;
