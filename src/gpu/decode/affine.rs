//! Stage: `shaders/decode/affine.wgsl`.

use super::coded::Coded;
use crate::Result;
use crate::gpu::emit::{Emit, u32_of};
use crate::gpu::shader::Stage;
use crate::weights::{Affine, Encoded, Zero};

pub fn coded(e: &mut Emit, encoded: &Encoded, w: &Affine) -> Result<Coded> {
    let (zero, zeros) = match w.zero() {
        Zero::Middle => (0u32, e.absent()),
        Zero::PerGroup(_) => (1, e.columns(encoded, "zeros")?),
        Zero::Offset(_) => (2, e.factors(encoded, "offsets")?),
    };
    let group = w.group();
    let shift = if group.is_power_of_two() && group >= 8 { group.ilog2() } else { 0 };
    Ok(Coded {
        stage: Stage::Affine,
        form: [u32_of(encoded.rows())?, u32_of(group)?, 0, 0],
        operands: vec![e.columns(encoded, "codes")?, e.factors(encoded, "scales")?, zeros],
        overrides: vec![("BITS", w.bits().into()), ("ZERO", zero.into()), ("GROUP_SHIFT", shift.into())],
    })
}
