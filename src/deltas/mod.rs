//! Floor 6: deltas. What fine-tuning changed in a model, as little as it takes, put on the model that is loaded and taken off
//! again: the base's tensors are never written, so it stays as it was to the bit.
//!
//! `Base::apply` makes a graph that shares every unchanged tensor with the base; `Session::swap` runs it, and
//! `Session::revert` the base again. Their files are `formats::delta` and `formats::peft`.

mod base;
mod branch;
mod change;
mod identity;
mod low_rank;
mod make;
mod names;
mod part;
mod positions;
mod rice;
mod rows;
mod soup;
mod sparse;
mod ternary;

pub use base::Base;
pub use change::{Change, Delta};
pub use identity::identity;
pub use low_rank::LowRank;
pub use make::{Kind, Made, make};
pub use names::Names;
pub use rows::Rows;
pub use soup::{blend, mean};
pub use sparse::Sparse;
pub use ternary::Ternary;
