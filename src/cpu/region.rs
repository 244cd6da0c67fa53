//! Operators on regions of images: RoiAlign (He et al. 2017), MaxRoiPool (Girshick 2015), MaxUnpool, Col2Im.

use super::call::{Call, Kernel, ints};
use super::floats;
use super::strided::{words, words_mut};
use crate::ops::params::index;
use crate::ops::sample::Columns;
use crate::{Error, Result, for_width};

pub const KERNELS: &[Kernel] = &[
    Kernel::new("RoiAlign", roi_align),
    Kernel::new("MaxRoiPool", max_roi_pool),
    Kernel::new("MaxUnpool", max_unpool),
    Kernel::new("Col2Im", col2im),
];

/// Most samples of one region, so that an absurd one cannot hang the kernel.
const SAMPLES: f32 = 1e7;

/// Bilinear corners of a point: `(pixel, weight)`; none outside the image.
fn corners(y: f32, x: f32, h: usize, w: usize) -> Option<[(usize, f32); 4]> {
    if !(-1.0..=h as f32).contains(&y) || !(-1.0..=w as f32).contains(&x) {
        return None;
    }
    let side = |v: f32, len: usize| {
        let v = v.clamp(0.0, len as f32 - 1.0);
        let low = v as usize;
        (low, (low + 1).min(len - 1), v - low as f32)
    };
    let ((y0, y1, ty), (x0, x1, tx)) = (side(y, h), side(x, w));
    Some([
        (y0 * w + x0, (1.0 - ty) * (1.0 - tx)),
        (y0 * w + x1, (1.0 - ty) * tx),
        (y1 * w + x0, ty * (1.0 - tx)),
        (y1 * w + x1, ty * tx),
    ])
}

fn roi_align(call: &mut Call) -> Result<()> {
    let node = call.node;
    let &[batch, channels, h, w] = call.input(0)?.shape else { return Err(node.error("needs images")) };
    let &[_, _, rows, cols] = call.output_shape(0) else { return Err(node.error("needs images")) };
    let (x, rois, images) = (floats::read(call, 0)?, floats::read(call, 1)?, call.ints(2)?);
    let scale = node.attrs.float_or("spatial_scale", 1.0);
    let half = node.attrs.string_or("coordinate_transformation_mode", "half_pixel") == "half_pixel";
    let mean = match node.attrs.string_or("mode", "avg") {
        "avg" => true,
        "max" => false,
        other => return Err(Error::Unsupported(format!("RoiAlign with mode {other}"))),
    };
    let ratio = node.attrs.int_or("sampling_ratio", 0) as f32;
    let offset = if half { 0.5 } else { 0.0 };
    let mut out = Vec::with_capacity(call.outputs[0].bytes.len() / call.outputs[0].dtype.size());
    for (roi, &image) in rois.chunks_exact(4).zip(&images) {
        let image = index(node, image, batch)?;
        let [x1, y1, x2, y2] = [roi[0], roi[1], roi[2], roi[3]].map(|v| v * scale - offset);
        let least = if half { f32::MIN } else { 1.0 };
        let bin = [(y2 - y1).max(least) / rows as f32, (x2 - x1).max(least) / cols as f32];
        let samples = bin.map(|b| if ratio > 0.0 { ratio } else { b.ceil().max(0.0) });
        let all = samples[0] * samples[1] * (rows * cols) as f32;
        if all.is_nan() || all > SAMPLES {
            return Err(node.error(format!("region {roi:?} takes too many samples")));
        }
        // Corners of every sample of every bin, shared by the channels.
        let mut bins = Vec::with_capacity(rows * cols);
        for b in 0..rows * cols {
            let (r, c) = ((b / cols) as f32, (b % cols) as f32);
            let mut points = Vec::new();
            for i in 0..samples[0] as usize {
                let y = y1 + r * bin[0] + (i as f32 + 0.5) * bin[0] / samples[0];
                for j in 0..samples[1] as usize {
                    let x = x1 + c * bin[1] + (j as f32 + 0.5) * bin[1] / samples[1];
                    points.push(if h > 0 && w > 0 { corners(y, x, h, w) } else { None });
                }
            }
            bins.push(points);
        }
        for channel in 0..channels {
            let x = &x[(image * channels + channel) * h * w..][..h * w];
            for points in &bins {
                let weighed = |p: &Option<[(usize, f32); 4]>| p.map(|p| p.map(|(at, w)| w * x[at])).unwrap_or([0.0; 4]);
                out.push(if mean {
                    let sum: f32 = points.iter().map(|p| weighed(p).iter().sum::<f32>()).sum();
                    sum / points.len().max(1) as f32
                } else {
                    points.iter().flat_map(weighed).reduce(f32::max).unwrap_or(0.0)
                });
            }
        }
    }
    floats::write(call, 0, &out)
}

fn max_roi_pool(call: &mut Call) -> Result<()> {
    let node = call.node;
    let &[batch, channels, h, w] = call.input(0)?.shape else { return Err(node.error("needs images")) };
    let &[_, _, rows, cols] = call.output_shape(0) else { return Err(node.error("needs images")) };
    let (x, rois) = (floats::read(call, 0)?, floats::read(call, 1)?);
    let scale = node.attrs.float_or("spatial_scale", 1.0);
    let mut out = Vec::new();
    for roi in rois.chunks_exact(5) {
        let image = index(node, roi[0] as i64, batch)?;
        let [x1, y1, x2, y2] = [roi[1], roi[2], roi[3], roi[4]].map(|v| (v * scale).round());
        let (height, width) = ((y2 - y1 + 1.0).max(1.0), (x2 - x1 + 1.0).max(1.0));
        let span = |start: f32, size: f32, k: usize, n: usize, len: usize| {
            let low = (start + (k as f32 * size / n as f32).floor()).clamp(0.0, len as f32) as usize;
            let high = (start + ((k + 1) as f32 * size / n as f32).ceil()).clamp(0.0, len as f32) as usize;
            low..high
        };
        for channel in 0..channels {
            let x = &x[(image * channels + channel) * h * w..][..h * w];
            for b in 0..rows * cols {
                let ys = span(y1, height, b / cols, rows, h);
                let xs = span(x1, width, b % cols, cols, w);
                let values = ys.flat_map(|r| xs.clone().map(move |c| x[r * w + c]));
                out.push(values.reduce(f32::max).unwrap_or(0.0));
            }
        }
    }
    floats::write(call, 0, &out)
}

/// Puts every element where its index says, zeros elsewhere. Indices count in the tensor that was pooled, whose shape
/// the attributes give; an `output_shape` may be larger.
fn max_unpool(call: &mut Call) -> Result<()> {
    let x = call.input(0)?;
    let indices = call.slice::<i64>(1)?;
    let node = call.node;
    let list = |name: &str, len: usize, default: i64| {
        let list = node.attrs.ints(name).map_or_else(|| vec![default; len], <[i64]>::to_vec);
        if list.len() == len { Ok(list) } else { Err(node.error(format!("attribute `{name}` is {list:?}"))) }
    };
    let n = x.shape.len().saturating_sub(2);
    let (kernel, strides, pads) = (list("kernel_shape", n, 1)?, list("strides", n, 1)?, list("pads", 2 * n, 0)?);
    let mut pooled = x.shape.to_vec();
    for a in 0..n {
        let size =
            (x.shape[a + 2] as i64 - 1).saturating_mul(strides[a]).saturating_add(kernel[a] - pads[a] - pads[a + n]);
        pooled[a + 2] = usize::try_from(size).map_err(|_| node.error("the pooled size is negative"))?;
    }
    let whole = crate::tensor::element_count(&pooled)?;
    let out_shape = call.output_shape(0);
    let larger = pooled.iter().zip(out_shape).all(|(p, o)| p <= o);
    for_width!(x.dtype, W => {
        let out = words_mut::<W>(call.outputs[0].bytes)?;
        out.fill(W::default());
        for (&v, &i) in words::<W>(x.bytes)?.iter().zip(indices) {
            let mut at = 0;
            if larger {
                let mut rest = index(node, i, whole)?;
                let mut step = 1;
                for (&p, &o) in pooled.iter().zip(out_shape).rev() {
                    at += rest % p * step;
                    rest /= p;
                    step *= o;
                }
            } else {
                at = index(node, i, out.len())?;
            }
            out[at] = v;
        }
    });
    Ok(())
}

/// Adds every column's block into the image, `[batch, channels · block, blocks]` → `[batch, channels, image…]`.
fn col2im(call: &mut Call) -> Result<()> {
    let x = floats::read(call, 0)?;
    let plan = Columns::new(call.node, call.input(0)?.shape, &ints(call))?;
    let block: usize = plan.axes.iter().map(|a| a.block).product();
    let blocks: usize = plan.axes.iter().map(|a| a.blocks).product();
    let image: usize = plan.axes.iter().map(|a| a.image).product();
    let mut out = vec![0f32; plan.batch * plan.channels * image];
    for (row, x) in x.chunks_exact(blocks.max(1)).enumerate() {
        let (plane, tap) = (row / block, row % block);
        for (column, &v) in x.iter().enumerate() {
            // The pixel of this tap of this block, unless it lies in the padding.
            let (mut tap, mut column, mut at, mut step, mut inside) = (tap, column, 0, 1, true);
            for a in plan.axes.iter().rev() {
                let p = (column % a.blocks * a.stride + tap % a.block * a.dilation).checked_sub(a.before);
                match p.filter(|&p| p < a.image) {
                    Some(p) => at += p * step,
                    None => inside = false,
                }
                step *= a.image;
                tap /= a.block;
                column /= a.blocks;
            }
            if inside {
                out[plane * image + at] += v;
            }
        }
    }
    floats::write(call, 0, &out)
}
