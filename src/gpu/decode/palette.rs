//! Stage: `shaders/decode/palette.wgsl`.

use super::coded::{Coded, shift_of, span_of};
use super::window::Window;
use crate::Result;
use crate::gpu::columns;
use crate::gpu::emit::{Emit, u32_of};
use crate::gpu::shader::Stage;
#[cfg(feature = "full")]
use crate::tensor::Tensor;
use crate::weights::Palette;

pub fn coded(e: &mut Emit, window: &Window, w: &Palette) -> Result<Coded> {
    let shift = w.scale().map_or(Some(31), |scale| shift_of(scale.group, window.cols()));
    let shift = shift.ok_or_else(|| e.unsupported(format!("weights of {:?}", window.encoded)))?;
    let rows = window.rows();
    let one_table = w.rows_per_table() >= rows;
    let held = match w.bits() {
        _ if !one_table || w.dim() > 1 => [0.0, 0.0],
        1..=2 => [1.0, 2.0],
        3..=4 => [1.0, 0.0],
        _ => [0.0, 0.0],
    };
    Ok(Coded {
        stage: Stage::Palette,
        form: [
            u32_of(columns::height(rows.div_ceil(w.dim())))?,
            u32_of(w.rows_per_table())?,
            u32_of(window.height())?,
            shift,
        ],
        span: span_of(shift),
        operands: vec![e.columns(window, "codes")?, e.part(window, "table")?, e.factors(window, "scale")?],
        overrides: vec![
            ("BITS", w.bits().into()),
            ("ONE_TABLE", u32::from(one_table).into()),
            ("DIM_SHIFT", w.dim().ilog2().into()),
            ("SCALED", u32::from(w.scale().is_some()).into()),
        ],
        fours: w.dim() == 1,
        bulky: false,
        held: Some(held),
    })
}

/// With bytes for values; `None` for several tables, or vectors.
#[cfg(feature = "full")]
pub fn byte_coded(e: &mut Emit, window: &Window, w: &Palette) -> Result<Option<Coded>> {
    if w.dim() != 1 || w.rows_per_table() < window.rows() {
        return Ok(None);
    }
    let bits = w.bits();
    let make = |table: &Tensor| Ok(byte_table(table.slice::<f32>()?, bits));
    let table = e.stored(window, "table", "bytes of codes", &make)?;
    let mut weight = coded(e, window, w)?;
    weight.operands[1] = table;
    weight.overrides.retain(|(name, _)| matches!(*name, "BITS" | "SCALED"));
    Ok(Some(weight))
}

/// What `four_bytes` of the stage looks up: the step of the bytes, then the bytes of one, two or four codes a word.
#[cfg(feature = "full")]
fn byte_table(table: &[f32], bits: u32) -> Vec<u8> {
    const LARGEST: f32 = 127.0;
    let at_once = match bits {
        0..=2 => 4,
        3..=4 => 2,
        _ => 1,
    };
    let step = table.iter().fold(0f32, |most, v| most.max(v.abs())) / LARGEST;
    let byte = |code: u32| {
        let value = table.get(code as usize).copied().unwrap_or(0.0);
        if step > 0.0 { (value / step).round() as i8 as u8 } else { 0 }
    };
    let mask = (1u32 << bits) - 1;
    let entry = |codes: u32| (0..at_once).map(|i| u32::from(byte(codes >> (i * bits) & mask)) << (8 * i)).sum();
    let entries = (0..1u32 << (at_once * bits)).map(entry);
    std::iter::once(step.to_bits()).chain(entries).flat_map(u32::to_le_bytes).collect()
}

#[cfg(all(test, feature = "full"))]
mod tests {
    use super::*;

    #[test]
    fn a_word_holds_the_bytes_of_several_codes() {
        let words = byte_table(&[-1.0, 0.0, 0.5, 2.0], 2);
        let word = |i: usize| <[i8; 4]>::try_from(bytemuck::cast_slice::<u8, i8>(&words[4 * i..4 * i + 4])).unwrap();
        assert_eq!(words.len(), 4 * 257);
        // Codes 3, 0, 2, 1 from the lowest on.
        assert_eq!(word(1 + 0b01_10_00_11), [127, -64, 32, 0]);
        assert_eq!(byte_table(&[0.0; 16], 4)[4..], [0; 1024]);
    }
}
