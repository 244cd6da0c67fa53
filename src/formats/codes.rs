//! Codes of few bits, row by row, in the order that encodings store them.

use crate::Result;
use crate::tensor::{DType, Tensor, TensorType, bits};
use crate::weights::parts::row_stride;

/// Collects the rows of a part `codes`: u8 `[rows, stride]`, LSB-first, each row padded to 32 bits.
pub struct Packer {
    packed: Tensor,
    stride: usize,
    bits: u32,
}

impl Packer {
    pub fn new(rows: usize, cols: usize, bits: u32) -> Result<Self> {
        let stride = row_stride(cols, bits);
        Ok(Packer { packed: Tensor::zeros(TensorType::new(DType::U8, [rows, stride]))?, stride, bits })
    }

    /// Sets row `row`, once, from one code a byte.
    pub fn row(&mut self, row: usize, codes: &[u8]) {
        let at = row * self.stride;
        bits::pack_into(codes, self.bits, &mut self.packed.bytes_mut()[at..at + self.stride]);
    }

    /// Sets row `row`, once, from codes of up to 16 bits.
    pub fn wide_row(&mut self, row: usize, codes: impl Iterator<Item = u16>) {
        let at = row * self.stride;
        let bytes = &mut self.packed.bytes_mut()[at..at + self.stride];
        for (i, code) in codes.enumerate() {
            let bit = i * self.bits as usize;
            let shifted = (u32::from(code) << (bit % 8)).to_le_bytes();
            bytes[bit / 8..].iter_mut().zip(shifted).for_each(|(byte, part)| *byte |= part);
        }
    }

    pub fn finish(self) -> Tensor {
        self.packed
    }
}
