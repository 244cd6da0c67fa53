//! compressed-tensors, formats `pack-quantized` and `int-quantized`.
//!
//! `weight_packed` i32 `[outputs, words]`: codes count from −2^(bits−1). From version 0.18 on they form one dense stream, as
//! ours; before, a word held only whole codes (ten of 3 bits). `weight_scale` `[outputs, groups]`, `weight_zero_point` packed
//! the same way down its columns, or int8; `weight_shape` `[2]`; `weight_g_idx` `[inputs]`.

use serde_json::Value;

use super::config::Config;
use super::grouped::Grouped;
use super::state::{State, factors};
use crate::Result;
use crate::formats::codes::Packer;
use crate::tensor::{DType, Tensor, bits};

/// The first version, major and minor, that packs densely.
const DENSE: (u64, u64) = (0, 18);

pub fn convert(state: &mut State, config: &Config) -> Result<()> {
    for layer in state.layers("weight_packed") {
        packed(state, config, &layer)?;
    }
    for layer in state.layers("weight_scale") {
        if state.has(&layer, "weight") {
            bytes(state, &layer)?;
        }
    }
    Ok(())
}

fn packed(state: &mut State, config: &Config, layer: &str) -> Result<()> {
    let (packed, [rows, words]) = state.matrix(layer, "weight_packed", DType::I32)?;
    let shape = state.need(layer, "weight_shape")?.to_i64()?;
    let cols = match shape[..] {
        // No code has less than a bit.
        [r, c] if r == rows as i64 && (1..=32 * words as i64).contains(&c) => c as usize,
        _ => return Err(state.error(layer, format!("has the shape {shape:?}, but {rows} rows"))),
    };
    // Groups of layers may have different bits: those that fit this one's width.
    let fits = |&bits: &u32| [true, false].iter().any(|&dense| width(cols, bits, dense) == words);
    let bits = match all_bits(config).into_iter().filter(fits).collect::<Vec<_>>()[..] {
        [bits] => bits,
        [] => return Err(state.unsupported(layer, format!("has {words} words for {cols} inputs"))),
        _ => return Err(state.unsupported(layer, "could have different numbers of bits")),
    };
    let dense = match (width(cols, bits, true) == words, width(cols, bits, false) == words) {
        (true, true) => version(config).is_none_or(|version| version >= DENSE),
        (dense, _) => dense,
    };
    let (scales, groups) = scales(state, layer, rows)?;
    // The last group may be short, if the configuration says how long the others are.
    let group = match config_group(config).filter(|&g| cols.div_ceil(g) == groups) {
        Some(group) => group.min(cols),
        None if cols.is_multiple_of(groups) => cols / groups,
        None => return Err(state.error(layer, format!("has {groups} groups for {cols} inputs"))),
    };
    let mut packer = Packer::new(rows, cols, bits)?;
    let mut codes = vec![0; cols];
    for (row, stream) in packed.bytes().chunks_exact(4 * words).enumerate() {
        codes.iter_mut().enumerate().for_each(|(i, code)| *code = code_at(stream, i, bits, dense));
        packer.row(row, &codes);
    }
    let zeros = match state.take(layer, "weight_zero_point") {
        Some(zeros) => zero_points(&zeros, [rows, groups], bits, dense)
            .ok_or_else(|| state.error(layer, format!("has zeros {:?}", zeros.shape())))
            .map(Some)?,
        None => None,
    };
    let columns = state.take(layer, "weight_g_idx").map(|t| t.to_i64()).transpose()?;
    // −1 everywhere: not in use.
    let columns = columns.filter(|columns| columns.iter().any(|&group| group != -1));
    Grouped { rows, cols, bits, group, codes: packer.finish(), scales, zeros, columns }.put(state, layer)
}

/// int8 weights, one a byte.
fn bytes(state: &mut State, layer: &str) -> Result<()> {
    let (weight, [rows, cols]) = state.matrix(layer, "weight", DType::I8)?;
    let (scales, groups) = scales(state, layer, rows)?;
    if !cols.is_multiple_of(groups) {
        return Err(state.error(layer, format!("has {groups} groups for {cols} inputs")));
    }
    let mut packer = Packer::new(rows, cols, 8)?;
    for (row, values) in weight.bytes().chunks_exact(cols).enumerate() {
        packer.row(row, &values.iter().map(|v| v ^ 0x80).collect::<Vec<_>>());
    }
    let zeros = match state.take(layer, "weight_zero_point") {
        Some(zeros) => zero_points(&zeros, [rows, groups], 8, true)
            .ok_or_else(|| state.error(layer, format!("has zeros {:?}", zeros.shape())))
            .map(Some)?,
        None => None,
    };
    let (codes, group) = (packer.finish(), cols / groups);
    Grouped { rows, cols, bits: 8, group, codes, scales, zeros, columns: None }.put(state, layer)
}

/// Scales `[rows, groups]`; one for the whole tensor is repeated.
fn scales(state: &mut State, layer: &str, rows: usize) -> Result<(Tensor, usize)> {
    let scales = state.need(layer, "weight_scale")?;
    match *scales.shape() {
        [r, groups] if r == rows && groups > 0 => Ok((factors(&scales, [rows, groups])?, groups)),
        [] | [1] => Ok((Tensor::new([rows, 1], &vec![scales.to_f32()?[0]; rows])?, 1)),
        _ => Err(state.unsupported(layer, format!("has scales {:?}", scales.shape()))),
    }
}

/// Zero points `[rows, groups]` as unsigned codes, from int8 or from packed columns; `None` if they are neither.
fn zero_points(zeros: &Tensor, [rows, groups]: [usize; 2], bits: u32, dense: bool) -> Option<Vec<u16>> {
    let middle = 1i16 << (bits - 1);
    if zeros.dtype() == DType::I8 && zeros.len() == rows * groups {
        let unsigned = |&v: &u8| u16::try_from(i16::from(v as i8) + middle).ok();
        return zeros.bytes().iter().map(unsigned).collect();
    }
    if zeros.dtype() != DType::I32 || zeros.shape() != [width(rows, bits, dense), groups] {
        return None;
    }
    let words = zeros.slice::<i32>().ok()?;
    let columns: Vec<Vec<u8>> = (0..groups)
        .map(|g| words.iter().skip(g).step_by(groups).flat_map(|word| word.to_le_bytes()).collect())
        .collect();
    Some((0..rows * groups).map(|i| code_at(&columns[i % groups], i / groups, bits, dense).into()).collect())
}

/// Words that hold so many codes.
fn width(count: usize, bits: u32, dense: bool) -> usize {
    if dense { (count * bits as usize).div_ceil(32) } else { count.div_ceil(32 / bits as usize) }
}

fn code_at(stream: &[u8], index: usize, bits: u32, dense: bool) -> u8 {
    if dense {
        return bits::get(stream, index, bits);
    }
    let per_word = 32 / bits as usize;
    bits::get(&stream[4 * (index / per_word)..][..4], index % per_word, bits)
}

/// The different numbers of bits of the configuration's groups.
fn all_bits(config: &Config) -> Vec<u32> {
    let groups = config.get("config_groups").and_then(Value::as_object);
    let bits = |group: &Value| group.get("weights")?.get("num_bits")?.as_u64();
    let mut all: Vec<u32> =
        groups.into_iter().flat_map(|groups| groups.values()).filter_map(bits).map(|b| b as u32).collect();
    all.retain(|bits| [2, 3, 4, 5, 6, 8].contains(bits));
    all.sort_unstable();
    all.dedup();
    all
}

/// The size of a group, if the configuration has one for all layers.
fn config_group(config: &Config) -> Option<usize> {
    let groups = config.get("config_groups")?.as_object()?;
    let mut sizes = groups.values().map(|group| group.get("weights")?.get("group_size")?.as_u64());
    let first = sizes.next()??;
    let same = sizes.all(|size| size == Some(first));
    usize::try_from(first).ok().filter(|&size| size > 0 && same)
}

fn version(config: &Config) -> Option<(u64, u64)> {
    let mut numbers = config.text("version")?.split('.').map(|n| n.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}
