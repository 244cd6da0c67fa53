//! Weight clustering: n-bit indices into a table of values (eDKM; the semantics of coremltools `constexpr_lut_to_dense`
//! with one table per group of rows and an optional scale per row).

use super::{Encoding, matrix, row_stride};
use crate::tensor::{DType, Shape, Tensor, bits};
use crate::{Error, Result};

/// `W[r, c] = scale[r] · table[r / rows_per_table][code(r, c)]`.
#[derive(Clone)]
pub struct Palette {
    shape: Shape,
    bits: u32,
    rows_per_table: usize,
    /// u8 `[rows, row_stride]`: LSB-first codes, each row padded to 32 bits.
    codes: Tensor,
    /// f32 `[tables, 2^bits]`.
    table: Tensor,
    /// f32 `[rows]`.
    scale: Option<Tensor>,
}

impl Palette {
    /// Checks every size. `rows_per_table` = `rows` means one table for the whole tensor.
    pub fn new(
        shape: Shape,
        bits: u32,
        rows_per_table: usize,
        codes: Tensor,
        table: Tensor,
        scale: Option<Tensor>,
    ) -> Result<Self> {
        let (rows, cols) = matrix(&shape)?;
        if ![1, 2, 3, 4, 6, 8].contains(&bits) {
            return Err(Error::Usage(format!("a palette has 1, 2, 3, 4, 6 or 8 bits, not {bits}")));
        }
        if rows_per_table == 0 {
            return Err(Error::Usage("a palette's table must serve at least one row".into()));
        }
        let expect = [
            ("codes", &codes, DType::U8, vec![rows, row_stride(cols, bits)]),
            ("table", &table, DType::F32, vec![rows.div_ceil(rows_per_table), 1 << bits]),
        ];
        for (part, tensor, dtype, want) in expect {
            check_part("palette", part, tensor, dtype, &want)?;
        }
        if let Some(scale) = &scale {
            check_part("palette", "scale", scale, DType::F32, &[rows])?;
        }
        Ok(Palette { shape, bits, rows_per_table, codes, table, scale })
    }

    pub fn bits(&self) -> u32 {
        self.bits
    }

    pub fn rows_per_table(&self) -> usize {
        self.rows_per_table
    }

    pub fn codes(&self) -> &Tensor {
        &self.codes
    }

    pub fn table(&self) -> &Tensor {
        &self.table
    }

    pub fn scale(&self) -> Option<&Tensor> {
        self.scale.as_ref()
    }

    /// The codes' bytes of one row.
    pub fn row_codes(&self, row: usize) -> &[u8] {
        let stride = self.codes.shape()[1];
        &self.codes.bytes()[row * stride..(row + 1) * stride]
    }

    /// The `2^bits` values that serve `row`, before its scale.
    pub fn row_table(&self, row: usize) -> &[f32] {
        let size = 1 << self.bits;
        let table: &[f32] = bytemuck::cast_slice(self.table.bytes());
        &table[row / self.rows_per_table * size..][..size]
    }

    pub fn row_scale(&self, row: usize) -> f32 {
        self.scale.as_ref().map_or(1.0, |s| bytemuck::cast_slice::<u8, f32>(s.bytes())[row])
    }
}

impl Encoding for Palette {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn name(&self) -> String {
        match self.table.shape()[0] {
            1 => format!("palette:{}", self.bits),
            _ => format!("palette:{}:rows={}", self.bits, self.rows_per_table),
        }
    }

    fn decode(&self, row: usize, col: usize, out: &mut [f32]) {
        let (codes, table, scale) = (self.row_codes(row), self.row_table(row), self.row_scale(row));
        for (i, v) in out.iter_mut().enumerate() {
            *v = scale * table[bits::get(codes, col + i, self.bits) as usize];
        }
    }

    fn parts(&self) -> Vec<(&'static str, &Tensor)> {
        let mut parts = vec![("codes", &self.codes), ("table", &self.table)];
        parts.extend(self.scale.as_ref().map(|s| ("scale", s)));
        parts
    }
}

/// A stored part must have exactly the expected type.
pub(super) fn check_part(encoding: &str, part: &str, tensor: &Tensor, dtype: DType, shape: &[usize]) -> Result<()> {
    if tensor.dtype() == dtype && tensor.shape() == shape {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "{encoding} part `{part}` must be {} {shape:?}, got {} {:?}",
        dtype.name(),
        tensor.dtype().name(),
        tensor.shape()
    )))
}
