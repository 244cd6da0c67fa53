//! An encoded weight as the kernels see it: packed codes, the values they stand for, scales and offsets of groups.

use std::ops::Range;

use crate::cpu::simd::decoding::{Decoding, decoding};
#[cfg(target_arch = "x86_64")]
use crate::cpu::simd::fewbit::order;
use crate::cpu::simd::{Level, fma, lookup, multiversion};
use crate::tensor::{DType, Tensor};
use crate::weights::{Affine, Encoded, Palette, Zero};

/// A weight whose codes lie along its rows: `W[r, k] = (value(code(r / dim, k)) + zero[r, g]) · scale[r, g] + offset[r, g]`
/// with `g = k / group`.
pub struct Source<'a> {
    weight: &'a Encoded,
    pub bits: usize,
    pub decoding: Decoding,
    pub rows: usize,
    pub cols: usize,
    /// Neighbouring rows that share codes.
    pub dim: usize,
    /// `[rows / dim, row_words]` words, least significant code first.
    codes: &'a [u8],
    pub row_words: usize,
    /// Values of all codes, repeated to 64: `dim` tables for every `rows_per_table` rows.
    pub tables: Vec<[f32; 64]>,
    pub rows_per_table: usize,
    /// Weights of a group, at most a row.
    pub group: usize,
    pub extras: Extras,
}

/// What groups have beside a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extras {
    Nothing,
    /// Values are codes minus a number that `Source::params` gives with a minus.
    Zeros,
    /// Something is added after the scale.
    Offsets,
}

impl<'a> Source<'a> {
    /// `None` for an encoding or a width of codes without a kernel at this level.
    pub fn new(level: Level, weight: &'a Encoded) -> Option<Self> {
        match weight {
            Encoded::Palette(w) => {
                let group = w.scale().map_or(usize::MAX, |scale| scale.group);
                let mut source = Self::integers(level, weight, w.codes(), w.bits(), group, Extras::Nothing)?;
                let values: &[f32] = bytemuck::cast_slice(w.table().bytes());
                // A code that pads a row is multiplied with 0, and must not make that NaN.
                if values.iter().any(|v| !v.is_finite()) {
                    return None;
                }
                source.decoding = decoding(level, source.bits, true)?;
                (source.dim, source.rows_per_table) = (w.dim(), w.rows_per_table());
                let entries = values.chunks_exact(source.dim << source.bits);
                let table = |entries: &[f32], lane: usize| {
                    std::array::from_fn(|i| entries[i % (1 << source.bits) * source.dim + lane])
                };
                source.tables = entries.flat_map(|e| (0..source.dim).map(move |lane| table(e, lane))).collect();
                Some(source)
            }
            Encoded::Affine(w) => {
                let extras = match w.zero() {
                    Zero::Middle => Extras::Nothing,
                    Zero::PerGroup(_) => Extras::Zeros,
                    Zero::Offset(_) => Extras::Offsets,
                };
                Self::integers(level, weight, w.codes(), w.bits(), w.group(), extras)
            }
            // A small browser build decodes these panel by panel.
            #[cfg(not(target_arch = "wasm32"))]
            Encoded::KQuant(w) => {
                let extras = if w.minima() { Extras::Offsets } else { Extras::Nothing };
                Self::integers(level, weight, w.codes(), w.bits(), w.group(), extras)
            }
            #[cfg(not(target_arch = "wasm32"))]
            Encoded::Dual(w) => {
                Self::integers(level, weight, w.codes(), crate::weights::dual::BITS, w.group(), Extras::Zeros)
            }
            _ => None,
        }
    }

    /// Codes that stand for themselves where groups have zeros, else for `code − 2^(bits − 1)`.
    fn integers(
        level: Level,
        weight: &'a Encoded,
        codes: &'a Tensor,
        bits: u32,
        group: usize,
        extras: Extras,
    ) -> Option<Self> {
        let (rows, cols, bits) = (weight.rows(), weight.cols(), bits as usize);
        let center = if extras == Extras::Zeros { 0.0 } else { center(bits) };
        Some(Source {
            weight,
            bits,
            decoding: decoding(level, bits, false).or(decoding(level, bits, true))?,
            rows,
            cols,
            dim: 1,
            codes: codes.bytes(),
            row_words: (cols * bits).div_ceil(32),
            tables: vec![std::array::from_fn(|i| (i % (1 << bits)) as f32 - center)],
            rows_per_table: usize::MAX,
            group: group.min(cols.max(1)),
            extras,
        })
    }

    pub fn groups(&self) -> usize {
        self.cols.div_ceil(self.group)
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub fn palette(&self) -> bool {
        matches!(self.weight, Encoded::Palette(_))
    }

    /// Bytes of the codes from row `row` on, a multiple of `dim`.
    pub fn codes_from(&self, row: usize) -> &'a [u8] {
        &self.codes[4 * self.row_words * (row / self.dim)..]
    }

    /// Which of the tables serves row `row`.
    pub fn table_index(&self, row: usize) -> usize {
        row / self.rows_per_table * self.dim + row % self.dim
    }

    /// Scales and, if there are any, extras of some groups of each of `rows`, the first at the start of `scales`, each
    /// `stride` after the one before.
    pub fn params(
        &self,
        level: Level,
        rows: Every,
        groups: Range<usize>,
        stride: usize,
        scales: &mut [f32],
        extras: &mut [f32],
    ) {
        if let Encoded::Affine(w) = self.weight
            && affine_params(level, w, rows, &groups, stride, scales, extras)
        {
            return;
        }
        for (i, row) in rows.numbers().enumerate() {
            let part = i * stride..i * stride + groups.len();
            self.row_params(level, row, groups.clone(), &mut scales[part.clone()], &mut extras[part]);
        }
    }

    fn row_params(&self, level: Level, row: usize, groups: Range<usize>, scales: &mut [f32], extras: &mut [f32]) {
        match self.weight {
            Encoded::Affine(w) => self.fill(groups, scales, extras, &|g| w.group_params(row, g)),
            Encoded::Palette(w) => palette_params(level, w, row, groups, scales),
            #[cfg(not(target_arch = "wasm32"))]
            Encoded::KQuant(w) => self.fill(groups, scales, extras, &|g| w.group_params(row, g)),
            #[cfg(not(target_arch = "wasm32"))]
            Encoded::Dual(w) => self.fill(groups, scales, extras, &|g| {
                let (scale, zero) = w.group_params(row, g);
                (w.row_scale(row) * f32::from(scale), f32::from(zero), 0.0)
            }),
            _ => {}
        }
    }

    /// From scale, zero and offset of each group.
    fn fill(
        &self,
        groups: Range<usize>,
        scales: &mut [f32],
        extras: &mut [f32],
        params: &dyn Fn(usize) -> (f32, f32, f32),
    ) {
        for (i, group) in groups.enumerate() {
            let (scale, zero, offset) = params(group);
            scales[i] = scale;
            match self.extras {
                Extras::Nothing => {}
                Extras::Zeros => extras[i] = -zero,
                Extras::Offsets => extras[i] = center(self.bits) * scale + offset,
            }
        }
    }
}

/// What the kernels ask that take codes by words.
#[cfg(target_arch = "x86_64")]
impl<'a> Source<'a> {
    /// Codes of the shortest run of whole words.
    pub fn unit(&self) -> usize {
        order(self.bits).0
    }

    /// Words of such a run.
    pub fn unit_words(&self) -> usize {
        self.unit() * self.bits / 32
    }

    /// Whether weights are values, without scale and offset.
    pub fn plain(&self) -> bool {
        matches!(self.weight, Encoded::Palette(w) if w.scale().is_none())
    }

    /// What groups have where scales and offsets are stored in half precision and zeros in bytes.
    pub fn stored_params(&self) -> Option<StoredParams<'a>> {
        let (scales, zeros, offsets) = match self.weight {
            Encoded::Palette(w) => (w.scale().map(|scale| &scale.values), &[][..], None),
            Encoded::Affine(w) => match w.zero() {
                Zero::Middle => (Some(w.scales()), &[][..], None),
                Zero::PerGroup(zeros) => (Some(w.scales()), zeros.bytes(), None),
                Zero::Offset(offsets) => (Some(w.scales()), &[][..], Some(offsets)),
            },
            _ => return None,
        };
        Some(StoredParams { scales: halves(scales)?, zeros, offsets: halves(offsets)? })
    }
}

/// Scales, zeros and offsets `[rows, groups]` as a weight stores them; none where all scales are 1, all zeros the middle,
/// or nothing is added.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Default)]
pub struct StoredParams<'a> {
    pub scales: &'a [u16],
    pub zeros: &'a [u8],
    pub offsets: &'a [u16],
}

/// The bits of a tensor in half precision; none without a tensor. `None` for another type.
fn halves(tensor: Option<&Tensor>) -> Option<&[u16]> {
    match tensor {
        None => Some(&[]),
        Some(tensor) => (tensor.dtype() == DType::F16).then(|| bytemuck::cast_slice(tensor.bytes())),
    }
}

/// Some rows: `first`, `first + step`, …
#[derive(Clone, Copy)]
pub struct Every {
    pub first: usize,
    pub count: usize,
    pub step: usize,
}

impl Every {
    pub fn numbers(self) -> impl Iterator<Item = usize> {
        (0..self.count).map(move |i| self.first + i * self.step)
    }
}

/// The usual kind: factors in half precision; `false` for others.
fn affine_params(
    level: Level,
    w: &Affine,
    rows: Every,
    groups: &Range<usize>,
    stride: usize,
    scales: &mut [f32],
    extras: &mut [f32],
) -> bool {
    let (zeros, offsets) = match w.zero() {
        Zero::Middle => (&[][..], None),
        Zero::PerGroup(zeros) => (zeros.bytes(), None),
        Zero::Offset(offsets) => (&[][..], Some(offsets)),
    };
    let (Some(factors), Some(offsets)) = (halves(Some(w.scales())), halves(offsets)) else { return false };
    if rows.step != 1 {
        return false;
    }
    let (from, mut span) = (rows.first * w.groups() + groups.start, [w.groups(), groups.len(), stride]);
    let mut count = rows.count;
    if cfg!(feature = "full") && span == [stride; 3] {
        // Whole rows side by side are as one.
        (count, span) = (1, [count * stride; 3]);
    }
    let (zeros, offsets) = (zeros.get(from..).unwrap_or(&[]), offsets.get(from..).unwrap_or(&[]));
    let middle = center(w.bits() as usize);
    widen_rows(level, &factors[from..], zeros, offsets, middle, count, span, scales, extras);
    true
}

multiversion! {
    /// For `count` rows of `[per_row, len, stride]`: `scales` as f32, and `−zeros` or `middle · scale + offset`, if there
    /// are any.
    fn widen_rows = widen_rows_body(
        halves: &[u16], zeros: &[u8], offsets: &[u16], middle: f32, count: usize, span: [usize; 3],
        scales: &mut [f32], extras: &mut [f32],
    )
}

#[inline(always)]
fn widen_rows_body<const FMA: bool>(
    halves: &[u16],
    zeros: &[u8],
    offsets: &[u16],
    middle: f32,
    count: usize,
    [per_row, len, stride]: [usize; 3],
    scales: &mut [f32],
    extras: &mut [f32],
) {
    for row in 0..count {
        let scales = &mut scales[row * stride..][..len];
        lookup::widen_body::<FMA>(&halves[row * per_row..][..len], scales);
        if !zeros.is_empty() {
            let zeros = &zeros[row * per_row..][..len];
            for (extra, &zero) in extras[row * stride..][..len].iter_mut().zip(zeros) {
                *extra = -f32::from(zero);
            }
        }
        if !offsets.is_empty() {
            let extras = &mut extras[row * stride..][..len];
            lookup::widen_body::<FMA>(&offsets[row * per_row..][..len], extras);
            extras.iter_mut().zip(&*scales).for_each(|(extra, scale)| *extra = fma::<FMA>(middle, *scale, *extra));
        }
    }
}

fn palette_params(level: Level, w: &Palette, row: usize, groups: Range<usize>, scales: &mut [f32]) {
    let at = row * w.scales_per_row() + groups.start;
    match w.scale() {
        None => scales.fill(1.0),
        Some(s) if s.values.dtype() == DType::F16 => {
            lookup::widen(level, &bytemuck::cast_slice(s.values.bytes())[at..][..groups.len()], scales);
        }
        Some(s) => {
            for (scale, group) in scales.iter_mut().zip(groups) {
                *scale = w.scale_of(row, group * s.group);
            }
        }
    }
}

/// The code in the middle.
pub fn center(bits: usize) -> f32 {
    (1u32 << (bits - 1)) as f32
}
