//! Floor 4: the CPU backend. One file per operator family, twin of `gpu/` and `shaders/`.
//!
//! A scalar reference defines each operator; SIMD versions serve people without a GPU.

pub mod attention;
pub mod axis;
pub mod binary;
#[cfg(feature = "full")]
pub mod blocks;
#[cfg(feature = "full")]
pub mod cached_attention;
#[cfg(feature = "full")]
pub mod caches;
pub mod call;
pub mod cast;
#[cfg(feature = "cli")]
pub mod ceilings;
pub mod channel_norm;
pub mod conv;
pub mod decode;
#[cfg(feature = "full")]
pub mod draw_token;
#[cfg(feature = "full")]
pub mod einsum;
mod elementwise;
pub mod fewbit;
#[cfg(feature = "full")]
mod floats;
pub mod gather;
pub mod gemm;
#[cfg(feature = "full")]
pub mod grid_sample;
#[cfg(target_arch = "x86_64")]
pub mod halves;
pub mod integer;
pub mod layer_norm;
pub mod layout;
pub mod linear;
#[cfg(feature = "full")]
pub mod loss;
mod math;
pub mod matvec;
pub mod movement;
#[cfg(feature = "full")]
pub mod next_token;
mod number;
pub mod numeric;
pub mod packs;
pub mod pad;
pub mod pairs;
mod panel_codes;
pub mod pool;
pub mod product;
pub mod program;
pub mod quantize;
#[cfg(feature = "full")]
pub mod recurrent;
pub mod reduce;
#[cfg(feature = "full")]
pub mod region;
pub mod resize;
pub mod rotary;
pub mod scatter;
pub mod select;
pub mod shape;
#[cfg(feature = "full")]
pub mod signal;
pub mod simd;
#[cfg(all(target_arch = "x86_64", feature = "full"))]
pub mod sparse;
pub mod strided;
pub mod threads;
#[cfg(feature = "full")]
pub mod token_scores;
#[cfg(feature = "full")]
pub mod tokens;
pub mod unary;
#[cfg(feature = "full")]
pub mod unique;
mod vector;

pub use call::{Arg, Call, Kernel, Prepare};
pub use packs::{Packs, Prepared};
pub use program::Program;
pub use threads::Threads;

/// Every family registers its kernels here: one line each.
#[rustfmt::skip]
const FAMILIES: &[&[Kernel]] = &[
    attention::KERNELS,
    axis::KERNELS,
    binary::KERNELS,
    #[cfg(feature = "full")]
    cached_attention::KERNELS,
    cast::KERNELS,
    channel_norm::KERNELS,
    conv::KERNELS,
    #[cfg(feature = "full")]
    conv::gated::KERNELS,
    gather::KERNELS,
    integer::KERNELS,
    layer_norm::KERNELS,
    linear::KERNELS,
    #[cfg(feature = "full")]
    loss::KERNELS,
    movement::KERNELS,
    #[cfg(feature = "full")]
    next_token::KERNELS,
    pad::KERNELS,
    product::KERNELS,
    quantize::KERNELS,
    reduce::KERNELS,
    rotary::KERNELS,
    scatter::KERNELS,
    select::KERNELS,
    pool::KERNELS,
    resize::KERNELS,
    #[cfg(feature = "full")]
    grid_sample::KERNELS,
    #[cfg(feature = "full")]
    region::KERNELS,
    #[cfg(feature = "full")]
    recurrent::KERNELS,
    #[cfg(feature = "full")]
    signal::KERNELS,
    #[cfg(feature = "full")]
    draw_token::KERNELS,
    #[cfg(feature = "full")]
    einsum::KERNELS,
    shape::KERNELS,
    #[cfg(feature = "full")]
    token_scores::KERNELS,
    #[cfg(feature = "full")]
    tokens::KERNELS,
    unary::KERNELS,
    #[cfg(feature = "full")]
    unique::KERNELS,
];

/// The kernel of an operator, if it is implemented.
pub fn find(op: &str) -> Option<&'static Kernel> {
    FAMILIES.iter().copied().flatten().find(|k| k.op == op)
}
