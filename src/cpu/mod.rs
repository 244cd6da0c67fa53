//! Floor 4: the CPU backend. One file per operator family, twin of `gpu/` and `shaders/`.
//!
//! A scalar reference defines each operator; SIMD versions serve people without a GPU.

pub mod axis;
pub mod binary;
pub mod call;
pub mod cast;
pub mod channel_norm;
mod elementwise;
pub mod layer_norm;
pub mod loss;
mod math;
mod number;
pub mod program;
pub mod quantize;
pub mod reduce;
pub mod threads;
pub mod unary;
mod walk;

pub use call::{Arg, Call, Kernel, Prepare, Prepared};
pub use program::Program;
pub use threads::Threads;

/// Every family registers its kernels here: one line each.
const FAMILIES: &[&[Kernel]] = &[
    unary::KERNELS,
    binary::KERNELS,
    cast::KERNELS,
    reduce::KERNELS,
    axis::KERNELS,
    layer_norm::KERNELS,
    channel_norm::KERNELS,
    quantize::KERNELS,
    loss::KERNELS,
];

/// The kernel of an operator, if it is implemented.
pub fn find(op: &str) -> Option<&'static Kernel> {
    FAMILIES.iter().copied().flatten().find(|k| k.op == op)
}
