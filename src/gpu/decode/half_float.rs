//! Stage: `shaders/decode/half_float.wgsl`.

use super::coded::Coded;
use crate::Result;
use crate::gpu::emit::{Emit, u32_of};
use crate::gpu::shader::Stage;
use crate::weights::Encoded;

pub fn coded(e: &mut Emit, encoded: &Encoded) -> Result<Coded> {
    Ok(Coded {
        stage: Stage::HalfFloat,
        form: [u32_of(encoded.rows())?, 0, 0, 0],
        operands: vec![e.columns(encoded, "values")?],
        overrides: Vec::new(),
    })
}
