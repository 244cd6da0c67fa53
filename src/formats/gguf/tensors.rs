//! The blocks of a tensor → a weight.

use std::sync::Arc;

use half::f16;

use super::header::TensorInfo;
use super::kinds::{Codes, Form, Scales, Zero};
use crate::formats::codes::Packer;
use crate::formats::halves;
use crate::graph::Weight;
use crate::tensor::{Shape, Tensor, TensorType};
use crate::weights::{Affine, Encoded, KQuant, Palette, Scale, affine};
use crate::{Error, Result};

/// The weight that `data`, whole blocks of `info`'s type, holds.
pub fn weight(file: &str, info: &TensorInfo, data: &[u8]) -> Result<Weight> {
    if info.shape.len() < 2 && !matches!(info.kind.form, Form::Dense(_)) {
        let what = format!("{file}: tensor `{}` has one dimension and type {}", info.name, info.kind.name);
        return Err(Error::Unsupported(what));
    }
    let blocks = Blocks::new(info, data);
    let encoded: Encoded = match &info.kind.form {
        Form::Dense(dtype) => {
            return halves::weight(Tensor::from_bytes(TensorType::new(*dtype, info.shape.clone()), data)?);
        }
        Form::Affine { bits, scale, zero, codes } => {
            let zero = match *zero {
                Zero::Middle => affine::Zero::Middle,
                Zero::Code(code) => {
                    affine::Zero::PerGroup(Tensor::new(blocks.grid(1), &vec![code; blocks.rows * blocks.per_row])?)
                }
                Zero::Offset(at) => affine::Zero::Offset(blocks.halves(&[at])?),
            };
            let (codes, scales) = (blocks.codes(*codes, *bits)?, blocks.halves(&[*scale])?);
            Affine::new(info.shape.clone(), *bits, info.kind.block, codes, scales, zero)?.into()
        }
        Form::Palette { table, group, scales, codes } => {
            let values = match scales {
                Scales::Half(at) => blocks.halves(&[*at])?,
                Scales::Power(at) => {
                    let powers: Vec<u8> = blocks.iter().map(|block| block[*at]).collect();
                    Tensor::new(blocks.grid(1), &powers)?
                }
                Scales::Computed(compute) => blocks.computed(info.kind.block / group, *compute)?,
            };
            let table = Tensor::new([1, 16], &table[..])?;
            let scale = Some(Scale { group: *group, values });
            let codes = blocks.codes(*codes, 4)?;
            // One table for all rows, whatever their number.
            Palette::with(info.shape.clone(), 4, blocks.rows, 1, codes, table, scale)?.into()
        }
        Form::KQuant { bits, group, scale_bits, supers, scales, codes } => {
            let minima = supers.len() == 2;
            let per_block = info.kind.block / group * supers.len();
            let scales = blocks.packed(*scales, per_block, *scale_bits as u32)?;
            let mut halves = blocks.halves(supers)?;
            if minima {
                halves = halves.reshaped([blocks.rows, blocks.per_row, 2])?;
            }
            let codes = blocks.codes(*codes, *bits as u32)?;
            KQuant::new(info.shape.clone(), [*bits, *group, *scale_bits], minima, codes, scales, halves)?.into()
        }
    };
    Ok(Weight::Encoded(Arc::new(encoded)))
}

/// A tensor's blocks, row by row. A row has whole blocks, and so has the data.
struct Blocks<'a> {
    data: &'a [u8],
    rows: usize,
    per_row: usize,
    block: usize,
    bytes: usize,
}

impl<'a> Blocks<'a> {
    fn new(info: &TensorInfo, data: &'a [u8]) -> Self {
        let cols: usize = info.shape.iter().skip(1).product();
        let (block, bytes) = (info.kind.block, info.kind.bytes);
        Blocks { data, rows: info.shape.first().copied().unwrap_or(1), per_row: cols / block, block, bytes }
    }

    fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        self.data.chunks_exact(self.bytes)
    }

    /// The shape of so many factors for each block.
    fn grid(&self, per_block: usize) -> Shape {
        vec![self.rows, self.per_row * per_block]
    }

    fn codes(&self, unpack: Codes, bits: u32) -> Result<Tensor> {
        self.packed(unpack, self.block, bits)
    }

    /// Numbers of `bits` bits, `per_block` of each block, packed row by row.
    fn packed(&self, unpack: Codes, per_block: usize, bits: u32) -> Result<Tensor> {
        let mut packer = Packer::new(self.rows, self.per_row * per_block, bits)?;
        let mut row = vec![0; self.per_row * per_block];
        for (r, blocks) in self.data.chunks_exact(self.per_row * self.bytes).enumerate() {
            for (block, codes) in blocks.chunks_exact(self.bytes).zip(row.chunks_exact_mut(per_block)) {
                unpack(block, codes);
            }
            packer.row(r, &row);
        }
        Ok(packer.finish())
    }

    /// The f16 at these places of each block: `[rows, blocks · places]`.
    fn halves(&self, places: &[usize]) -> Result<Tensor> {
        let half = |block: &[u8], at: usize| f16::from_le_bytes([block[at], block[at + 1]]);
        let mut values = vec![f16::ZERO; self.rows * self.per_row * places.len()];
        for (block, values) in self.iter().zip(values.chunks_exact_mut(places.len())) {
            values.iter_mut().zip(places).for_each(|(value, &at)| *value = half(block, at));
        }
        Tensor::new(self.grid(places.len()), &values)
    }

    fn computed(&self, per_block: usize, compute: fn(&[u8], &mut [f32])) -> Result<Tensor> {
        let mut values = vec![0f32; self.rows * self.per_row * per_block];
        self.iter().zip(values.chunks_exact_mut(per_block)).for_each(|(block, scales)| compute(block, scales));
        Tensor::new(self.grid(per_block), &values)
    }
}
