//! The axes of a convolution as its shaders take them.

use super::emit::u32_of;
use crate::Result;
use crate::ops::conv::ConvAxis;

/// A property of depth, height and width, and a fourth number.
pub fn sizes(axes: &[ConvAxis; 3], of: fn(&ConvAxis) -> usize, last: usize) -> Result<[u32; 4]> {
    Ok([u32_of(of(&axes[0]))?, u32_of(of(&axes[1]))?, u32_of(of(&axes[2]))?, u32_of(last)?])
}

/// Padding before depth, height and width.
pub fn pads(axes: &[ConvAxis; 3]) -> [i32; 4] {
    let pad = |a: &ConvAxis| i32::try_from(a.pad).unwrap_or(i32::MAX);
    [pad(&axes[0]), pad(&axes[1]), pad(&axes[2]), 0]
}
