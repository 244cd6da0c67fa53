//! Positions in a flattened tensor, ascending, as gaps, with what goes with each.

use super::rice::{MAX_PARAMETER, Reader, Writer, best_parameter};
use crate::{Error, Result};

/// Writes ascending positions, each followed by a bit if there is one for it, and the parameter they were written with.
pub fn write(positions: &[u32], bits: &[bool]) -> (u32, Vec<u8>) {
    let before = std::iter::once(None).chain(positions.iter().map(|&position| Some(position)));
    let gap = |(&position, before): (&u32, Option<u32>)| match before {
        Some(before) => position - before - 1,
        None => position,
    };
    let gaps: Vec<u32> = positions.iter().zip(before).map(gap).collect();
    let k = best_parameter(&gaps);
    let mut writer = Writer::default();
    for (i, &gap) in gaps.iter().enumerate() {
        writer.gap(gap, k);
        if let Some(&bit) = bits.get(i) {
            writer.bit(bit);
        }
    }
    (k, writer.finish())
}

/// Calls `each` with the number, position and bit of `count` entries; `false` stands for bits that there are not.
pub fn read(bytes: &[u8], k: u32, count: usize, with_bits: bool, mut each: impl FnMut(usize, usize, bool)) {
    let mut reader = Reader::new(bytes);
    let mut next = 0u64;
    for i in 0..count {
        let position = next.saturating_add(reader.gap(k));
        let bit = with_bits && reader.bit();
        next = position.saturating_add(1);
        each(i, usize::try_from(position).unwrap_or(usize::MAX), bit);
    }
}

/// Refuses a stream that is not `count` entries of a tensor of `len` values.
pub fn check(bytes: &[u8], k: usize, count: usize, with_bits: bool, len: usize) -> Result<u32> {
    let wrong = |what: &str| Err(Error::Usage(format!("its gaps {what}")));
    let k = match u32::try_from(k) {
        Ok(k) if k <= MAX_PARAMETER => k,
        _ => return wrong("have no such parameter"),
    };
    // An entry has a bit at least: `count` is bounded before it is counted to.
    if count as u64 > 8 * bytes.len() as u64 || count > len {
        return wrong("are fewer than its count says");
    }
    let mut reader = Reader::new(bytes);
    let mut next = 0u64;
    for _ in 0..count {
        next = next.saturating_add(reader.gap(k)).saturating_add(1);
        if with_bits {
            reader.bit();
        }
        if next > len as u64 || !reader.within() {
            return wrong("lead beyond the tensor, or end before");
        }
    }
    if reader.is_at_end() { Ok(k) } else { wrong("are more than its count says") }
}
