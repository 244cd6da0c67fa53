//! Stage: `shaders/decode/dual.wgsl`.

use super::coded::{Coded, shift_of, span_of};
use super::window::Window;
use crate::Result;
use crate::gpu::emit::{Emit, u32_of};
use crate::gpu::shader::Stage;
use crate::weights::{Dual, dual};

pub fn coded(e: &mut Emit, window: &Window, w: &Dual) -> Result<Coded> {
    let shift = shift_of(w.group(), window.cols());
    let shift = shift.ok_or_else(|| e.unsupported(format!("weights of {:?}", window.encoded)))?;
    Ok(Coded {
        stage: Stage::Dual,
        form: [u32_of(window.height())?, shift, 0, 0],
        span: span_of(shift),
        operands: vec![e.columns(window, "codes")?, e.columns(window, "grid")?, e.factors(window, "channel")?],
        overrides: vec![("BITS", dual::BITS.into())],
        fours: true,
        bulky: false,
        held: None,
    })
}
