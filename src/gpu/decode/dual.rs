//! Stage: `shaders/decode/dual.wgsl`.

use super::coded::{Coded, shift_of};
use crate::Result;
use crate::gpu::emit::{Emit, u32_of};
use crate::gpu::shader::Stage;
use crate::weights::{Dual, Encoded, dual};

pub fn coded(e: &mut Emit, encoded: &Encoded, w: &Dual) -> Result<Coded> {
    let shift = shift_of(w.group(), encoded.cols());
    let shift = shift.ok_or_else(|| e.unsupported(format!("weights of {encoded:?}")))?;
    Ok(Coded {
        stage: Stage::Dual,
        form: [u32_of(encoded.rows())?, shift, 0, 0],
        operands: vec![e.columns(encoded, "codes")?, e.columns(encoded, "grid")?, e.factors(encoded, "channel")?],
        overrides: vec![("BITS", dual::BITS.into())],
    })
}
