//! Stage: `shaders/decode/palette.wgsl`.

use super::coded::{Coded, shift_of, span_of};
use super::window::Window;
use crate::Result;
use crate::gpu::emit::{Emit, u32_of};
use crate::gpu::shader::Stage;
use crate::weights::Palette;

pub fn coded(e: &mut Emit, window: &Window, w: &Palette) -> Result<Coded> {
    let shift = w.scale().map_or(Some(31), |scale| shift_of(scale.group, window.cols()));
    let shift = shift.ok_or_else(|| e.unsupported(format!("weights of {:?}", window.encoded)))?;
    let rows = window.rows();
    let one_table = w.rows_per_table() >= rows;
    Ok(Coded {
        stage: Stage::Palette,
        form: [u32_of(rows.div_ceil(w.dim()))?, u32_of(w.rows_per_table())?, u32_of(rows)?, shift],
        span: span_of(shift),
        operands: vec![e.columns(window, "codes")?, e.part(window, "table")?, e.factors(window, "scale")?],
        overrides: vec![
            ("BITS", w.bits().into()),
            ("ONE_TABLE", u32::from(one_table).into()),
            ("DIM_SHIFT", w.dim().ilog2().into()),
            ("SCALED", u32::from(w.scale().is_some()).into()),
        ],
        holdable: Some(one_table && w.dim() == 1 && w.bits() <= 4),
    })
}
