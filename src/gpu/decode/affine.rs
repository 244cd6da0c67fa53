//! Stage: `shaders/decode/affine.wgsl`.

use super::coded::{Coded, shift_of, span_of};
use super::window::Window;
use crate::Result;
use crate::gpu::emit::{Emit, u32_of};
use crate::gpu::shader::Stage;
use crate::weights::{Affine, Zero};

pub fn coded(e: &mut Emit, window: &Window, w: &Affine) -> Result<Coded> {
    let (zero, zeros) = match w.zero() {
        Zero::Middle => (0u32, e.absent()),
        Zero::PerGroup(_) => (1, e.columns(window, "zeros")?),
        Zero::Offset(_) => (2, e.factors(window, "offsets")?),
    };
    let shift = shift_of(w.group(), window.cols());
    Ok(Coded {
        stage: Stage::Affine,
        form: [u32_of(window.height())?, u32_of(w.group())?, shift.unwrap_or(0), 0],
        span: shift.map_or(8, span_of),
        operands: vec![e.columns(window, "codes")?, e.factors(window, "scales")?, zeros],
        overrides: vec![
            ("BITS", w.bits().into()),
            ("ZERO", zero.into()),
            ("RAGGED", u32::from(shift.is_none()).into()),
        ],
        fours: shift.is_some(),
        bulky: false,
        held: None,
    })
}

/// As bytes; `None` for groups of odd lengths.
#[cfg(feature = "full")]
pub fn byte_coded(e: &mut Emit, window: &Window, w: &Affine) -> Result<Option<Coded>> {
    let mut weight = coded(e, window, w)?;
    weight.overrides.retain(|(name, _)| *name != "RAGGED");
    Ok(Some(weight).filter(|weight| weight.fours))
}
