//! Few-bit weights as the packed product sees them. What `fewbit` takes is decoded in lanes; of the rest, rows are
//! decoded a stretch at a time: codes are spread to bytes, then looked up (palettes) or shifted and scaled (affine).

#[cfg(target_arch = "x86_64")]
use super::fewbit::{self, Source};
use super::gemm::{Pack, PanelSpan, transpose, with_scratch};
#[cfg(feature = "full")]
use super::simd::expand;
use super::simd::{Level, lookup, unpack};
use crate::tensor::DType;
use crate::weights::{Affine, Encoded, HalfFloat, Palette, Zero};
#[cfg(feature = "full")]
use crate::weights::{Blocks, Sparse};

/// Codes that are spread at once: a stretch stays in the first-level cache between its two stages.
const STRETCH: usize = 1024;

/// The rows of an encoded weight from some row on, as lanes of an operand.
pub struct EncodedRows<'a> {
    weight: &'a Encoded,
    first: usize,
    /// What kernels decode in lanes.
    #[cfg(target_arch = "x86_64")]
    source: Option<Source<'a>>,
}

impl<'a> EncodedRows<'a> {
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
    pub fn new(level: Level, weight: &'a Encoded, first: usize) -> Self {
        EncodedRows {
            weight,
            first,
            #[cfg(target_arch = "x86_64")]
            source: Source::new(level, weight),
        }
    }
}

impl Pack for EncodedRows<'_> {
    fn pack(&self, level: Level, span: PanelSpan, panel: &mut [f32]) {
        let PanelSpan { width, first, lanes, start, depth } = span;
        #[cfg(target_arch = "x86_64")]
        if let Some(source) = &self.source
            && fewbit::panel(level, source, self.first + first, span, panel)
        {
            return;
        }
        with_scratch(lanes * depth, |rows| {
            for (i, row) in rows.chunks_exact_mut(depth.max(1)).enumerate() {
                decode_row(level, self.weight, self.first + first + i, start, row);
            }
            transpose(level, rows, depth, lanes, depth, width, panel);
        });
    }
}

/// Columns `col .. col + out.len()` of `row` as f32: what `Encoding::decode` defines, faster.
pub fn decode_row(level: Level, weight: &Encoded, row: usize, col: usize, out: &mut [f32]) {
    // Of sparse weights a row may hold none, and no scales then.
    if out.is_empty() {
        return;
    }
    if !col.is_multiple_of(8) {
        return weight.as_encoding().decode(row, col, out);
    }
    match weight {
        Encoded::Palette(w) if w.dim() == 1 && w.scales_per_row() <= 1 => palette(level, w, row, col, out),
        // A small browser build takes no files with offsets.
        Encoded::Affine(w)
            if w.scales().dtype() == DType::F16 && (cfg!(feature = "full") || !matches!(w.zero(), Zero::Offset(_))) =>
        {
            affine(level, w, row, col, out)
        }
        Encoded::HalfFloat(w) => half(level, w, row, col, out),
        // A small browser build decodes these one by one.
        #[cfg(feature = "full")]
        Encoded::Sparse(w) => sparse(level, w, row, col, out),
        #[cfg(feature = "full")]
        Encoded::Blocks(w) => blocks(level, w, row, col, out),
        other => other.as_encoding().decode(row, col, out),
    }
}

fn palette(level: Level, w: &Palette, row: usize, col: usize, out: &mut [f32]) {
    let mut table = [0f32; 256];
    let (values, scale) = (w.row_table(row), w.scale_of(row, 0));
    for (scaled, value) in table.iter_mut().zip(values) {
        *scaled = scale * value;
    }
    let bytes = &w.row_codes(row)[col * w.bits() as usize / 8..];
    for (i, out) in out.chunks_mut(STRETCH).enumerate() {
        let mut codes = [0u8; STRETCH];
        let codes = &mut codes[..out.len()];
        unpack::unpack(level, &bytes[i * STRETCH * w.bits() as usize / 8..], w.bits(), codes);
        lookup::lookup(level, codes, &table, values.len(), out);
    }
}

fn affine(level: Level, w: &Affine, row: usize, col: usize, out: &mut [f32]) {
    let bytes = &w.row_codes(row)[col * w.bits() as usize / 8..];
    let group = w.group();
    for (i, out) in out.chunks_mut(STRETCH).enumerate() {
        let mut codes = [0u8; STRETCH];
        let codes = &mut codes[..out.len()];
        unpack::unpack(level, &bytes[i * STRETCH * w.bits() as usize / 8..], w.bits(), codes);
        let start = col + i * STRETCH;
        if group.is_multiple_of(8) && start.is_multiple_of(group) {
            let groups = start / group..(start + out.len()).div_ceil(group);
            dequantise_groups(level, w, row, groups, codes, out);
            continue;
        }
        let mut done = 0;
        while done < out.len() {
            let at = start + done;
            let (scale, zero, offset) = w.group_params(row, at / group);
            let end = ((at / group + 1) * group - start).min(out.len());
            lookup::dequantise(level, &codes[done..end], zero, scale, &mut out[done..end]);
            if cfg!(feature = "full") && matches!(w.zero(), Zero::Offset(_)) {
                out[done..end].iter_mut().for_each(|v| *v += offset);
            }
            done = end;
        }
    }
}

/// Whole groups, from the first of `groups` on.
fn dequantise_groups(
    level: Level,
    w: &Affine,
    row: usize,
    groups: std::ops::Range<usize>,
    codes: &[u8],
    out: &mut [f32],
) {
    let per_row = w.scales().shape().last().copied().unwrap_or(0);
    let range = row * per_row + groups.start..row * per_row + groups.end;
    let (mut scales, mut zeros) = ([0f32; STRETCH / 8], [(1u32 << (w.bits() - 1)) as f32; STRETCH / 8]);
    let (scales, zeros) = (&mut scales[..range.len()], &mut zeros[..range.len()]);
    lookup::widen(level, &bytemuck::cast_slice(w.scales().bytes())[range.clone()], scales);
    if let Zero::PerGroup(stored) = w.zero() {
        zeros.iter_mut().zip(&stored.bytes()[range]).for_each(|(zero, &byte)| *zero = byte.into());
    }
    if cfg!(feature = "full") && matches!(w.zero(), Zero::Offset(_)) {
        zeros.fill(0.0);
    }
    lookup::dequantise_groups(level, codes, w.group(), zeros, scales, out);
    if cfg!(feature = "full") && matches!(w.zero(), Zero::Offset(_)) {
        for (out, group) in out.chunks_mut(w.group()).zip(groups) {
            let (_, _, offset) = w.group_params(row, group);
            out.iter_mut().for_each(|v| *v += offset);
        }
    }
}

fn half(level: Level, w: &HalfFloat, row: usize, col: usize, out: &mut [f32]) {
    let stride = w.values().shape().last().copied().unwrap_or(0);
    let halves: &[u16] = bytemuck::cast_slice(w.values().bytes());
    lookup::widen(level, &halves[row * stride + col..], out);
}

#[cfg(feature = "full")]
fn sparse(level: Level, w: &Sparse, row: usize, col: usize, out: &mut [f32]) {
    let (before, end) = (w.ones_before(row, col), w.ones_before(row, col + out.len()));
    // From where values can be decoded.
    let start = before / 8 * 8;
    with_scratch(end - start + expand::ROOM, |values| {
        decode_row(level, w.values(), row, start, &mut values[..end - start]);
        let row = expand::Row { mask: &w.row_mask(row)[col / 8..], values: &values[before - start..] };
        expand::expand(level, row, out);
    });
}

#[cfg(feature = "full")]
fn blocks(level: Level, w: &Blocks, row: usize, col: usize, out: &mut [f32]) {
    let (wide, end) = (w.block()[1], col + out.len());
    out.fill(0.0);
    for (i, &block) in w.of_row(row).iter().enumerate() {
        let start = usize::from(block) * wide;
        let (from, to) = (start.max(col), (start + wide).min(end));
        if from < to {
            decode_row(level, w.values(), row, i * wide + from - start, &mut out[from - col..to - col]);
        }
    }
}
