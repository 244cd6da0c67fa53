//! Stage: `shaders/decode/palette.wgsl`.

use super::coded::Coded;
use crate::Result;
use crate::gpu::emit::{Emit, u32_of};
use crate::gpu::shader::Stage;
use crate::weights::{Encoded, Palette};

pub fn coded(e: &mut Emit, encoded: &Encoded, w: &Palette) -> Result<Coded> {
    if w.dim() > 1 || w.scales_per_row() > 1 {
        return Err(e.unsupported(format!("weights of {encoded:?}")));
    }
    Ok(Coded {
        stage: Stage::Palette,
        form: [u32_of(encoded.rows())?, u32_of(w.rows_per_table())?, 0, u32::from(w.scale().is_some())],
        operands: vec![e.columns(encoded, "codes")?, e.part(encoded, "table")?, e.factors(encoded, "scale")?],
        overrides: vec![("BITS", w.bits().into())],
    })
}
