//! Where each output position of Pad comes from: one table per axis serves every mode.

use std::ops::Range;

use crate::{Error, Result};

/// Source index of every output index along one axis; `None` where the constant goes.
pub struct Axis {
    pub from: Vec<Option<usize>>,
    /// Output indices whose sources are consecutive.
    pub middle: Range<usize>,
}

impl Axis {
    /// An axis of `len` elements that becomes `out`, `before` of them in front (negative: cropped).
    pub fn new(len: usize, out: usize, before: i64, mode: &str) -> Result<Self> {
        let n = len as i64;
        // Reflection repeats with this period; an axis of one element repeats itself.
        let period = (2 * n - 2).max(1);
        let at = |o: usize| {
            let i = o as i64 - before;
            let inside = match mode {
                _ if (0..n).contains(&i) => i,
                "constant" => return Ok(None),
                "edge" => i.clamp(0, n - 1),
                "wrap" => i.rem_euclid(n),
                "reflect" => i.rem_euclid(period).min(period - i.rem_euclid(period)).min(n - 1),
                other => return Err(Error::Unsupported(format!("Pad with mode {other}"))),
            };
            Ok(Some(inside as usize))
        };
        let from = (0..out).map(at).collect::<Result<_>>()?;
        let start = before.clamp(0, out as i64) as usize;
        let end = before.saturating_add(n).clamp(start as i64, out as i64) as usize;
        Ok(Axis { from, middle: start..end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_repeat_as_numpy_does() {
        let table = |mode| -> Vec<usize> { Axis::new(3, 10, 3, mode).unwrap().from.into_iter().flatten().collect() };
        assert_eq!(table("constant"), [0, 1, 2]);
        assert_eq!(table("edge"), [0, 0, 0, 0, 1, 2, 2, 2, 2, 2]);
        assert_eq!(table("wrap"), [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(table("reflect"), [1, 2, 1, 0, 1, 2, 1, 0, 1, 2]);
        assert_eq!(Axis::new(1, 3, 1, "reflect").unwrap().from, [Some(0); 3]);
        assert_eq!(Axis::new(5, 2, -2, "constant").unwrap().from, [Some(2), Some(3)]);
    }
}
