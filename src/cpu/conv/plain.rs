//! Convolution by its definition: f64 and integers.

use crate::cpu::numeric::Ring;
use crate::ops::conv::ConvShape;

/// `y[b, o, p] = Σ w[o, c, t] · x[b, c, p·stride + t·dilation − pad]`, any number of axes, without bias.
pub fn convolve<T: Ring>(shape: &ConvShape, x: &[T], w: &[T], y: &mut [T]) {
    let (in_pixels, out_pixels, taps) = (shape.in_pixels(), shape.out_pixels(), shape.taps());
    let in_group = shape.in_channels / shape.groups;
    let out_group = (shape.out_channels / shape.groups).max(1);
    for (plane, y) in y.chunks_exact_mut(out_pixels.max(1)).enumerate() {
        let (batch, o) = (plane / shape.out_channels, plane % shape.out_channels);
        let first = batch * shape.in_channels + o / out_group * in_group;
        for (pixel, y) in y.iter_mut().enumerate() {
            let mut sum = T::default();
            for tap in 0..taps {
                let Some(at) = source(shape, pixel, tap) else { continue };
                for c in 0..in_group {
                    sum = sum.add_product(x[(first + c) * in_pixels + at], w[(o * in_group + c) * taps + tap]);
                }
            }
            *y = sum;
        }
    }
}

/// The input pixel under a tap of an output pixel; `None` in the padding.
fn source(shape: &ConvShape, mut pixel: usize, mut tap: usize) -> Option<usize> {
    let (mut at, mut step) = (0, 1);
    for axis in shape.axes.iter().rev() {
        let i = (pixel % axis.output * axis.stride + tap % axis.kernel * axis.dilation) as isize - axis.pad;
        at += usize::try_from(i).ok().filter(|&i| i < axis.input)? * step;
        step *= axis.input;
        pixel /= axis.output;
        tap /= axis.kernel;
    }
    Some(at)
}
