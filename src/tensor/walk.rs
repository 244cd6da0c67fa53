//! Broadcasting: an output visited in runs along which every operand is either contiguous or constant.

use std::ops::Range;

use super::broadcast_strides;

/// How operands lie under an output, with adjacent axes merged wherever all operands allow it.
pub struct Walk {
    /// Merged axes but the innermost.
    outer: Vec<usize>,
    /// Elements of the innermost merged axis.
    inner: usize,
    /// Per operand: strides along `outer`.
    strides: Vec<Vec<usize>>,
    /// Per operand: 1 (contiguous) or 0 (constant) along the innermost axis.
    steps: Vec<usize>,
}

impl Walk {
    /// `operands` are shapes that broadcast to `out`.
    pub fn new(out: &[usize], operands: &[&[usize]]) -> Self {
        let all: Vec<Vec<usize>> = operands.iter().map(|s| broadcast_strides(s, out)).collect();
        let mut dims: Vec<usize> = Vec::new();
        let mut strides: Vec<Vec<usize>> = vec![Vec::new(); operands.len()];
        for (axis, &d) in out.iter().enumerate() {
            if d == 1 {
                continue;
            }
            let merges = !dims.is_empty() && all.iter().zip(&strides).all(|(a, s)| s[s.len() - 1] == a[axis] * d);
            if !merges {
                dims.push(1);
                strides.iter_mut().for_each(|s| s.push(0));
            }
            let last = dims.len() - 1;
            dims[last] *= d;
            strides.iter_mut().zip(&all).for_each(|(s, a)| s[last] = a[axis]);
        }
        let inner = dims.pop().unwrap_or(1);
        let steps = strides.iter_mut().map(|s| s.pop().unwrap_or(1)).collect();
        Walk { outer: dims, inner, strides, steps }
    }

    /// 1 when operand `i` is contiguous along a run, 0 when it is one repeated element.
    pub fn step(&self, i: usize) -> usize {
        self.steps[i]
    }

    /// Merged axes, outermost first: their sizes, and per operand its strides along them.
    pub fn axes(&self) -> (Vec<usize>, Vec<Vec<usize>>) {
        let dims = self.outer.iter().copied().chain([self.inner]).collect();
        let whole = |(s, &step): (&Vec<usize>, &usize)| s.iter().copied().chain([step]).collect();
        (dims, self.strides.iter().zip(&self.steps).map(whole).collect())
    }

    /// Visits output elements `start .. start + len` in runs of at most `max`: `visit(range, offsets)`, where `range`
    /// counts from `start` and `offsets[i]` is where operand `i` begins.
    pub fn runs(&self, start: usize, len: usize, max: usize, mut visit: impl FnMut(Range<usize>, &[usize])) {
        if len == 0 || self.inner == 0 {
            return;
        }
        let mut column = start % self.inner;
        let mut index = vec![0; self.outer.len()];
        let mut rows: Vec<usize> = vec![0; self.strides.len()];
        let mut rest = start / self.inner;
        for axis in (0..self.outer.len()).rev() {
            index[axis] = rest % self.outer[axis];
            rest /= self.outer[axis];
            rows.iter_mut().zip(&self.strides).for_each(|(r, s)| *r += index[axis] * s[axis]);
        }
        let mut offsets = rows.clone();
        let mut at = 0;
        loop {
            let take = (self.inner - column).min(len - at).min(max);
            for ((o, r), step) in offsets.iter_mut().zip(&rows).zip(&self.steps) {
                *o = r + column * step;
            }
            visit(at..at + take, &offsets);
            at += take;
            column += take;
            if at >= len {
                return;
            }
            if column == self.inner {
                column = 0;
                self.next_row(&mut index, &mut rows);
            }
        }
    }

    fn next_row(&self, index: &mut [usize], rows: &mut [usize]) {
        for axis in (0..self.outer.len()).rev() {
            index[axis] += 1;
            rows.iter_mut().zip(&self.strides).for_each(|(r, s)| *r += s[axis]);
            if index[axis] < self.outer[axis] {
                return;
            }
            index[axis] = 0;
            rows.iter_mut().zip(&self.strides).for_each(|(r, s)| *r -= s[axis] * self.outer[axis]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_finds_its_operand() {
        let cases: &[(&[usize], &[usize])] = &[
            (&[2, 3, 4], &[3, 1]),
            (&[2, 3, 4], &[2, 1, 4]),
            (&[2, 3, 4], &[1]),
            (&[5], &[5]),
            (&[], &[]),
            (&[3, 1, 2], &[3, 1, 1]),
            (&[0, 3], &[1, 3]),
        ];
        for &(out, shape) in cases {
            let strides = broadcast_strides(shape, out);
            let own = crate::tensor::strides(out);
            let len: usize = out.iter().product();
            let want: Vec<usize> =
                (0..len).map(|i| (0..out.len()).map(|a| i / own[a] % out[a] * strides[a]).sum()).collect();
            let walk = Walk::new(out, &[shape, out]);
            for chunk in [1, 3, 100] {
                let mut got = vec![];
                for start in (0..len).step_by(chunk) {
                    walk.runs(start, chunk.min(len - start), 2, |range, offsets| {
                        assert_eq!(offsets[1], start + range.start);
                        got.extend(range.enumerate().map(|(i, _)| offsets[0] + i * walk.step(0)));
                    });
                }
                assert_eq!(got, want, "{shape:?} in {out:?}");
            }
        }
    }
}
