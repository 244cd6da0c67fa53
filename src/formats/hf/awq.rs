//! AWQ (Lin et al. 2023) in the layout of AutoAWQ's `gemm` version.
//!
//! `qweight` i32 `[inputs, outputs/8]`, `qzeros` i32 `[groups, outputs/8]`, `scales` `[groups, outputs]`. Nibble p of a word
//! holds output `ORDER[p]` of its eight.

use super::config::Config;
use super::grouped::Grouped;
use super::state::{State, factors_transposed};
use crate::Result;
use crate::formats::codes::Packer;
use crate::tensor::{DType, Tensor};

/// Which of eight outputs lies in each nibble.
const ORDER: [usize; 8] = [0, 2, 4, 6, 1, 3, 5, 7];

const BITS: u32 = 4;

pub fn convert(state: &mut State, config: &Config) -> Result<()> {
    if let Some(version) = config.text("version").filter(|v| !v.eq_ignore_ascii_case("gemm")) {
        return Err(state.unsupported("*", format!("is packed for AWQ's `{version}` kernels")));
    }
    for layer in state.layers("qweight") {
        if let Some(bits) = config.size("bits").filter(|&bits| bits != BITS as usize) {
            return Err(state.unsupported(&layer, format!("has AWQ weights of {bits} bits")));
        }
        let (packed, [cols, words]) = state.matrix(&layer, "qweight", DType::I32)?;
        let rows = 8 * words;
        let (zeros, [groups, zero_words]) = state.matrix(&layer, "qzeros", DType::I32)?;
        let scales = state.need(&layer, "scales")?;
        if zero_words != words || scales.shape() != [groups, rows] || !cols.is_multiple_of(groups) {
            return Err(state.error(&layer, format!("has {groups} groups for {cols} inputs")));
        }
        let mut packer = Packer::new(rows, cols, BITS)?;
        let mut codes = vec![0; cols];
        for row in 0..rows {
            codes.iter_mut().enumerate().for_each(|(col, code)| *code = nibble(&packed, words, col, row));
            packer.row(row, &codes);
        }
        let zeros = (0..rows * groups).map(|i| nibble(&zeros, words, i % groups, i / groups).into()).collect();
        let scales = factors_transposed(&scales, [rows, groups])?;
        let (codes, group) = (packer.finish(), cols / groups);
        Grouped { rows, cols, bits: BITS, group, codes, scales, zeros: Some(zeros), columns: None }
            .put(state, &layer)?;
    }
    Ok(())
}

/// The code of output `row` in line `line` of words.
fn nibble(packed: &Tensor, words: usize, line: usize, row: usize) -> u8 {
    // Where the order has this output: it is its own inverse up to halves.
    let place = ORDER.iter().position(|&output| output == row % 8).unwrap_or(0);
    let byte = packed.bytes()[4 * (line * words + row / 8) + place / 2];
    byte >> (4 * (place % 2)) & 15
}
