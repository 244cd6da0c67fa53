//! The registry: every family's kernels.

use super::emit::GpuKernel;

/// Every family registers its kernels here: one line each.
const FAMILIES: &[&[GpuKernel]] = &[super::activation::KERNELS];

/// The kernel of an operator, if it is implemented.
pub fn find(op: &str) -> Option<&'static GpuKernel> {
    FAMILIES.iter().copied().flatten().find(|k| k.op == op)
}
