//! Stage: `shaders/decode/half_float.wgsl`.

use super::coded::Coded;
use crate::Result;
use crate::gpu::emit::{Emit, u32_of};
use crate::gpu::shader::Stage;
use crate::weights::{Encoded, HalfFloat};

pub fn coded(e: &mut Emit, encoded: &Encoded, w: &HalfFloat) -> Result<Coded> {
    let words = w.values().shape()[1] / 2;
    let form = [u32_of(words)?, 0, 0, 0];
    Ok(Coded { stage: Stage::HalfFloat, form, operands: vec![e.part(encoded, "values")?], overrides: Vec::new() })
}
