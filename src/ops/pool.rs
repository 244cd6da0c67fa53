//! Pooling windows: where they lie and how many there are.

use super::params;
use super::{Infer, InferFn};
use crate::graph::Node;
use crate::tensor::{DType, Shape, TensorType};
use crate::{Error, Result};

pub const OPS: &[(&str, InferFn)] = &[
    ("MaxPool", |i| {
        let out = pooled(i)?;
        params::outputs(i, vec![out.clone(), TensorType::new(DType::I64, out.shape)])
    }),
    ("AveragePool", |i| Ok(vec![pooled(i)?])),
    ("LpPool", |i| Ok(vec![pooled(i)?])),
    ("GlobalAveragePool", global),
    ("GlobalMaxPool", global),
    ("GlobalLpPool", global),
    ("MaxUnpool", max_unpool),
    ("MaxRoiPool", |i| {
        let shape = params::rank(i, 0, 4)?.to_vec();
        let &[rois, 5] = i.shape(1)? else { return Err(i.node.error("regions must be [n, 5]")) };
        let size = pooled_shape(i.node)?;
        i.one(i.dtype(0)?, [rois, shape[1], size[0], size[1]])
    }),
];

/// The windows along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub len: usize,
    pub out: usize,
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    /// Padding before and after.
    pub before: usize,
    pub after: usize,
}

impl Window {
    /// Output positions `low .. high` for which tap `tap` of the window lies inside the axis.
    pub fn inside(&self, tap: usize) -> std::ops::Range<usize> {
        let shift = tap * self.dilation;
        let low = self.before.saturating_sub(shift).div_ceil(self.stride).min(self.out);
        let high = (self.len + self.before).saturating_sub(shift).div_ceil(self.stride).clamp(low, self.out);
        low..high
    }

    /// Taps of window `o` inside the axis, or inside the axis with its padding.
    pub fn taps(&self, o: usize, with_padding: bool) -> usize {
        let (low, high) = match with_padding {
            true => (0, self.before + self.len + self.after),
            false => (self.before, self.before + self.len),
        };
        (0..self.kernel).filter(|t| (low..high).contains(&(o * self.stride + t * self.dilation))).count()
    }
}

/// The windows of every spatial axis of a pooling node on input `[batch, channels, …]`.
pub fn windows(node: &Node, shape: &[usize]) -> Result<Vec<Window>> {
    let spatial = shape.get(2..).filter(|s| !s.is_empty());
    let spatial = spatial.ok_or_else(|| node.error(format!("needs [batch, channels, …], got {shape:?}")))?;
    let n = spatial.len();
    let kernel = node.attrs.ints("kernel_shape").ok_or_else(|| node.error("attribute `kernel_shape` is missing"))?;
    let kernel = sizes(node, "kernel_shape", kernel, n)?;
    let list = |name: &str| sizes(node, name, node.attrs.ints(name).unwrap_or(&vec![1; n]), n);
    let (strides, dilations) = (list("strides")?, list("dilations")?);
    let pads = node.attrs.ints("pads").map_or_else(|| vec![0; 2 * n], <[i64]>::to_vec);
    if pads.len() != 2 * n || pads.iter().any(|p| !(0..1 << 28).contains(p)) {
        return Err(node.error(format!("pads {pads:?} do not fit {n} axes")));
    }
    let ceil = node.attrs.flag("ceil_mode");
    let auto = node.attrs.string_or("auto_pad", "NOTSET");
    (0..n)
        .map(|a| {
            let (len, kernel, stride, dilation) = (spatial[a], kernel[a], strides[a], dilations[a]);
            let reach = dilation * (kernel - 1) + 1;
            let (before, after, out) = match auto {
                "SAME_UPPER" | "SAME_LOWER" => {
                    let out = len.div_ceil(stride);
                    let total = (out.saturating_sub(1) * stride + reach).saturating_sub(len);
                    let small = total / 2;
                    if auto == "SAME_UPPER" { (small, total - small, out) } else { (total - small, small, out) }
                }
                "NOTSET" | "" | "VALID" => {
                    let valid = auto == "VALID";
                    let before = if valid { 0 } else { pads[a] as usize };
                    let after = if valid { 0 } else { pads[a + n] as usize };
                    let room = (len + before + after).checked_sub(reach).ok_or_else(|| {
                        node.error(format!("a window of {reach} does not fit an axis of {len} with its padding"))
                    })?;
                    let mut out = if ceil { room.div_ceil(stride) } else { room / stride } + 1;
                    // A window must not start in the padding after the axis.
                    if ceil && (out - 1) * stride >= len + before {
                        out -= 1;
                    }
                    (before, after, out)
                }
                other => return Err(Error::Unsupported(format!("{} with auto_pad {other}", node.op))),
            };
            Ok(Window { len, out, kernel, stride, dilation, before, after })
        })
        .collect()
}

fn sizes(node: &Node, name: &str, list: &[i64], n: usize) -> Result<Vec<usize>> {
    if list.len() != n || list.iter().any(|v| !(1..1 << 15).contains(v)) {
        return Err(node.error(format!("attribute `{name}` is {list:?}, but {n} small positive numbers are needed")));
    }
    Ok(list.iter().map(|&v| v as usize).collect())
}

fn pooled(infer: &Infer) -> Result<TensorType> {
    let ty = infer.ty(0)?;
    let windows = windows(infer.node, &ty.shape)?;
    let shape: Shape = ty.shape[..2].iter().copied().chain(windows.iter().map(|w| w.out)).collect();
    params::product(infer.node, &shape)?;
    Ok(TensorType::new(ty.dtype, shape))
}

fn global(infer: &Infer) -> Result<Vec<TensorType>> {
    let shape = infer.shape(0)?;
    if shape.len() < 2 {
        return Err(infer.node.error(format!("needs [batch, channels, …], got {shape:?}")));
    }
    infer.one(infer.dtype(0)?, shape.iter().enumerate().map(|(i, &d)| if i < 2 { d } else { 1 }).collect::<Shape>())
}

fn max_unpool(infer: &Infer) -> Result<Vec<TensorType>> {
    let node = infer.node;
    let shape = infer.shape(0)?;
    if infer.shape(1)? != shape || infer.dtype(1)? != DType::I64 || shape.len() < 3 {
        return Err(node.error("needs one int64 index for each element"));
    }
    if let Some(wanted) = infer.opt_value(2)? {
        let wanted = wanted.to_i64()?.iter().map(|&d| params::dim(node, d.into())).collect::<Result<Shape>>()?;
        if wanted.len() != shape.len() || wanted[..2] != shape[..2] {
            return Err(node.error(format!("{shape:?} does not unpool to {wanted:?}")));
        }
        params::product(node, &wanted)?;
        return infer.one(infer.dtype(0)?, wanted);
    }
    let n = shape.len() - 2;
    let kernel = sizes(node, "kernel_shape", node.attrs.ints("kernel_shape").unwrap_or(&[]), n)?;
    let strides = sizes(node, "strides", node.attrs.ints("strides").unwrap_or(&vec![1; n]), n)?;
    let pads = node.attrs.ints("pads").map_or_else(|| vec![0; 2 * n], <[i64]>::to_vec);
    if pads.len() != 2 * n {
        return Err(node.error(format!("pads {pads:?} do not fit {n} axes")));
    }
    let mut out = shape[..2].to_vec();
    for a in 0..n {
        let whole = shape[a + 2] as i128 * strides[a] as i128 - strides[a] as i128 + kernel[a] as i128;
        out.push(params::dim(node, whole - i128::from(pads[a]) - i128::from(pads[a + n]))?);
    }
    params::product(node, &out)?;
    infer.one(infer.dtype(0)?, out)
}

/// Attribute `pooled_shape` of MaxRoiPool.
pub fn pooled_shape(node: &Node) -> Result<Vec<usize>> {
    sizes(node, "pooled_shape", node.attrs.ints("pooled_shape").unwrap_or(&[]), 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Attr;
    use crate::ops::testing::node;

    #[test]
    fn taps_inside_agree_with_counting() {
        for (len, kernel, stride, dilation, before, after, ceil) in [
            (7, 3, 2, 1, 1, 1, 0),
            (5, 2, 3, 2, 1, 0, 1),
            (1, 3, 1, 1, 1, 1, 0),
            (9, 1, 4, 1, 0, 0, 1),
            (4, 3, 1, 2, 2, 2, 0),
        ] {
            let attrs = [
                ("kernel_shape", Attr::Ints(vec![kernel])),
                ("strides", Attr::Ints(vec![stride])),
                ("dilations", Attr::Ints(vec![dilation])),
                ("pads", Attr::Ints(vec![before, after])),
                ("ceil_mode", Attr::Int(ceil)),
            ];
            let w = windows(&node("MaxPool", &attrs, 1, 1), &[1, 1, len]).unwrap()[0];
            for tap in 0..w.kernel {
                let inside = |o: &usize| {
                    let at = o * w.stride + tap * w.dilation;
                    (w.before..w.before + w.len).contains(&at)
                };
                assert_eq!(w.inside(tap).collect::<Vec<_>>(), (0..w.out).filter(inside).collect::<Vec<_>>(), "{w:?}");
            }
        }
    }
}
