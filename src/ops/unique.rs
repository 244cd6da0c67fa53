//! Which elements (or slices along an axis) of a tensor are the distinct ones: shape function and kernel share it.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::{InferFn, params};
use crate::graph::Node;
use crate::tensor::{DType, TensorType, View, normalize_axis};
use crate::{Result, for_dtype};

pub const OPS: &[(&str, InferFn)] = &[("Unique", |i| {
    let found = unique(i.node, i.value(0)?.view())?;
    let n = found.first.len();
    let shape = match found.axis {
        Some(axis) => {
            let mut shape = i.shape(0)?.to_vec();
            shape[axis] = n;
            shape
        }
        None => vec![n],
    };
    let list = |n: usize| TensorType::new(DType::I64, [n]);
    let types = vec![TensorType::new(i.dtype(0)?, shape), list(n), list(found.inverse.len()), list(n)];
    params::outputs(i, types)
})];

pub struct Unique {
    /// `None` when the flattened tensor is searched.
    pub axis: Option<usize>,
    /// Position of the first occurrence of each distinct entry, in output order.
    pub first: Vec<i64>,
    /// For every entry of the input, which distinct one it is.
    pub inverse: Vec<i64>,
    pub counts: Vec<i64>,
}

/// A total order on elements of one type; NaN sorts last and equals itself.
fn order(dtype: DType, a: &[u8], b: &[u8]) -> Ordering {
    for_dtype!(dtype, T => {
        let pairs = a.chunks_exact(size_of::<T>()).zip(b.chunks_exact(size_of::<T>()));
        for (a, b) in pairs {
            let (a, b): (T, T) = (bytemuck::pod_read_unaligned(a), bytemuck::pod_read_unaligned(b));
            #[allow(clippy::eq_op, reason = "NaN is what differs from itself")]
            let by_value = a.partial_cmp(&b).unwrap_or_else(|| (a != a).cmp(&(b != b)));
            if by_value != Ordering::Equal {
                return by_value;
            }
        }
        Ordering::Equal
    })
}

struct Entry {
    dtype: DType,
    bytes: Vec<u8>,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        order(self.dtype, &self.bytes, &other.bytes)
    }
}

/// Attributes `axis` (absent: flattened) and `sorted` (default 1; else in order of first occurrence).
pub fn unique(node: &Node, x: View) -> Result<Unique> {
    let size = x.dtype.size();
    let axis = match node.attrs.int("axis") {
        None => None,
        Some(axis) => Some(
            normalize_axis(axis, x.shape.len())
                .ok_or_else(|| node.error(format!("axis {axis} is outside the shape {:?}", x.shape)))?,
        ),
    };
    let (outer, count, inner) = match axis {
        None => (1, x.len(), 1),
        Some(a) => (x.shape[..a].iter().product(), x.shape[a], x.shape[a + 1..].iter().product::<usize>()),
    };
    let entry = |k: usize| {
        let block = inner * size;
        let bytes = (0..outer).flat_map(|o| x.bytes[(o * count + k) * block..][..block].iter().copied()).collect();
        Entry { dtype: x.dtype, bytes }
    };

    // Distinct entries with (first occurrence, number in order of occurrence).
    let mut seen: BTreeMap<Entry, usize> = BTreeMap::new();
    let (mut first, mut counts, mut inverse) = (Vec::new(), Vec::new(), Vec::with_capacity(count));
    for k in 0..count {
        let number = *seen.entry(entry(k)).or_insert_with(|| {
            first.push(k as i64);
            counts.push(0i64);
            first.len() - 1
        });
        counts[number] += 1;
        inverse.push(number as i64);
    }
    if node.attrs.int_or("sorted", 1) != 0 {
        let sorted: Vec<usize> = seen.into_values().collect();
        let mut rank = vec![0i64; sorted.len()];
        for (to, &from) in sorted.iter().enumerate() {
            rank[from] = to as i64;
        }
        first = sorted.iter().map(|&n| first[n]).collect();
        counts = sorted.iter().map(|&n| counts[n]).collect();
        inverse.iter_mut().for_each(|n| *n = rank[*n as usize]);
    }
    Ok(Unique { axis, first, inverse, counts })
}
