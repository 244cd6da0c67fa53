//! Stage: `shaders/decode/codebook.wgsl`.

use super::coded::Coded;
use crate::Result;
use crate::gpu::emit::{Emit, u32_of};
use crate::gpu::shader::Stage;
use crate::weights::{Codebook, Encoded};

pub fn coded(e: &mut Emit, encoded: &Encoded, w: &Codebook) -> Result<Coded> {
    let shift = [8, 16].iter().position(|&group| group == w.group()).filter(|_| matches!(w.bits(), 8 | 16));
    let shift = shift.ok_or_else(|| e.unsupported(format!("weights of {encoded:?}")))?;
    Ok(Coded {
        stage: Stage::Codebook,
        form: [u32_of(encoded.rows())?, u32_of(w.count())?, 0, 0],
        operands: vec![e.columns(encoded, "codes")?, e.part(encoded, "books")?, e.factors(encoded, "scales")?],
        overrides: vec![("CODE_BITS", w.bits().into()), ("ENTRY_SHIFT", (3 + shift) as f64)],
    })
}
