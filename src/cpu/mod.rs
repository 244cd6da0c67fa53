//! Floor 4: the CPU backend. One file per operator family, twin of `gpu/` and `shaders/`.
//!
//! A scalar reference defines each operator; SIMD versions serve people without a GPU.

pub mod attention;
pub mod axis;
pub mod binary;
pub mod call;
pub mod cast;
pub mod channel_norm;
pub mod conv;
pub mod decode;
mod elementwise;
pub mod gemm;
pub mod integer;
pub mod layer_norm;
pub mod linear;
pub mod loss;
mod math;
mod number;
pub mod numeric;
pub mod product;
pub mod program;
pub mod quantize;
pub mod reduce;
pub mod rotary;
pub mod simd;
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
    attention::KERNELS,
    conv::KERNELS,
    integer::KERNELS,
    linear::KERNELS,
    product::KERNELS,
    rotary::KERNELS,
];

/// The kernel of an operator, if it is implemented.
pub fn find(op: &str) -> Option<&'static Kernel> {
    FAMILIES.iter().copied().flatten().find(|k| k.op == op)
}
