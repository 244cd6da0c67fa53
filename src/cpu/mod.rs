//! Floor 4: the CPU backend. One file per operator family, twin of `gpu/` and `shaders/`.
//!
//! A scalar reference defines each operator; SIMD versions serve people without a GPU.

pub mod binary;
pub mod call;
pub mod cast;
mod elementwise;
mod math;
mod number;
pub mod program;
pub mod threads;
pub mod unary;
mod walk;

pub use call::{Arg, Call, Kernel, Prepare, Prepared};
pub use program::Program;
pub use threads::Threads;

/// Every family registers its kernels here: one line each.
const FAMILIES: &[&[Kernel]] = &[unary::KERNELS, binary::KERNELS, cast::KERNELS];

/// The kernel of an operator, if it is implemented.
pub fn find(op: &str) -> Option<&'static Kernel> {
    FAMILIES.iter().copied().flatten().find(|k| k.op == op)
}
