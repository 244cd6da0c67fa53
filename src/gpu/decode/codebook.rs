//! Stage: `shaders/decode/codebook.wgsl`.

use super::coded::{ALL, Coded};
use super::window::Window;
use crate::Result;
use crate::gpu::emit::{Emit, u32_of};
use crate::gpu::shader::Stage;
use crate::weights::Codebook;

pub fn coded(e: &mut Emit, window: &Window, w: &Codebook) -> Result<Coded> {
    let shift = [8, 16].iter().position(|&group| group == w.group()).filter(|_| matches!(w.bits(), 8 | 16));
    let shift = shift.ok_or_else(|| e.unsupported(format!("weights of {:?}", window.encoded)))?;
    Ok(Coded {
        stage: Stage::Codebook,
        form: [u32_of(window.height())?, u32_of(w.count())?, 0, 0],
        span: ALL,
        operands: vec![e.columns(window, "codes")?, e.part(window, "books")?, e.factors(window, "scales")?],
        overrides: vec![("CODE_BITS", w.bits().into()), ("ENTRY_SHIFT", (3 + shift) as f64)],
        fours: false,
        bulky: false,
        held: None,
    })
}
