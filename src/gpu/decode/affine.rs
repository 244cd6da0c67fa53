//! Stage: `shaders/decode/affine.wgsl`.

use super::coded::Coded;
use crate::Result;
use crate::gpu::emit::{Emit, u32_of};
use crate::gpu::shader::Stage;
use crate::tensor::DType;
use crate::weights::{Affine, Encoded, Zero};

pub fn coded(e: &mut Emit, encoded: &Encoded, w: &Affine) -> Result<Coded> {
    if w.scales().dtype() != DType::F16 || matches!(w.zero(), Zero::Offset(_)) {
        return Err(e.unsupported(format!("weights of {encoded:?}")));
    }
    let words = w.codes().shape()[1] / 4;
    let asymmetric = matches!(w.zero(), Zero::PerGroup(_));
    Ok(Coded {
        stage: Stage::Affine,
        form: [u32_of(words)?, u32_of(w.group())?, u32_of(w.groups())?, asymmetric.into()],
        operands: vec![e.part(encoded, "codes")?, e.part(encoded, "scales")?, e.part(encoded, "zeros")?],
        overrides: vec![("BITS", w.bits().into())],
    })
}
