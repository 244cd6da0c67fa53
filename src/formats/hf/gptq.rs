//! GPTQ (Frantar et al. 2022) as AutoGPTQ and GPTQModel store it.
//!
//! `qweight` i32 `[inputs·bits/32, outputs]`: down each column a dense stream of codes, LSB first, which is a row of ours.
//! `qzeros` i32 `[groups, outputs·bits/32]`, each zero less one (`checkpoint_format` `gptq_v2`: as it is). `scales`
//! `[groups, outputs]`. `g_idx` i32 `[inputs]`: the group of each input.

use super::config::Config;
use super::grouped::Grouped;
use super::state::{State, factors_transposed};
use crate::Result;
use crate::tensor::{DType, Tensor, TensorType, bits};

pub fn convert(state: &mut State, config: &Config) -> Result<()> {
    let less_one = config.text("checkpoint_format") != Some("gptq_v2");
    for layer in state.layers("qweight") {
        let (packed, [words, rows]) = state.matrix(&layer, "qweight", DType::I32)?;
        let columns = state.take(&layer, "g_idx").map(|t| t.to_i64()).transpose()?;
        let cols = match (&columns, config.size("bits")) {
            (Some(columns), _) => columns.len(),
            (None, Some(bits)) if bits > 0 => words * 32 / bits,
            _ => return Err(state.error(&layer, "says nowhere how many bits a weight has")),
        };
        let bits = words * 32 / cols.max(1);
        if ![2, 3, 4, 8].contains(&bits) || words * 32 != cols * bits {
            return Err(state.unsupported(&layer, format!("has {words} words for {cols} inputs")));
        }
        let scales = state.need(&layer, "scales")?;
        let groups = scales.shape().first().copied().unwrap_or(0);
        if scales.shape() != [groups, rows] || groups == 0 {
            return Err(state.error(&layer, format!("has scales {:?}", scales.shape())));
        }
        // The last group may be short, so the size of a group does not follow from their number.
        let group = config.size("group_size").unwrap_or(cols.div_ceil(groups)).clamp(1, cols);
        if cols.div_ceil(group) != groups {
            return Err(state.error(&layer, format!("has {groups} groups of {group} for {cols} inputs")));
        }
        let zeros = match state.has(&layer, "qzeros") {
            true => {
                let (zeros, shape) = state.matrix(&layer, "qzeros", DType::I32)?;
                if shape != [groups, (rows * bits).div_ceil(32)] {
                    return Err(state.error(&layer, format!("has zeros {shape:?}")));
                }
                Some(unpacked_zeros(&zeros, [rows, groups], bits as u32, less_one))
            }
            false => None,
        };
        let codes = transposed_words(&packed, [words, rows])?;
        let scales = factors_transposed(&scales, [rows, groups])?;
        let grouped = Grouped { rows, cols, bits: bits as u32, group, codes, scales, zeros, columns };
        grouped.put(state, &layer)?;
    }
    Ok(())
}

/// i32 `[words, rows]` → u8 `[rows, 4·words]`.
fn transposed_words(packed: &Tensor, [words, rows]: [usize; 2]) -> Result<Tensor> {
    let mut out = Tensor::zeros(TensorType::new(DType::U8, [rows, 4 * words]))?;
    let from = packed.bytes();
    for (i, word) in out.bytes_mut().chunks_exact_mut(4).enumerate() {
        let at = 4 * ((i % words) * rows + i / words);
        word.copy_from_slice(&from[at..at + 4]);
    }
    Ok(out)
}

fn unpacked_zeros(packed: &Tensor, [rows, groups]: [usize; 2], bits: u32, less_one: bool) -> Vec<u16> {
    let stride = 4 * packed.shape()[1];
    let zero = |i: usize| {
        let stream = &packed.bytes()[i % groups * stride..][..stride];
        u16::from(bits::get(stream, i / groups, bits)) + u16::from(less_one)
    };
    (0..rows * groups).map(zero).collect()
}
