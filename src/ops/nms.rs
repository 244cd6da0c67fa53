//! Greedy non-maximum suppression: shape function and kernel share it.

use std::cmp::Ordering;

use crate::Result;
use crate::graph::Node;
use crate::tensor::{View, order};

/// Corners of a box, ordered.
struct Corners {
    y: [f32; 2],
    x: [f32; 2],
}

impl Corners {
    /// `[y1, x1, y2, x2]` in any order of corners, or `[x, y, width, height]` about a centre.
    fn new(b: &[f32], centre: bool) -> Self {
        let [y, x] = if centre {
            let (w, h) = (b[2] / 2.0, b[3] / 2.0);
            [[b[1] - h, b[1] + h], [b[0] - w, b[0] + w]]
        } else {
            [[b[0], b[2]], [b[1], b[3]]]
        };
        let sort = |[a, b]: [f32; 2]| [a.min(b), a.max(b)];
        Corners { y: sort(y), x: sort(x) }
    }

    fn area(&self) -> f32 {
        (self.y[1] - self.y[0]) * (self.x[1] - self.x[0])
    }

    /// Intersection over union; 0 for boxes without area.
    fn overlap(&self, other: &Self) -> f32 {
        let side = |a: &[f32; 2], b: &[f32; 2]| (a[1].min(b[1]) - a[0].max(b[0])).max(0.0);
        let both = side(&self.y, &other.y) * side(&self.x, &other.x);
        let union = self.area() + other.area() - both;
        if union > 0.0 { both / union } else { 0.0 }
    }
}

/// Rows `[batch, class, box]` that survive. `boxes`: `[batches, n, 4]`, `scores`: `[batches, classes, n]`, `limits`:
/// the most boxes per class (default 0), the overlap above which a box goes (default 0), the least score (default any).
pub fn select(node: &Node, boxes: View, scores: View, limits: &[Option<View>; 3]) -> Result<Vec<[i64; 3]>> {
    let (&[batches, n, 4], &[score_batches, classes, m]) = (boxes.shape, scores.shape) else {
        return Err(node.error(format!("boxes of shape {:?}, scores of {:?}", boxes.shape, scores.shape)));
    };
    if batches != score_batches || n != m {
        return Err(node.error(format!("boxes of shape {:?}, scores of {:?}", boxes.shape, scores.shape)));
    }
    let most = match limits[0] {
        Some(v) => v.to_tensor()?.to_i64()?.first().copied().unwrap_or(0).max(0) as usize,
        None => 0,
    };
    let number = |v: Option<View>| -> Result<Option<f32>> {
        Ok(match v {
            Some(v) => v.to_tensor()?.to_f32()?.first().copied(),
            None => None,
        })
    };
    let overlap = number(limits[1])?.unwrap_or(0.0);
    let least = number(limits[2])?;
    let centre = node.attrs.int_or("center_point_box", 0) != 0;
    let (boxes, scores) = (boxes.slice::<f32>()?, scores.slice::<f32>()?);

    let mut out = Vec::new();
    if n == 0 || most == 0 {
        return Ok(out);
    }
    for (batch, (boxes, scores)) in boxes.chunks_exact(4 * n).zip(scores.chunks(n * classes.max(1))).enumerate() {
        let corners: Vec<Corners> = boxes.chunks_exact(4).map(|b| Corners::new(b, centre)).collect();
        for (class, scores) in scores.chunks_exact(n).enumerate() {
            let mut order: Vec<usize> = (0..n).filter(|&k| least.is_none_or(|l| scores[k] > l)).collect();
            order::sort(&mut order, &|&a, &b| scores[b].partial_cmp(&scores[a]).unwrap_or(Ordering::Equal));
            let mut kept: Vec<usize> = Vec::new();
            for k in order {
                if kept.len() == most {
                    break;
                }
                if kept.iter().all(|&j| corners[j].overlap(&corners[k]) <= overlap) {
                    kept.push(k);
                    out.push([batch as i64, class as i64, k as i64]);
                }
            }
        }
    }
    Ok(out)
}
