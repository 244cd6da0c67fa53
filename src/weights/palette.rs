//! Weight clustering: n-bit indices into a table of values or of short vectors (eDKM; the semantics of coremltools
//! `constexpr_lut_to_dense`), with an optional scale per row or per group of columns. With one of the tables of
//! `tables.rs` and a scale per group it is NF4, FP4, MXFP4 or IQ4_NL.

use super::encoding::{Encoding, Stored};
use super::parts::{check_part, check_scales, matrix, row_bytes, row_stride, scale_at};
use super::tables;
use crate::tensor::{DType, Shape, Tensor, bits};
use crate::{Error, Result};

/// `W[r, c] = scale[r, c / group] · table[r / rows_per_table][code(r / dim, c)][r % dim]`.
#[derive(Clone)]
pub struct Palette {
    shape: Shape,
    bits: u32,
    rows_per_table: usize,
    /// Neighbouring rows that share a code: each entry of a table is a vector of so many values.
    dim: usize,
    /// u8 `[rows / dim, row_stride]`: LSB-first codes, each row padded to 32 bits.
    codes: Tensor,
    /// f32 `[tables, 2^bits]`, or `[tables, 2^bits, dim]`.
    table: Tensor,
    scale: Option<Scale>,
}

/// Factors beside a table.
#[derive(Clone)]
pub struct Scale {
    /// Columns that share a factor; at least `cols` = one per row.
    pub group: usize,
    /// f32, f16 or u8 (E8M0) `[rows]`, or `[rows, groups]`.
    pub values: Tensor,
}

impl Palette {
    /// One table of single values for every `rows_per_table` rows, and a factor f32 `[rows]` if any.
    pub fn new(
        shape: Shape,
        bits: u32,
        rows_per_table: usize,
        codes: Tensor,
        table: Tensor,
        scale: Option<Tensor>,
    ) -> Result<Self> {
        let (_, cols) = matrix(&shape)?;
        let scale = scale.map(|values| Scale { group: cols.max(1), values });
        Self::with(shape, bits, rows_per_table, 1, codes, table, scale)
    }

    /// Checks every size. `rows_per_table` ≥ rows means one table for the whole tensor.
    pub fn with(
        shape: Shape,
        bits: u32,
        rows_per_table: usize,
        dim: usize,
        codes: Tensor,
        table: Tensor,
        scale: Option<Scale>,
    ) -> Result<Self> {
        let (rows, cols) = matrix(&shape)?;
        if ![1, 2, 3, 4, 6, 8].contains(&bits) {
            return Err(Error::Usage(format!("a palette has 1, 2, 3, 4, 6 or 8 bits, not {bits}")));
        }
        if ![1, 2, 4].contains(&dim) {
            return Err(Error::Usage(format!("a palette's vectors have 1, 2 or 4 values, not {dim}")));
        }
        if rows_per_table == 0 || !rows_per_table.is_multiple_of(dim) {
            return Err(Error::Usage(format!("a palette's table must serve whole vectors of {dim} rows")));
        }
        check_part("palette", "codes", &codes, DType::U8, &[rows.div_ceil(dim), row_stride(cols, bits)])?;
        let tables = [rows.div_ceil(rows_per_table), 1 << bits, dim];
        check_part("palette", "table", &table, DType::F32, if dim == 1 { &tables[..2] } else { &tables })?;
        if let Some(Scale { group, values }) = &scale {
            if *group == 0 {
                return Err(Error::Usage("a palette's scale must serve at least one column".into()));
            }
            let groups = [rows, cols.div_ceil(*group)];
            check_scales(
                "palette",
                "scale",
                values,
                if values.shape().len() == 1 && groups[1] <= 1 { &groups[..1] } else { &groups },
            )?;
        }
        Ok(Palette { shape, bits, rows_per_table, dim, codes, table, scale })
    }

    pub(super) fn restore(shape: Shape, stored: &Stored) -> Result<Self> {
        let (_, cols) = matrix(&shape)?;
        let group = stored.opt_field("group").unwrap_or(cols.max(1));
        let dim = stored.opt_field("dim").unwrap_or(1);
        let scale = stored.opt_part("scale").map(|values| Scale { group, values });
        let rows_per_table = stored.field("rows_per_table")?;
        Self::with(shape, stored.bits()?, rows_per_table, dim, stored.part("codes")?, stored.part("table")?, scale)
    }

    pub fn bits(&self) -> u32 {
        self.bits
    }

    pub fn rows_per_table(&self) -> usize {
        self.rows_per_table
    }

    pub fn dim(&self) -> usize {
        self.dim
    }

    pub fn codes(&self) -> &Tensor {
        &self.codes
    }

    pub fn table(&self) -> &Tensor {
        &self.table
    }

    pub fn scale(&self) -> Option<&Scale> {
        self.scale.as_ref()
    }

    /// The codes' bytes of one row.
    pub fn row_codes(&self, row: usize) -> &[u8] {
        row_bytes(&self.codes, row / self.dim)
    }

    /// The values that serve `row`, before its scale: `2^bits` entries of `dim` values, of which the row's is number
    /// `row % dim`.
    pub fn row_table(&self, row: usize) -> &[f32] {
        let size = self.dim << self.bits;
        let table: &[f32] = bytemuck::cast_slice(self.table.bytes());
        &table[row / self.rows_per_table * size..][..size]
    }

    /// Scales of a row: 0 without, 1 for the whole row, or one per group.
    pub fn scales_per_row(&self) -> usize {
        let cols: usize = self.shape[1..].iter().product();
        self.scale.as_ref().map_or(0, |s| cols.div_ceil(s.group))
    }

    /// The factor of column `col` of `row`.
    pub fn scale_of(&self, row: usize, col: usize) -> f32 {
        match &self.scale {
            Some(s) => scale_at(&s.values, row * self.scales_per_row() + col / s.group),
            None => 1.0,
        }
    }
}

impl Encoding for Palette {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn name(&self) -> String {
        let values: &[f32] = bytemuck::cast_slice(self.table.bytes());
        let group = self.scale.as_ref().filter(|_| self.scales_per_row() > 1).map(|s| s.group);
        let same = |table: &[f32; 16]| values.iter().zip(table).all(|(a, b)| a.to_bits() == b.to_bits());
        let named = tables::NAMED.iter().find(|(_, table)| values.len() == 16 && same(table));
        let mut name = match (named, self.table.shape()[0]) {
            (Some((name, _)), _) => name.to_string(),
            (None, 1) => format!("palette:{}", self.bits),
            (None, _) => format!("palette:{}:rows={}", self.bits, self.rows_per_table),
        };
        if self.dim > 1 {
            name += &format!(":dim={}", self.dim);
        }
        match group {
            Some(group) => name + &format!(":group={group}"),
            None => name,
        }
    }

    fn decode(&self, row: usize, col: usize, out: &mut [f32]) {
        let (codes, table) = (self.row_codes(row), self.row_table(row));
        let (lane, mask) = (row % self.dim, (1 << self.bits) - 1);
        for (i, values) in out.chunks_mut(8).enumerate() {
            let mut word = bits::eight(codes, col + 8 * i, self.bits);
            for v in values {
                *v = table[(word as usize & mask) * self.dim + lane];
                word >>= self.bits;
            }
        }
        let Some(Scale { group, .. }) = self.scale else { return };
        let mut at = 0;
        while at < out.len() {
            let end = (group - (col + at) % group).saturating_add(at).min(out.len());
            let factor = self.scale_of(row, col + at);
            out[at..end].iter_mut().for_each(|v| *v *= factor);
            at = end;
        }
    }

    fn fields(&self) -> Vec<(&'static str, usize)> {
        let mut fields = vec![("bits", self.bits as usize), ("rows_per_table", self.rows_per_table)];
        if self.dim > 1 {
            fields.push(("dim", self.dim));
        }
        if self.scales_per_row() > 1 {
            fields.extend(self.scale.as_ref().map(|s| ("group", s.group)));
        }
        fields
    }

    fn parts(&self) -> Vec<(&'static str, &Tensor)> {
        let mut parts = vec![("codes", &self.codes), ("table", &self.table)];
        parts.extend(self.scale.as_ref().map(|s| ("scale", &s.values)));
        parts
    }
}
