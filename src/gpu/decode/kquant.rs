//! Stage: `shaders/decode/kquant.wgsl`.

use super::coded::Coded;
use super::window::Window;
use crate::Result;
use crate::gpu::emit::{Emit, u32_of};
use crate::gpu::shader::Stage;
use crate::weights::KQuant;

pub fn coded(e: &mut Emit, window: &Window, w: &KQuant) -> Result<Coded> {
    let scales = window.cols().div_ceil(w.group()) * if w.minima() { 2 } else { 1 };
    Ok(Coded {
        stage: Stage::Kquant,
        form: [u32_of(window.height())?, 0, 0, 0],
        span: u32_of(w.group())?,
        operands: vec![
            e.columns(window, "codes")?,
            e.byte_columns(window, "scales", scales, w.scale_bits())?,
            e.columns(window, "supers")?,
        ],
        overrides: vec![
            ("BITS", w.bits().into()),
            ("MINIMA", u32::from(w.minima()).into()),
            ("SCALE_BITS", w.scale_bits().into()),
            ("GROUP_SHIFT", w.group().ilog2().into()),
        ],
        fours: true,
        bulky: false,
        held: None,
    })
}
