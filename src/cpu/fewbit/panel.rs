//! Panels of a packed product, decoded in lanes: nothing has to be transposed but codes.

use super::source::{Every, Source};
use super::tiles::{Lined, takes};
use crate::cpu::gemm::{PanelSpan, with_scratch};
use crate::cpu::simd::Level;
use crate::cpu::simd::fewbit::{decode, lanes, turn};

/// Writes the span of rows `row ..` as `Pack::pack` does; `false` where there is no kernel for it and nothing was done.
pub fn panel(level: Level, source: &Source, row: usize, span: PanelSpan, panel: &mut [f32]) -> bool {
    let PanelSpan { width, lanes: count, start, depth, .. } = span;
    let (lanes, unit) = (lanes(level), source.unit());
    let last = (row + count).saturating_sub(1);
    let one_table = row / source.rows_per_table == last / source.rows_per_table;
    let whole = start.is_multiple_of(unit) && width.is_multiple_of(lanes);
    if !takes(source, lanes) || source.dim > 1 || !one_table || !whole || count == 0 || depth == 0 {
        return false;
    }
    let (first, end) = (start / source.group, (start + depth).div_ceil(source.group));
    let words = depth.div_ceil(unit) * source.unit_words();
    with_scratch(lanes * (words + 4 * (end - first)), |scratch| {
        let (words, params) = scratch.split_at_mut(lanes * words);
        let words: &mut [u32] = bytemuck::cast_slice_mut(words);
        for left in (0..width).step_by(lanes) {
            let present = count.saturating_sub(left).min(lanes);
            if present > 0 {
                let (row, start_word) = (row + left, start / unit * source.unit_words());
                turn(level, source.codes_from(row), source.row_words, present, start_word, words);
                let lined = Lined::new(level, lanes, end - first, params, |scales, extras| {
                    let rows = Every { first: row, count: present, step: 1 };
                    source.params(level, rows, first..end, end - first, scales, extras);
                });
                let columns = lined.columns(source, words, row);
                let skipped = start % source.group / unit;
                decode(level, source.bits, source.decoding, &columns, skipped, depth, width, &mut panel[left..]);
            }
            if present < lanes {
                for step in panel[..depth * width].chunks_exact_mut(width) {
                    step[left + present..left + lanes].fill(0.0);
                }
            }
        }
    });
    true
}
