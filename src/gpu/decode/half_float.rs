//! Stage: `shaders/decode/half_float.wgsl`.

use super::coded::{ALL, Coded};
use super::window::Window;
use crate::Result;
use crate::gpu::emit::{Emit, u32_of};
use crate::gpu::shader::Stage;

pub fn coded(e: &mut Emit, window: &Window) -> Result<Coded> {
    Ok(Coded {
        stage: Stage::HalfFloat,
        form: [u32_of(window.height())?, 0, 0, 0],
        span: ALL,
        operands: vec![e.columns(window, "values")?],
        overrides: Vec::new(),
        fours: false,
        bulky: false,
        held: None,
    })
}
