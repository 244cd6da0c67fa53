//! Layers of affine integers whose columns may lie in any order of groups.

use super::state::State;
use crate::Result;
use crate::formats::codes::Packer;
use crate::tensor::{Tensor, bits};
use crate::weights::parts::scale_at;
use crate::weights::{Affine, Zero};

pub struct Grouped {
    pub rows: usize,
    pub cols: usize,
    pub bits: u32,
    pub group: usize,
    /// u8 `[rows, row_stride]`, in the order of the file's columns.
    pub codes: Tensor,
    /// `[rows, groups]`
    pub scales: Tensor,
    /// `[rows, groups]`, row-major; `None` = the middle code. GPTQ's of 8 bits go up to 256.
    pub zeros: Option<Vec<u16>>,
    /// The group of each column, if the file says.
    pub columns: Option<Vec<i64>>,
}

impl Grouped {
    fn groups(&self) -> usize {
        self.cols.div_ceil(self.group)
    }

    /// Stores the layer in the encoding, or decoded if its groups or zeros fit none.
    pub fn put(mut self, state: &mut State, layer: &str) -> Result<()> {
        let groups = self.groups();
        let middle = 1u16 << (self.bits - 1);
        let natural = |columns: &[i64]| columns.iter().enumerate().all(|(i, &g)| g == (i / self.group) as i64);
        let columns = self.columns.take().filter(|columns| !natural(columns));
        let zeros = self.zeros.take().filter(|zeros| zeros.iter().any(|&z| z != middle));
        let bytes: Option<Vec<u8>> = match &zeros {
            Some(zeros) => zeros.iter().map(|&z| u8::try_from(z).ok()).collect(),
            None => Some(Vec::new()),
        };
        let order = match &columns {
            Some(columns) => match self.order(columns) {
                Some(order) => Some(order),
                None => return self.put_decoded(state, layer, columns, zeros.as_deref()),
            },
            None => None,
        };
        let Some(bytes) = bytes else {
            let columns = columns.unwrap_or_else(|| (0..self.cols).map(|i| (i / self.group) as i64).collect());
            return self.put_decoded(state, layer, &columns, zeros.as_deref());
        };
        let zero = match zeros {
            Some(_) => Zero::PerGroup(Tensor::new([self.rows, groups], &bytes)?),
            None => Zero::Middle,
        };
        let shape = vec![self.rows, self.cols];
        let codes = match &order {
            Some(order) => self.reordered(order)?,
            None => self.codes,
        };
        let affine = Affine::new(shape, self.bits, self.group, codes, self.scales, zero)?;
        match order {
            Some(order) => {
                let order: Vec<i64> = order.into_iter().map(|c| c as i64).collect();
                state.put_dense(layer, "weight_order", Tensor::new([order.len()], &order)?);
                state.put(layer, "weight_sorted", affine);
            }
            None => state.put(layer, "weight", affine),
        }
        Ok(())
    }

    /// The columns sorted by group, each in the order of the file; `None` if groups are not of equal size.
    fn order(&self, columns: &[i64]) -> Option<Vec<usize>> {
        let mut count = vec![0usize; self.groups()];
        for &group in columns {
            *count.get_mut(usize::try_from(group).ok()?)? += 1;
        }
        let full = |(g, &n): (usize, &usize)| n == self.group.min(self.cols - g * self.group);
        if columns.len() != self.cols || !count.iter().enumerate().all(full) {
            return None;
        }
        let mut next: Vec<usize> = (0..self.groups()).map(|g| g * self.group).collect();
        let mut order = vec![0; self.cols];
        for (column, &group) in columns.iter().enumerate() {
            let place = &mut next[group as usize];
            order[*place] = column;
            *place += 1;
        }
        Some(order)
    }

    fn row(&self, row: usize) -> &[u8] {
        let stride = self.codes.shape()[1];
        &self.codes.bytes()[row * stride..][..stride]
    }

    fn reordered(&self, order: &[usize]) -> Result<Tensor> {
        let mut packer = Packer::new(self.rows, self.cols, self.bits)?;
        for row in 0..self.rows {
            let codes = self.row(row);
            let sorted: Vec<u8> = order.iter().map(|&column| bits::get(codes, column, self.bits)).collect();
            packer.row(row, &sorted);
        }
        Ok(packer.finish())
    }

    fn put_decoded(&self, state: &mut State, layer: &str, columns: &[i64], zeros: Option<&[u16]>) -> Result<()> {
        let groups = self.groups();
        let valid = |&g: &i64| usize::try_from(g).is_ok_and(|g| g < groups);
        if columns.len() != self.cols || !columns.iter().all(valid) {
            return Err(state.error(layer, "puts a column into a group that it does not have"));
        }
        let middle = 1u16 << (self.bits - 1);
        state.put_half(layer, vec![self.rows, self.cols], |row, out| {
            let codes = self.row(row);
            for (column, out) in out.iter_mut().enumerate() {
                let at = row * groups + columns[column] as usize;
                let zero = zeros.map_or(middle, |zeros| zeros[at]);
                let code = f32::from(bits::get(codes, column, self.bits));
                *out = (code - f32::from(zero)) * scale_at(&self.scales, at);
            }
        })
    }
}
