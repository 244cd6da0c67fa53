//! The registry: every family's kernels.

use super::emit::GpuKernel;

/// Every family registers its kernels here: one line each.
#[rustfmt::skip]
const FAMILIES: &[&[GpuKernel]] = &[
    super::binary::KERNELS,
    super::cast::KERNELS,
    super::gather::KERNELS,
    super::lookup::KERNELS,
    super::movement::KERNELS,
    super::pool::KERNELS,
    super::resize::KERNELS,
    super::unary::KERNELS,
const FAMILIES: &[&[GpuKernel]] = &[
    super::unary::KERNELS,
    super::binary::KERNELS,
    super::cast::KERNELS,
    super::reduce::KERNELS,
    super::axis::KERNELS,
    super::norm::KERNELS,
    super::quantize::KERNELS,
];

/// The kernel of an operator, if it is implemented.
pub fn find(op: &str) -> Option<&'static GpuKernel> {
    FAMILIES.iter().copied().flatten().find(|k| k.op == op)
}
