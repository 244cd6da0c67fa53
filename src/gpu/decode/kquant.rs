//! Stage: `shaders/decode/kquant.wgsl`.

use super::coded::Coded;
use crate::Result;
use crate::gpu::emit::{Emit, u32_of};
use crate::gpu::shader::Stage;
use crate::weights::{Encoded, KQuant};

pub fn coded(e: &mut Emit, encoded: &Encoded, w: &KQuant) -> Result<Coded> {
    let scales = encoded.cols().div_ceil(w.group()) * if w.minima() { 2 } else { 1 };
    Ok(Coded {
        stage: Stage::Kquant,
        form: [u32_of(encoded.rows())?, 0, 0, 0],
        operands: vec![
            e.columns(encoded, "codes")?,
            e.byte_columns(encoded, "scales", scales, w.scale_bits())?,
            e.columns(encoded, "supers")?,
        ],
        overrides: vec![
            ("BITS", w.bits().into()),
            ("MINIMA", u32::from(w.minima()).into()),
            ("SCALE_BITS", w.scale_bits().into()),
            ("GROUP_SHIFT", w.group().ilog2().into()),
        ],
    })
}
