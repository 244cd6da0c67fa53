//! AQLM (Egiazarian et al. 2024) and PV-Tuning.
//!
//! `codes` i8 or i16 `[outputs/r, inputs/g, books]`, a code c ≥ 2^(bits−1) as c − 2^bits; `codebooks` `[books, 2^bits, r, g]`;
//! `scales` `[outputs/r, 1, 1, 1]`.

use half::f16;

use super::config::Config;
use super::state::State;
use crate::Result;
use crate::formats::codes::Packer;
use crate::tensor::{DType, Tensor};
use crate::weights::Codebook;

/// Weights that one entry of a codebook may stand for; published models have 8.
const MAX_ENTRY: usize = 64;

pub fn convert(state: &mut State, _: &Config) -> Result<()> {
    for layer in state.layers("codebooks") {
        let (codes, books, scales) =
            (state.need(&layer, "codes")?, state.need(&layer, "codebooks")?, state.need(&layer, "scales")?);
        let ([lines, per_line, count], [book_count, entries, height, group]) = (dims(&codes), dims(&books));
        let entry = height.saturating_mul(group);
        let bits = entries.trailing_zeros();
        let word = match codes.dtype() {
            DType::I8 | DType::U8 => 8,
            DType::I16 | DType::U16 => 16,
            _ => 0,
        };
        let fits = count == book_count && count > 0 && entries.is_power_of_two() && (1..=word).contains(&bits);
        if !fits || !(1..=MAX_ENTRY).contains(&entry) || scales.len() != lines || lines * per_line == 0 {
            let what = format!("has codes {:?} for codebooks {:?}", codes.shape(), books.shape());
            return Err(state.error(&layer, what));
        }
        let code = code_reader(&codes, entries);
        let shape = vec![lines * height, per_line * group];
        let (values, factors) = (books.to_f32()?, scales.to_f32()?);
        let halves: Vec<f16> = values.iter().map(|&v| f16::from_f32(v)).collect();
        let exact = halves.iter().zip(&values).all(|(h, v)| h.to_f32() == *v);
        if height == 1 && [4, 8, 16].contains(&group) && exact && count <= 8 {
            let mut packer = Packer::new(lines, per_line * count, bits)?;
            for line in 0..lines {
                packer.wide_row(line, (0..per_line * count).map(|i| code(line * per_line * count + i) as u16));
            }
            let books = Tensor::new([count, entries, group], &halves)?;
            let scales = Tensor::new([lines], &factors)?;
            state.put(&layer, "weight", Codebook::new(shape, bits as usize, group, packer.finish(), books, scales)?);
            continue;
        }
        state.put_half(&layer, shape, |row, out| {
            let (line, lane) = (row / height, row % height);
            for (g, out) in out.chunks_exact_mut(group).enumerate() {
                out.fill(0.0);
                for book in 0..count {
                    let at = book * entries + code((line * per_line + g) * count + book);
                    let vector = &values[at * entry + lane * group..][..group];
                    out.iter_mut().zip(vector).for_each(|(out, v)| *out += v);
                }
                out.iter_mut().for_each(|v| *v *= factors[line]);
            }
        })?;
    }
    Ok(())
}

/// Code number `i`, modulo the number of entries.
fn code_reader(codes: &Tensor, entries: usize) -> impl Fn(usize) -> usize {
    let (bytes, wide) = (codes.bytes(), codes.dtype().size() == 2);
    move |i| {
        let code = if wide { u16::from_le_bytes([bytes[2 * i], bytes[2 * i + 1]]) } else { bytes[i].into() };
        usize::from(code) % entries
    }
}

/// The dimensions, zeros if they are not as many.
fn dims<const N: usize>(tensor: &Tensor) -> [usize; N] {
    tensor.shape().try_into().unwrap_or([0; N])
}
