//! Rows of a few-bit weight that one buffer holds: all, unless a part of the weight is larger than one binding.

use std::ops::Range;

use crate::Result;
use crate::gpu::columns;
use crate::tensor::{DType, Tensor, TensorType};
use crate::weights::Encoded;

/// Rows `first … first + rows` of a weight.
pub struct Window<'a> {
    pub encoded: &'a Encoded,
    pub first: usize,
    rows: usize,
}

impl<'a> Window<'a> {
    pub fn all(encoded: &'a Encoded) -> Self {
        Window { encoded, first: 0, rows: encoded.rows() }
    }

    /// Windows whose parts take at most `limit` bytes each. Their rows are a multiple of those that share a table or a
    /// code.
    pub fn split(encoded: &'a Encoded, limit: u64) -> Vec<Self> {
        let rows = encoded.rows();
        let parts = split_parts(encoded);
        let unit = parts.iter().map(|(shared, _)| *shared).max().unwrap_or(1);
        let bytes = parts.iter().map(|(_, bytes)| bytes.div_ceil(rows.max(1) as u64)).max().unwrap_or(1);
        let most = usize::try_from(limit / bytes.max(1)).unwrap_or(usize::MAX);
        ranges(rows, most, unit).map(|r| Window { encoded, first: r.start, rows: r.len() }).collect()
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The same rows of the values that a sparse weight holds.
    #[cfg(feature = "full")]
    pub fn of_values(&self, values: &'a Encoded) -> Window<'a> {
        Window { encoded: values, ..*self }
    }

    /// Rows from one column of a part to the next.
    pub fn height(&self) -> usize {
        columns::height(self.rows)
    }

    pub fn cols(&self) -> usize {
        self.encoded.cols()
    }

    /// What tells apart the buffers of a weight's windows: empty where there is one.
    pub fn label(&self) -> String {
        if self.rows == self.encoded.rows() { String::new() } else { format!(" of {}+{}", self.first, self.rows) }
    }

    /// A stored part of the weight (`codes`, `table`, …), whole.
    pub fn part(&self, name: &str) -> Option<&'a Tensor> {
        self.encoded.as_encoding().parts().into_iter().find(|(part, _)| *part == name).map(|(_, tensor)| tensor)
    }

    /// What the window needs of the part `name`.
    pub fn rows_of(&self, name: &str, part: &Tensor) -> Result<Tensor> {
        match shared(self.encoded, name) {
            Some(shared) if self.rows < self.encoded.rows() => {
                slice(part, self.first / shared..(self.first + self.rows).div_ceil(shared))
            }
            _ => Ok(part.clone()),
        }
    }
}

/// Of each part that can be split, those of values inside too: rows of the weight that one of its rows serves, and bytes.
fn split_parts(encoded: &Encoded) -> Vec<(usize, u64)> {
    let parts = encoded.as_encoding().parts().into_iter();
    let mut all: Vec<_> = parts.filter_map(|(name, part)| Some((shared(encoded, name)?, gpu_bytes(part)))).collect();
    if let Encoded::Sparse(w) = encoded {
        // A word of the mask comes with a count.
        all.iter_mut().for_each(|(_, bytes)| *bytes *= 2);
        all.extend(split_parts(w.values()));
    }
    all
}

/// Rows of the weight that one row of a part serves; `None` for a part that serves all.
fn shared(encoded: &Encoded, part: &str) -> Option<usize> {
    match (encoded, part) {
        (Encoded::Palette(w), "codes") => Some(w.dim()),
        (Encoded::Palette(w), "table") => (w.rows_per_table() < encoded.rows()).then(|| w.rows_per_table()),
        (Encoded::Codebook(_), "books") => None,
        _ => Some(1),
    }
}

/// `0 … rows` in ranges of at most `most`, multiples of `unit` but the last.
pub fn ranges(rows: usize, most: usize, unit: usize) -> impl Iterator<Item = Range<usize>> {
    let step = (most / unit * unit).max(unit);
    (0..rows).step_by(step).map(move |first| first..rows.min(first + step))
}

/// At least what the part takes as words or factors; all but bytes become f32.
fn gpu_bytes(part: &Tensor) -> u64 {
    let element = if part.dtype() == DType::U8 { 1 } else { 4 };
    element * part.len() as u64
}

/// Rows of a tensor.
pub fn slice(tensor: &Tensor, rows: Range<usize>) -> Result<Tensor> {
    let mut shape = tensor.shape().to_vec();
    let stride = tensor.bytes().len() / shape[0].max(1);
    let bytes = &tensor.bytes()[rows.start * stride..rows.end * stride];
    shape[0] = rows.len();
    Tensor::from_bytes(TensorType::new(tensor.dtype(), shape), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Palette;

    #[test]
    fn windows_hold_whole_tables() {
        let bytes = |shape: [usize; 2]| Tensor::new(shape, &vec![0u8; shape[0] * shape[1]]).unwrap();
        let table = Tensor::new([4, 16], &(0..64).map(|v| v as f32).collect::<Vec<_>>()).unwrap();
        let palette = Palette::new(vec![10, 24], 4, 3, bytes([10, 12]), table, None).unwrap();
        let encoded = Encoded::from(palette);
        // Codes take 12 bytes a row, tables 26.
        let windows = Window::split(&encoded, 200);
        assert_eq!(windows.iter().map(|w| (w.first, w.rows())).collect::<Vec<_>>(), [(0, 6), (6, 4)]);
        let tables = windows[1].rows_of("table", windows[1].part("table").unwrap()).unwrap();
        assert_eq!(tables.slice::<f32>().unwrap(), (32..64).map(|v| v as f32).collect::<Vec<_>>());
        assert_eq!(Window::split(&encoded, 1 << 20).len(), 1);
    }
}
