//! Elastic precision (EQ-Net, Xu et al. 2023): one stored weight, served at 2 to 8 bits, symmetric or not, with a step
//! per channel or per layer. Each of the 28 forms has a scale `s` and an offset `β` of its own:
//! `W = round(clamp((w − β) / (s + 10⁻⁶))) · (s + 10⁻⁶) + β`.

use std::fmt;
use std::str::FromStr;

use half::f16;

use super::affine::{Affine, Zero};
use super::encoding::{Encoding, Stored};
use super::parts::{check_part, matrix, row_stride};
use crate::tensor::{DType, Shape, Tensor, bits};
use crate::{Error, Result};

const LEAST_BITS: u32 = 2;
const MOST_BITS: u32 = 8;
/// Widths of the forms: 2 to 8 bits.
pub const WIDTHS: usize = (MOST_BITS - LEAST_BITS + 1) as usize;
/// Keeps steps from being 0.
pub const EPSILON: f32 = 1e-6;

/// One of the 28 forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Precision {
    /// 2 to 8.
    pub bits: u32,
    /// Codes from −2^(bits−1) instead of from 0.
    pub symmetric: bool,
    /// A step for each row instead of one for all.
    pub per_channel: bool,
}

impl Precision {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Precision> {
        TABLES.into_iter().flat_map(|(_, symmetric, per_channel)| {
            (LEAST_BITS..=MOST_BITS).map(move |bits| Precision { bits, symmetric, per_channel })
        })
    }

    /// The smallest and the largest code.
    fn range(self) -> (f32, f32) {
        let codes = (1u32 << self.bits) as f32;
        if self.symmetric { (-codes / 2.0, codes / 2.0 - 1.0) } else { (0.0, codes - 1.0) }
    }
}

/// The finest: 8 bits, asymmetric, per channel.
impl Default for Precision {
    fn default() -> Self {
        Precision { bits: MOST_BITS, symmetric: false, per_channel: true }
    }
}

/// `BITS[:sym][:layer]`
impl FromStr for Precision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::Usage(format!("`{text}` is not a precision; expected BITS[:sym][:layer] of 2 to 8 bits"));
        let mut words = text.split(':');
        let bits = words.next().and_then(|bits| bits.parse().ok()).ok_or_else(wrong)?;
        if !(LEAST_BITS..=MOST_BITS).contains(&bits) {
            return Err(wrong());
        }
        let mut precision = Precision { bits, symmetric: false, per_channel: true };
        for word in words {
            match word {
                "sym" if !precision.symmetric => precision.symmetric = true,
                "layer" if precision.per_channel => precision.per_channel = false,
                _ => return Err(wrong()),
            }
        }
        Ok(precision)
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let symmetric = if self.symmetric { ":sym" } else { "" };
        write!(f, "{}{symmetric}{}", self.bits, if self.per_channel { "" } else { ":layer" })
    }
}

/// How a form rounds the weights of a row.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    step: f32,
    offset: f32,
    low: f32,
    high: f32,
}

impl Step {
    /// From the stored `s` and `β`.
    pub fn new(scale: f32, offset: f32, precision: Precision) -> Self {
        let (low, high) = precision.range();
        Step { step: scale + EPSILON, offset, low, high }
    }

    /// A whole number within the form's range; halves go to the even one.
    fn code(&self, weight: f32) -> f32 {
        // Adding 1.5·2²³ leaves no room for a fraction, and rounds halves to even; a call of libm would take ten times
        // as long where the processor's instruction is not known at build time.
        const ROUND: f32 = 12_582_912.0;
        ((weight - self.offset) / self.step).clamp(self.low, self.high) + ROUND - ROUND
    }

    /// What the form makes of a weight.
    pub fn round(&self, weight: f32) -> f32 {
        self.code(weight) * self.step + self.offset
    }
}

/// The tables: part name, symmetric, per channel.
const TABLES: [(&str, bool, bool); 4] = [
    ("channel", false, true),
    ("channel_symmetric", true, true),
    ("layer", false, false),
    ("layer_symmetric", true, false),
];

/// A weight and how each form rounds it.
#[derive(Clone)]
pub struct Elastic {
    shape: Shape,
    /// `w`: f16 `[rows, cols rounded up to even]`.
    values: Tensor,
    /// In the order of `TABLES`: `(s, β)`, f32 `[rows or 1, 7, 2]`, ascending bits.
    tables: [Tensor; 4],
}

impl Elastic {
    /// Checks every size. `tables` in the order asymmetric and symmetric per channel, the same per layer.
    pub fn new(shape: Shape, values: Tensor, tables: [Tensor; 4]) -> Result<Self> {
        let (rows, cols) = matrix(&shape)?;
        check_part("elastic", "values", &values, DType::F16, &[rows, cols.next_multiple_of(2)])?;
        for ((name, _, per_channel), table) in TABLES.iter().zip(&tables) {
            let steps = if *per_channel { rows } else { 1 };
            check_part("elastic", name, table, DType::F32, &[steps, WIDTHS, 2])?;
        }
        Ok(Elastic { shape, values, tables })
    }

    pub(super) fn restore(shape: Shape, stored: &Stored) -> Result<Self> {
        let [a, b, c, d] = TABLES.map(|(name, ..)| stored.part(name));
        Self::new(shape, stored.part("values")?, [a?, b?, c?, d?])
    }

    /// One form, as few bits in memory: integers with a step and an offset per row. 7 bits are stored as 8.
    pub fn at(&self, precision: Precision) -> Result<Affine> {
        let (rows, cols) = matrix(&self.shape)?;
        let steps: Vec<Step> = (0..rows).map(|row| self.step(row, precision)).collect();
        let stored_bits = if precision.bits == 7 { 8 } else { precision.bits };
        // Without offsets the code in the middle stands for 0, which more kernels know.
        let middle = precision.symmetric && steps.iter().all(|step| step.offset == 0.0);
        let lowest = if middle { -((1u32 << (stored_bits - 1)) as f32) } else { precision.range().0 };
        let stride = row_stride(cols, stored_bits);
        let mut packed = Vec::with_capacity(rows * stride);
        for (row, step) in steps.iter().enumerate() {
            let codes: Vec<u8> = self.row(row)[..cols].iter().map(|w| (step.code(w.to_f32()) - lowest) as u8).collect();
            packed.extend(bits::pack(&codes, stored_bits));
            packed.resize((row + 1) * stride, 0);
        }
        let group = cols.max(1);
        let groups = [rows, cols.div_ceil(group)];
        let per_row = |value: &dyn Fn(&Step) -> f32| {
            let values: Vec<f32> = steps.iter().take(rows * groups[1]).map(value).collect();
            Tensor::new(groups, &values)
        };
        let scales = per_row(&|step| step.step)?;
        let zero = if middle { Zero::Middle } else { Zero::Offset(per_row(&|s| s.offset + lowest * s.step)?) };
        Affine::new(self.shape.clone(), stored_bits, group, Tensor::new([rows, stride], &packed)?, scales, zero)
    }

    /// `w` of a row, padded to even.
    fn row(&self, row: usize) -> &[f16] {
        let stride = self.values.shape()[1];
        &bytemuck::cast_slice(self.values.bytes())[row * stride..][..stride]
    }

    fn step(&self, row: usize, precision: Precision) -> Step {
        let table = usize::from(precision.symmetric) + if precision.per_channel { 0 } else { 2 };
        let row = if precision.per_channel { row } else { 0 };
        let pairs: &[[f32; 2]] = bytemuck::cast_slice(self.tables[table].bytes());
        let [scale, offset] = pairs[row * WIDTHS + (precision.bits - LEAST_BITS) as usize];
        Step::new(scale, offset, precision)
    }
}

impl Encoding for Elastic {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn name(&self) -> String {
        "elastic".into()
    }

    /// The form of `Precision::default`.
    fn decode(&self, row: usize, col: usize, out: &mut [f32]) {
        let step = self.step(row, Precision::default());
        for (v, w) in out.iter_mut().zip(&self.row(row)[col..]) {
            *v = step.round(w.to_f32());
        }
    }

    fn fields(&self) -> Vec<(&'static str, usize)> {
        Vec::new()
    }

    fn parts(&self) -> Vec<(&'static str, &Tensor)> {
        let tables = TABLES.iter().zip(&self.tables).map(|((name, ..), table)| (*name, table));
        std::iter::once(("values", &self.values)).chain(tables).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_precision_has_a_text() {
        let all: Vec<Precision> = Precision::all().collect();
        assert_eq!(all.len(), 28);
        for precision in all {
            assert_eq!(precision.to_string().parse::<Precision>().unwrap(), precision);
        }
        for wrong in ["", "1", "9", "4:sym:sym", "4:layer:layer", "4:row", "sym", "-4", "4:"] {
            assert!(wrong.parse::<Precision>().is_err(), "{wrong}");
        }
    }
}
