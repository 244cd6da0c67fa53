//! The quantization and Huffman tables that a file defines.

use super::bits::{Broken, Huffman};

/// Row-order position of the k-th coefficient of the zigzag.
#[rustfmt::skip]
pub const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47,
    55, 62, 63,
];

/// What segments define for the scans after them.
#[derive(Default)]
pub struct Tables {
    pub quantum: [Option<[u16; 64]>; 4],
    pub dc: [Option<Huffman>; 4],
    pub ac: [Option<Huffman>; 4],
    /// Units between restart markers, or 0.
    pub restart: usize,
}

impl Tables {
    /// Takes the body of a DQT segment.
    pub fn quantization(&mut self, mut body: &[u8]) -> Result<(), Broken> {
        let broken = "a quantization table is damaged";
        while let Some((&kind, rest)) = body.split_first() {
            let wide = kind >> 4 != 0;
            let (values, rest) = rest.split_at_checked(if wide { 128 } else { 64 }).ok_or(broken)?;
            let table = self.quantum.get_mut(usize::from(kind & 15)).ok_or(broken)?.insert([0; 64]);
            for (k, &place) in ZIGZAG.iter().enumerate() {
                let value = if wide { [values[2 * k], values[2 * k + 1]] } else { [0, values[k]] };
                table[usize::from(place)] = u16::from_be_bytes(value);
            }
            body = rest;
        }
        Ok(())
    }

    /// Takes the body of a DHT segment.
    pub fn huffman(&mut self, mut body: &[u8]) -> Result<(), Broken> {
        let broken = "a Huffman table is damaged";
        while let Some((&kind, rest)) = body.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or(broken)?;
            let total = counts.iter().map(|count| usize::from(*count)).sum();
            let (symbols, rest) = rest.split_at_checked(total).ok_or(broken)?;
            let tables = if kind >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            *tables.get_mut(usize::from(kind & 15)).ok_or(broken)? = Some(Huffman::new(counts, symbols)?);
            body = rest;
        }
        Ok(())
    }
}
