//! Palette weights whose codes lie in the order of panels: decoding is a lookup per code and a factor per lane, and
//! transposes nothing. The codes take as many bits as they do in the model.

use super::gemm::{Pack, PanelSpan};
use super::simd::{Level, lookup, unpack};
use crate::tensor::bits;
use crate::weights::{Encoding, Palette};

/// Codes that are spread at once: a multiple of every panel's width that stays in the first-level cache.
const STRETCH: usize = 1024;

pub struct PanelCodes {
    bits: u32,
    width: usize,
    depth: usize,
    /// Panel after panel, `[depth, width]`.
    codes: Vec<u8>,
    /// A table of `2^bits` values per panel.
    tables: Vec<f32>,
    /// The factor of each lane; those without a row have any.
    scales: Vec<f32>,
}

impl PanelCodes {
    /// `None` when rows of one panel look up in different tables, in vectors, or with factors along the row.
    pub fn new(level: Level, width: usize, weight: &Palette) -> Option<Self> {
        if weight.dim() > 1 || weight.scales_per_row() > 1 {
            return None;
        }
        let rows = weight.shape().first().copied().unwrap_or(0);
        let depth: usize = weight.shape()[1..].iter().product();
        let mut panels =
            PanelCodes { bits: weight.bits(), width, depth, codes: Vec::new(), tables: Vec::new(), scales: Vec::new() };
        let mut row_codes = vec![0u8; depth];
        for first in (0..rows).step_by(width) {
            let last = rows.min(first + width) - 1;
            if first / weight.rows_per_table() != last / weight.rows_per_table() {
                return None;
            }
            let mut panel = vec![0u8; depth * width];
            for row in first..=last {
                unpack::unpack(level, weight.row_codes(row), weight.bits(), &mut row_codes);
                let lane = panel.iter_mut().skip(row - first).step_by(width);
                lane.zip(&row_codes).for_each(|(lane, &code)| *lane = code);
            }
            panels.codes.extend(bits::pack(&panel, weight.bits()));
            panels.tables.extend(weight.row_table(first));
            panels.scales.extend((first..first + width).map(|row| weight.scale_of(row.min(last), 0)));
        }
        Some(panels)
    }
}

impl Pack for PanelCodes {
    fn pack(&self, level: Level, span: PanelSpan, panel: &mut [f32]) {
        let PanelSpan { width, first, start, depth, .. } = span;
        let (index, entries, bits) = (first / width, 1 << self.bits, self.bits as usize);
        let mut table = [0f32; 256];
        table[..entries].copy_from_slice(&self.tables[index * entries..][..entries]);
        // Panels are at least 8 wide: every step starts with a whole byte.
        let codes = &self.codes[(index * self.depth + start) * self.width * bits / 8..];
        let scales = &self.scales[index * width..][..width];
        for (i, out) in panel[..depth * width].chunks_mut(STRETCH).enumerate() {
            let mut bytes = [0u8; STRETCH];
            let bytes = &mut bytes[..out.len()];
            unpack::unpack(level, &codes[i * STRETCH * bits / 8..], self.bits, bytes);
            lookup::lookup(level, bytes, &table, entries, out);
            lookup::scale_lanes(level, scales, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{DType, Tensor};

    /// Rows ragged, tables shared by some rows, every width of code: what `Encoding::decode` says, or no panels.
    #[test]
    fn panels_hold_what_the_weight_decodes_to() {
        for level in Level::available() {
            let width = level.tile_cols();
            for (rows, depth, bits, per_table, scaled) in [
                (2 * width + 3, 37, 4, 2 * width, true),
                (width, 8, 3, width, false),
                (5, 200, 6, 5, true),
                (width + 1, 3, 8, 500, true),
                (7, 0, 2, 7, false),
            ] {
                let codes: Vec<u8> = (0..rows)
                    .flat_map(|r| {
                        let row: Vec<u8> = (0..depth).map(|k| ((r * 31 + k * 17) % (1 << bits)) as u8).collect();
                        let mut bytes = super::bits::pack(&row, bits);
                        bytes.resize(bytes.len().next_multiple_of(4), 0);
                        bytes
                    })
                    .collect();
                let stride = super::bits::packed_len(depth, bits).next_multiple_of(4);
                let tables = rows.div_ceil(per_table);
                let values: Vec<f32> = (0..tables << bits).map(|i| (i as f32).sin()).collect();
                let scale: Vec<f32> = (0..rows).map(|r| 0.5 + r as f32).collect();
                let weight = Palette::new(
                    vec![rows, depth],
                    bits,
                    per_table,
                    Tensor::from_bytes(crate::tensor::TensorType::new(DType::U8, vec![rows, stride]), &codes).unwrap(),
                    Tensor::new([tables, 1 << bits], &values).unwrap(),
                    scaled.then(|| Tensor::new([rows], &scale).unwrap()),
                )
                .unwrap();
                let panels = PanelCodes::new(level, width, &weight).unwrap();
                let (start, take) = (depth / 3, depth - depth / 3);
                for first in (0..rows).step_by(width) {
                    let lanes = width.min(rows - first);
                    let mut panel = vec![f32::NAN; width * take];
                    panels.pack(level, PanelSpan { width, first, lanes, start, depth: take }, &mut panel);
                    for lane in 0..lanes {
                        let mut want = vec![0.0; take];
                        weight.decode(first + lane, start, &mut want);
                        for (k, want) in want.iter().enumerate() {
                            assert_eq!(panel[k * width + lane], *want, "{} {bits} bits", level.name());
                        }
                    }
                }
            }
            let weight = |per_table: usize| {
                let codes =
                    Tensor::from_bytes(crate::tensor::TensorType::new(DType::U8, vec![8, 4]), &[0; 32]).unwrap();
                let table = Tensor::new([8usize.div_ceil(per_table), 16], &vec![0f32; 16 * 8usize.div_ceil(per_table)]);
                Palette::new(vec![8, 2], 4, per_table, codes, table.unwrap(), None).unwrap()
            };
            assert!(PanelCodes::new(level, width, &weight(3)).is_none());
            assert!(PanelCodes::new(level, width, &weight(8)).is_some());
        }
    }
}
