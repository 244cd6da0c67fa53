//! Activations of 8 bits: each block of a row of x as integers and a scale (dynamic quantisation, symmetric).

use super::source::{Every, Extras, Source, center};
use crate::cpu::simd::{Level, multiversion};

/// The longest block of x that shares a scale.
const MAX_BLOCK: usize = 128;
/// Blocks are multiples of this, so that units of all widths of codes lie in one.
const STEP: usize = 32;
/// Largest integer.
const LARGEST: f32 = 127.0;

/// Length of the blocks of x for this weight; `None` if its groups are not made of blocks.
pub fn block(source: &Source) -> Option<usize> {
    if source.groups() <= 1 {
        return Some(MAX_BLOCK);
    }
    (STEP..=MAX_BLOCK).rev().step_by(STEP).find(|&block| source.group.is_multiple_of(block))
}

multiversion! {
    /// `out = round(x / scale)` with the largest |x| of a block at 127; gives each block's scale and the sum of its
    /// integers. A block with a value that is not finite has the scale NaN.
    pub fn quantise = quantise_body(x: &[f32], block: usize, out: &mut [i8], scales: &mut [f32], sums: &mut [f32])
}

#[inline(always)]
fn quantise_body<const FMA: bool>(x: &[f32], block: usize, out: &mut [i8], scales: &mut [f32], sums: &mut [f32]) {
    let blocks = x.chunks(block).zip(out.chunks_mut(block));
    for ((x, out), (scale, sum)) in blocks.zip(scales.iter_mut().zip(sums)) {
        (*scale, *sum) = quantise_block(x, out);
    }
}

#[inline(always)]
fn quantise_block(x: &[f32], out: &mut [i8]) -> (f32, f32) {
    const LANES: usize = 16;
    // 0 · x is NaN unless x is finite.
    let (mut most, mut finite) = ([0f32; LANES], [0f32; LANES]);
    let (whole, rest) = x.as_chunks::<LANES>();
    let mut end = [0f32; LANES];
    end[..rest.len()].copy_from_slice(rest);
    for x in whole.iter().chain([&end]) {
        for i in 0..LANES {
            let size = x[i].abs();
            most[i] = if size > most[i] { size } else { most[i] };
            finite[i] += 0.0 * x[i];
        }
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            most[i] = if most[i + width] > most[i] { most[i + width] } else { most[i] };
            finite[i] += finite[i + width];
        }
    }
    let (largest, finite) = (most[0], finite[0]);
    let scale = largest / LARGEST;
    let inverse = if scale > 0.0 { LARGEST / largest } else { 0.0 };
    let mut sum = 0i32;
    for (out, x) in out.iter_mut().zip(x) {
        // Adding 1.5·2²³ rounds to an integer and leaves it in the low bits.
        const ROUND: f32 = 12_582_912.0;
        let rounded = (x * inverse + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i32 as i8;
        *out = rounded;
        sum += i32::from(rounded);
    }
    (scale + finite, sum as f32)
}

/// A weight as bytes: `W = byte · scale + offset`.
pub struct ByteSource<'a> {
    pub source: &'a Source<'a>,
    /// Whether bytes come from a table; else they are the codes.
    pub lookup: bool,
    pub tables: Vec<[u8; 16]>,
    /// What a step of each table's bytes stands for.
    pub steps: Vec<f32>,
    shift: f32,
}

/// The byte that stands for 0 in tables.
pub const ZERO: f32 = 128.0;

impl<'a> ByteSource<'a> {
    /// Kernels take `shift` from every byte before they multiply.
    pub fn new(source: &'a Source<'a>, shift: f32) -> Self {
        let lookup = source.palette();
        let mut bytes = ByteSource { source, lookup, tables: vec![[0; 16]], steps: vec![1.0], shift };
        if lookup {
            let step = |table: &[f32; 64]| table.iter().fold(0f32, |m, v| m.max(v.abs())) / LARGEST;
            bytes.steps = source.tables.iter().map(step).collect();
            let byte = |value: f32, step: f32| if step > 0.0 { (value / step).round() + ZERO } else { ZERO };
            let bytes_of = |(table, &step): (&[f32; 64], &f32)| std::array::from_fn(|i| byte(table[i], step) as u8);
            bytes.tables = source.tables.iter().zip(&bytes.steps).map(bytes_of).collect();
        }
        bytes
    }

    /// The table of row `row`.
    pub fn table(&self, row: usize) -> &[u8; 16] {
        &self.tables[if self.lookup { self.source.table_index(row) } else { 0 }]
    }

    /// Scales and offsets of all groups of some rows, `stride` apart. What lies between rows may change.
    pub fn params(&self, level: Level, rows: Every, stride: usize, scales: &mut [f32], offsets: &mut [f32]) {
        let source = self.source;
        source.params(level, rows, 0..source.groups(), stride, scales, offsets);
        // Numbers that were not written are not looked at.
        let kind = if self.lookup { Extras::Nothing } else { source.extras };
        let middle = if self.lookup { ZERO } else { center(source.bits) };
        if self.tables.len() == 1 {
            let len = rows.count.saturating_sub(1) * stride + source.groups();
            let (scales, offsets) = (&mut scales[..len], &mut offsets[..len]);
            return byte_params(level, kind, middle, self.steps[0], self.shift, scales, offsets);
        }
        for (i, row) in rows.numbers().enumerate() {
            let part = i * stride..i * stride + source.groups();
            let (scales, offsets) = (&mut scales[part.clone()], &mut offsets[part]);
            byte_params(level, kind, middle, self.steps[source.table_index(row)], self.shift, scales, offsets);
        }
    }
}

multiversion! {
    /// From scales and extras of values to those of bytes, of which `middle` stands for 0 unless there are zeros. A step
    /// of the bytes is `step`; the kernel takes `shift` from them.
    fn byte_params = byte_params_body(
        kind: Extras, middle: f32, step: f32, shift: f32, scales: &mut [f32], offsets: &mut [f32],
    )
}

#[inline(always)]
fn byte_params_body<const FMA: bool>(
    kind: Extras,
    middle: f32,
    step: f32,
    shift: f32,
    scales: &mut [f32],
    offsets: &mut [f32],
) {
    for scale in scales.iter_mut() {
        *scale *= step;
    }
    let pairs = offsets.iter_mut().zip(scales.iter());
    match kind {
        Extras::Nothing => {
            for (offset, scale) in pairs {
                *offset = (shift - middle) * scale;
            }
        }
        Extras::Zeros => {
            for (offset, scale) in pairs {
                *offset = (*offset + shift) * scale;
            }
        }
        Extras::Offsets => {
            for (offset, scale) in pairs {
                *offset += (shift - middle) * scale;
            }
        }
    }
}
