//! The registry: every family's kernels.

use super::emit::GpuKernel;

/// Every family registers its kernels here: one line each.
const FAMILIES: &[&[GpuKernel]] = &[super::unary::KERNELS, super::binary::KERNELS, super::cast::KERNELS];

/// The kernel of an operator, if it is implemented.
pub fn find(op: &str) -> Option<&'static GpuKernel> {
    FAMILIES.iter().copied().flatten().find(|k| k.op == op)
}
