//! The registry: every family's kernels.

use super::emit::GpuKernel;

/// Every family registers its kernels here: one line each.
#[rustfmt::skip]
const FAMILIES: &[&[GpuKernel]] = &[
    super::attention::KERNELS,
    super::axis::KERNELS,
    super::binary::KERNELS,
    #[cfg(feature = "full")]
    super::cached_attention::KERNELS,
    super::cast::KERNELS,
    super::conv::KERNELS,
    super::conv_transpose::KERNELS,
    #[cfg(feature = "full")]
    super::draw_token::KERNELS,
    #[cfg(feature = "full")]
    super::gated_conv::KERNELS,
    super::gather::KERNELS,
    super::gather_nd::KERNELS,
    super::gemm::KERNELS,
    super::linear::KERNELS,
    super::lookup::KERNELS,
    super::matmul_integer::KERNELS,
    super::movement::KERNELS,
    #[cfg(feature = "full")]
    super::next_token::KERNELS,
    super::norm::KERNELS,
    super::pool::KERNELS,
    super::quantize::KERNELS,
    super::reduce::KERNELS,
    super::resize::KERNELS,
    #[cfg(feature = "full")]
    super::rotary::KERNELS,
    super::select::KERNELS,
    #[cfg(feature = "full")]
    super::token_scores::KERNELS,
    #[cfg(feature = "full")]
    super::tokens::KERNELS,
    super::unary::KERNELS,
];

/// The kernel of an operator, if it is implemented.
pub fn find(op: &str) -> Option<&'static GpuKernel> {
    FAMILIES.iter().copied().flatten().find(|k| k.op == op)
}
