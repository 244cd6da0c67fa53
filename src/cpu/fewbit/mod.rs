//! Products with few-bit weights that are decoded in registers: no decoded weight is written to memory.

mod activations;
pub use activations::Activations;

#[cfg(target_arch = "x86_64")]
mod blocks;
#[cfg(target_arch = "x86_64")]
mod byte_products;
#[cfg(target_arch = "x86_64")]
mod byte_rows;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod bytes;
#[cfg(target_arch = "x86_64")]
mod dots;
#[cfg(not(target_arch = "x86_64"))]
mod narrow;
#[cfg(target_arch = "aarch64")]
mod narrow_bytes;
#[cfg(target_arch = "x86_64")]
mod panel;
#[cfg(any(target_arch = "x86_64", feature = "full"))]
pub mod parts;
#[cfg(target_arch = "x86_64")]
mod product;
#[cfg(target_arch = "x86_64")]
mod rows;
mod source;
#[cfg(all(target_arch = "wasm32", feature = "full"))]
mod split_rows;
mod sums;
#[cfg(target_arch = "x86_64")]
mod tiles;

pub use source::Source;

#[cfg(not(target_arch = "x86_64"))]
pub use narrow::product;
#[cfg(target_arch = "x86_64")]
pub use {panel::panel, product::product};
