//! Convolutions: Conv, ConvTranspose, DeformConv and the quantised forms. One geometry for all of them and both
//! backends.

use super::infer::{Infer, InferFn};
use crate::Result;
use crate::graph::Node;
use crate::tensor::{DType, Shape, TensorType};

pub const OPS: &[(&str, InferFn)] = &[
    ("Conv", |i| infer_conv(i, 0, 1, 2, Some(3), i.dtype(0)?)),
    ("ConvInteger", |i| infer_conv(i, 0, 1, usize::MAX, None, DType::I32)),
    ("QLinearConv", |i| infer_conv(i, 0, 3, 8, None, i.dtype(7)?)),
    ("DeformConv", |i| infer_conv(i, 0, 1, 3, None, i.dtype(0)?)),
    ("ConvTranspose", infer_transpose),
];

/// One spatial axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvAxis {
    pub input: usize,
    pub output: usize,
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    /// Zeros before the first element. (Those after the last follow from `output`.)
    pub pad: isize,
}

/// No extent: what fills the missing axes of a 1-D or 2-D convolution.
pub const UNIT_AXIS: ConvAxis = ConvAxis { input: 1, output: 1, kernel: 1, stride: 1, dilation: 1, pad: 0 };

/// Sizes of a convolution `[batch, in_channels, spatial…] → [batch, out_channels, spatial…]`.
///
/// Conv weights are `[out_channels, in_channels / groups, kernel…]`, ConvTranspose weights
/// `[in_channels, out_channels / groups, kernel…]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvShape {
    pub batch: usize,
    pub in_channels: usize,
    pub out_channels: usize,
    pub groups: usize,
    pub axes: Vec<ConvAxis>,
}

impl ConvShape {
    pub fn conv(node: &Node, x: &[usize], w: &[usize]) -> Result<Self> {
        let parts = Parts::new(node, x, w)?;
        if parts.w[1].checked_mul(parts.groups) != Some(parts.x[1]) || !parts.w[0].is_multiple_of(parts.groups) {
            return Err(parts.mismatch());
        }
        let axes = (0..parts.rank).map(|i| parts.conv_axis(i)).collect::<Result<_>>()?;
        Ok(ConvShape {
            batch: parts.x[0],
            in_channels: parts.x[1],
            out_channels: parts.w[0],
            groups: parts.groups,
            axes,
        })
    }

    pub fn transposed(node: &Node, x: &[usize], w: &[usize]) -> Result<Self> {
        let parts = Parts::new(node, x, w)?;
        if parts.w[0] != parts.x[1] || !parts.x[1].is_multiple_of(parts.groups) {
            return Err(parts.mismatch());
        }
        let axes = (0..parts.rank).map(|i| parts.transposed_axis(i)).collect::<Result<_>>()?;
        Ok(ConvShape {
            batch: parts.x[0],
            in_channels: parts.x[1],
            out_channels: parts.w[1] * parts.groups,
            groups: parts.groups,
            axes,
        })
    }

    pub fn output(&self) -> Shape {
        [self.batch, self.out_channels].into_iter().chain(self.axes.iter().map(|a| a.output)).collect()
    }

    pub fn in_pixels(&self) -> usize {
        self.axes.iter().map(|a| a.input).product()
    }

    pub fn out_pixels(&self) -> usize {
        self.axes.iter().map(|a| a.output).product()
    }

    pub fn taps(&self) -> usize {
        self.axes.iter().map(|a| a.kernel).product()
    }

    /// `(output channels, inputs under the kernel)` of one group.
    pub fn group_size(&self) -> (usize, usize) {
        (self.out_channels / self.groups, self.in_channels / self.groups * self.taps())
    }

    /// The last three axes, missing ones filled with `UNIT_AXIS`; `None` beyond three.
    pub fn axes3(&self) -> Option<[ConvAxis; 3]> {
        let mut axes = [UNIT_AXIS; 3];
        let start = 3usize.checked_sub(self.axes.len())?;
        axes[start..].copy_from_slice(&self.axes);
        Some(axes)
    }
}

/// The checked attributes of a node.
struct Parts<'a> {
    node: &'a Node,
    x: &'a [usize],
    w: &'a [usize],
    rank: usize,
    groups: usize,
}

impl<'a> Parts<'a> {
    fn new(node: &'a Node, x: &'a [usize], w: &'a [usize]) -> Result<Self> {
        let groups = usize::try_from(node.attrs.int_or("group", 1)).unwrap_or(0);
        let parts = Parts { node, x, w, rank: x.len().saturating_sub(2), groups };
        if x.len() < 3 || w.len() != x.len() || groups == 0 || w[2..].contains(&0) {
            return Err(parts.mismatch());
        }
        if let Some(kernel) = node.attrs.ints("kernel_shape")
            && !kernel.iter().copied().eq(w[2..].iter().map(|&k| k as i64))
        {
            return Err(node.error(format!("kernel_shape {kernel:?} differs from the weight's shape {w:?}")));
        }
        Ok(parts)
    }

    fn mismatch(&self) -> crate::Error {
        let Parts { x, w, groups, .. } = self;
        self.node.error(format!("input {x:?}, weight {w:?} and group {groups} do not fit"))
    }

    /// Entry `i` of a list attribute, at least `min`.
    fn entry(&self, name: &str, i: usize, default: i64, min: i64) -> Result<usize> {
        let value = match self.node.attrs.ints(name) {
            Some(list) => *list.get(i).ok_or_else(|| self.node.error(format!("{name} has too few entries")))?,
            None => default,
        };
        match usize::try_from(value) {
            Ok(v) if value >= min && value <= i64::from(i32::MAX) => Ok(v),
            _ => Err(self.node.error(format!("{name} has the entry {value}"))),
        }
    }

    fn pads(&self, i: usize) -> Result<(i64, i64)> {
        let Some(pads) = self.node.attrs.ints("pads") else { return Ok((0, 0)) };
        match (pads.get(i), pads.get(i + self.rank)) {
            (Some(&begin), Some(&end)) if begin.abs().max(end.abs()) <= i64::from(i32::MAX) => Ok((begin, end)),
            _ => Err(self.node.error(format!("pads {pads:?} do not fit {} axes", self.rank))),
        }
    }

    fn conv_axis(&self, i: usize) -> Result<ConvAxis> {
        let (input, kernel) = (self.x[i + 2], self.w[i + 2]);
        let stride = self.entry("strides", i, 1, 1)?;
        let dilation = self.entry("dilations", i, 1, 1)?;
        let reach = ((kernel - 1) * dilation + 1) as i64;
        let (begin, end) = match self.node.attrs.string_or("auto_pad", "NOTSET") {
            "NOTSET" | "" => self.pads(i)?,
            "VALID" => (0, 0),
            same @ ("SAME_UPPER" | "SAME_LOWER") => {
                let output = input.div_ceil(stride) as i64;
                let total = ((output - 1) * stride as i64 + reach - input as i64).max(0);
                if same == "SAME_UPPER" { (total / 2, total - total / 2) } else { (total - total / 2, total / 2) }
            }
            other => return Err(self.node.error(format!("auto_pad is `{other}`"))),
        };
        let room = input as i64 + begin + end - reach;
        if room < 0 && input > 0 {
            return Err(self
                .node
                .error(format!("the kernel reaches over {reach} elements, the padded input has fewer")));
        }
        let output = if room < 0 { 0 } else { room as usize / stride + 1 };
        Ok(ConvAxis { input, output, kernel, stride, dilation, pad: begin as isize })
    }

    fn transposed_axis(&self, i: usize) -> Result<ConvAxis> {
        let (input, kernel) = (self.x[i + 2], self.w[i + 2]);
        let stride = self.entry("strides", i, 1, 1)?;
        let dilation = self.entry("dilations", i, 1, 1)?;
        let extra = self.entry("output_padding", i, 0, 0)? as i64;
        let reach = ((kernel - 1) * dilation + 1) as i64;
        let full = stride as i64 * (input as i64 - 1) + extra + reach;
        let auto_pad = self.node.attrs.string_or("auto_pad", "NOTSET");
        let wanted = match (self.node.attrs.ints("output_shape"), auto_pad) {
            // Some exporters list all dimensions, the specification only the spatial ones.
            (Some(list), _) => Some(
                *list
                    .get(list.len().saturating_sub(self.rank) + i)
                    .filter(|&&v| (0..=i64::from(i32::MAX)).contains(&v))
                    .ok_or_else(|| self.node.error(format!("output_shape is {list:?}")))?,
            ),
            (None, "SAME_UPPER" | "SAME_LOWER") => Some((input * stride) as i64),
            _ => None,
        };
        let (output, pad) = match wanted {
            Some(output) => {
                let total = (full - output).max(0);
                (output, if auto_pad == "SAME_UPPER" { total / 2 } else { total - total / 2 })
            }
            None => {
                let (begin, end) = if auto_pad == "VALID" { (0, 0) } else { self.pads(i)? };
                (full - begin - end, begin)
            }
        };
        if input > 0 && output < 0 {
            return Err(self.node.error(format!("the output would have {output} elements along axis {i}")));
        }
        Ok(ConvAxis { input, output: output.max(0) as usize, kernel, stride, dilation, pad: pad as isize })
    }
}

fn infer_conv(
    infer: &Infer,
    x: usize,
    w: usize,
    bias: usize,
    residual: Option<usize>,
    dtype: DType,
) -> Result<Vec<TensorType>> {
    let shape = ConvShape::conv(infer.node, infer.shape(x)?, infer.shape(w)?)?;
    finish(infer, shape, bias, residual, dtype)
}

fn infer_transpose(infer: &Infer) -> Result<Vec<TensorType>> {
    let shape = ConvShape::transposed(infer.node, infer.shape(0)?, infer.shape(1)?)?;
    finish(infer, shape, 2, None, infer.dtype(0)?)
}

fn finish(
    infer: &Infer,
    shape: ConvShape,
    bias: usize,
    residual: Option<usize>,
    dtype: DType,
) -> Result<Vec<TensorType>> {
    let output = shape.output();
    if let Some(b) = infer.opt_ty(bias)
        && b.shape != [shape.out_channels]
    {
        return Err(infer.node.error(format!("the bias must have shape [{}], got {:?}", shape.out_channels, b.shape)));
    }
    if let Some(r) = residual.and_then(|r| infer.opt_ty(r))
        && r.shape != output
    {
        return Err(infer.node.error(format!("the residual must have shape {output:?}, got {:?}", r.shape)));
    }
    infer.one(dtype, output)
}
