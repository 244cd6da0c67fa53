//! The part of each axis that Slice takes.

use super::params::{self, Ints};
use crate::Result;
use crate::graph::Node;

/// Elements `start, start + step, …`, `count` of them, all inside the axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub start: usize,
    pub step: isize,
    pub count: usize,
}

/// Inputs 1–4 of Slice (starts, ends, axes, steps) on a tensor of shape `shape`: one range per axis.
pub fn ranges(node: &Node, shape: &[usize], ints: Ints) -> Result<Vec<Range>> {
    let starts = params::required(node, ints, 1)?;
    let ends = params::required(node, ints, 2)?;
    let axes = match ints(3)? {
        Some(axes) => params::axes(node, &axes, shape.len())?,
        None => (0..starts.len()).collect(),
    };
    let steps = ints(4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return Err(node.error(format!(
            "{} starts, {} ends, {} axes, {} steps",
            starts.len(),
            ends.len(),
            axes.len(),
            steps.len()
        )));
    }
    let mut ranges: Vec<Range> = shape.iter().map(|&d| Range { start: 0, step: 1, count: d }).collect();
    for (k, &axis) in axes.iter().enumerate() {
        let Some(slot) = ranges.get_mut(axis) else {
            return Err(node.error(format!("{} starts for a tensor of rank {}", starts.len(), shape.len())));
        };
        *slot = range(shape[axis], starts[k], ends[k], steps[k])
            .ok_or_else(|| node.error(format!("axis {axis} is sliced with step 0")))?;
    }
    Ok(ranges)
}

/// Python's `start:end:step` on an axis of `len` elements; `None` for step 0.
fn range(len: usize, start: i64, end: i64, step: i64) -> Option<Range> {
    // In i128 nothing below overflows.
    let (n, step) = (len as i128, i128::from(step));
    let from_end = |v: i64| if v < 0 { i128::from(v) + n } else { v.into() };
    let (start, end) = (from_end(start), from_end(end));
    let (start, count) = match step {
        0 => return None,
        1.. => {
            let start = start.clamp(0, n);
            (start, (end.clamp(0, n) - start + step - 1) / step)
        }
        _ => {
            let start = start.clamp(-1, n - 1);
            (start, (start - end.clamp(-1, n - 1) - step - 1) / -step)
        }
    };
    let count = count.max(0) as usize;
    if count == 0 {
        return Some(Range { start: 0, step: 1, count });
    }
    // With one element the step is never taken; else it is smaller than the axis.
    Some(Range { start: start as usize, step: if count > 1 { step as isize } else { 1 }, count })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_pythons() {
        let r = |len, start, end, step| range(len, start, end, step).map(|r| (r.start, r.step, r.count));
        assert_eq!(r(10, 2, 8, 3), Some((2, 3, 2)));
        assert_eq!(r(10, -1, i64::MIN, -1), Some((9, -1, 10)));
        assert_eq!(r(10, i64::MAX, i64::MIN, -3), Some((9, -3, 4)));
        assert_eq!(r(10, 20, 0, -1), Some((9, -1, 9)));
        assert_eq!(r(10, 0, i64::MAX, i64::MAX), Some((0, 1, 1)));
        assert_eq!(r(10, 9, 0, i64::MIN), Some((9, 1, 1)));
        assert_eq!(r(10, 5, 5, 1), Some((0, 1, 0)));
        assert_eq!(r(0, 0, 5, 1), Some((0, 1, 0)));
        assert_eq!(r(0, -1, -5, -1), Some((0, 1, 0)));
        assert_eq!(r(10, 0, 5, 0), None);
    }
}
