//! Normalisations of `[batch, channels, …]`: by batch statistics, by instance, by group; local response; mean-variance.
//! GPU twins: `shaders/norm.wgsl`, `shaders/batch_norm.wgsl`.

use super::axis::Around;
use super::layer_norm::moments;
use super::number::{widened, write_as};
use super::reduce::Geometry;
use super::{Call, Kernel, math::Real};
use crate::ops::reduce::reduced_axes;
use crate::tensor::walk::Walk;
use crate::{Result, for_float};

pub const KERNELS: &[Kernel] = &[
    Kernel::new("BatchNormalization", batch_norm),
    Kernel::new("GroupNormalization", group_norm),
    Kernel::new("InstanceNormalization", group_norm),
    Kernel::new("LRN", local_response),
    Kernel::new("LpNormalization", lp_norm),
    Kernel::new("MeanVarianceNormalization", mean_variance),
];

/// `(batch, channels, elements of a channel)`
fn layout(shape: &[usize]) -> (usize, usize, usize) {
    let batch = shape.first().copied().unwrap_or(1);
    (batch, shape.get(1).copied().unwrap_or(1), shape.iter().skip(2).product())
}

fn batch_norm(call: &mut Call) -> Result<()> {
    for_float!(call.input(0)?.dtype, R => batch_norm_as::<R>(call))
}

/// y = (x − mean) / √(variance + ε) · scale + bias by channel. In training mode mean and variance are the batch's, and
/// outputs 1 and 2 are `momentum` · old + (1 − `momentum`) · the batch's.
fn batch_norm_as<R: Real>(call: &mut Call) -> Result<()> {
    let view = call.input(0)?;
    let (_, channels, size) = layout(view.shape);
    let attrs = &call.node.attrs;
    let epsilon = R::c(attrs.float_or("epsilon", 1e-5).into());
    let momentum = R::c(attrs.float_or("momentum", 0.9).into());
    let [scale, bias, old_mean, old_variance] = {
        let values = |i| call.input(i).map(|v| widened::<R>(&v));
        [values(1)?, values(2)?, values(3)?, values(4)?]
    };
    let (x, threads) = (widened::<R>(&view), call.threads);
    let (mut mean, mut variance) = (old_mean.to_vec(), old_variance.to_vec());
    if attrs.flag("training_mode") {
        let reduced: Vec<bool> = (0..view.shape.len()).map(|axis| axis != 1).collect();
        let geometry = Geometry::new(view.shape, &reduced);
        let count = R::of(geometry.count() as u64);
        geometry.fold(threads, (&x, None), &mut mean, R::ZERO, |a, v, _| a.add(v), R::add);
        mean.iter_mut().for_each(|v| *v = v.div(count));
        geometry.fold(threads, (&x, Some(&mean)), &mut variance, R::ZERO, square_distance, R::add);
        variance.iter_mut().for_each(|v| *v = v.div(count));
        for (i, old, new) in [(1, &old_mean, &mean), (2, &old_variance, &variance)] {
            if let Ok(out) = call.out(i) {
                write_as(out.dtype, out.bytes, |y: &mut [R]| {
                    for ((y, &old), &new) in y.iter_mut().zip(old.iter()).zip(new) {
                        *y = old.mul(momentum).add(new.mul(R::ONE.sub(momentum)));
                    }
                });
            }
        }
    }
    let out = call.out(0)?;
    write_as(out.dtype, out.bytes, |y: &mut [R]| {
        if size * channels == 0 {
            return;
        }
        threads.for_chunks(y, size, |i, y| {
            let c = i % channels;
            let (m, b) = (mean[c], bias[c]);
            let factor = scale[c].div(variance[c].add(epsilon).sqrt());
            for (y, &v) in y.iter_mut().zip(&x[i * size..]) {
                *y = v.sub(m).mul(factor).add(b);
            }
        });
    });
    Ok(())
}

fn square_distance<R: Real>(a: R, v: R, mean: R) -> R {
    let d = v.sub(mean);
    a.add(d.mul(d))
}

fn group_norm(call: &mut Call) -> Result<()> {
    for_float!(call.input(0)?.dtype, R => group_norm_as::<R>(call))
}

/// The same by groups of adjacent channels of one instance; a group of one channel is instance normalisation.
fn group_norm_as<R: Real>(call: &mut Call) -> Result<()> {
    let view = call.input(0)?;
    let (batch, channels, size) = layout(view.shape);
    let attrs = &call.node.attrs;
    let groups = match call.node.op.as_str() {
        "GroupNormalization" => attrs.int_or("num_groups", 1) as usize,
        _ => channels,
    };
    let epsilon = R::c(attrs.float_or("epsilon", 1e-5).into());
    let (scale, bias) = (widened::<R>(&call.input(1)?), widened::<R>(&call.input(2)?));
    let (x, threads) = (widened::<R>(&view), call.threads);
    let out = call.out(0)?;
    write_as(out.dtype, out.bytes, |y: &mut [R]| {
        let slab = channels * size / groups.max(1);
        if slab == 0 || batch == 0 {
            return;
        }
        threads.for_chunks(y, slab, |i, y| {
            let x = &x[i * slab..][..slab];
            let (mean, factor) = moments(x, epsilon);
            for (k, (x, y)) in x.chunks_exact(size).zip(y.chunks_exact_mut(size)).enumerate() {
                let c = i % groups * (channels / groups) + k;
                let s = scale[c * scale.len() / channels].mul(factor);
                let b = bias[c * bias.len() / channels];
                y.iter_mut().zip(x).for_each(|(y, &v)| *y = v.sub(mean).mul(s).add(b));
            }
        });
    });
    Ok(())
}

/// y = x / (bias + alpha / size · Σ x²)^beta, the sum over `size` neighbouring channels (Krizhevsky et al. 2012).
fn local_response(call: &mut Call) -> Result<()> {
    let (view, attrs) = (call.input(0)?, &call.node.attrs);
    let (_, channels, size) = layout(view.shape);
    let window = attrs.int_or("size", 1).max(1) as usize;
    let (alpha, beta) = (attrs.float_or("alpha", 1e-4), attrs.float_or("beta", 0.75));
    let bias = attrs.float_or("bias", 1.0);
    let threads = call.threads;
    let out = call.out(0)?;
    for_float!(view.dtype, R => {
        let x = widened::<R>(&view);
        let (alpha, beta, bias) = (R::from(alpha) / window as R, R::from(beta), R::from(bias));
        write_as(out.dtype, out.bytes, |y: &mut [R]| {
            threads.for_chunks(y, size, |i, y| {
                let c = i % channels;
                let first = c.saturating_sub((window - 1) / 2);
                let last = (c + window / 2).min(channels - 1);
                y.fill(0.0);
                for k in i - c + first..=i - c + last {
                    y.iter_mut().zip(&x[k * size..]).for_each(|(y, v)| *y += v * v);
                }
                y.iter_mut().zip(&x[i * size..]).for_each(|(y, v)| *y = v / (bias + alpha * *y).powf(beta));
            });
        });
    });
    Ok(())
}

/// y = x / (Σ|x|ᵖ)^(1/p) along an axis, p = 1 or 2; 0 where the norm is 0.
fn lp_norm(call: &mut Call) -> Result<()> {
    let (view, attrs) = (call.input(0)?, &call.node.attrs);
    let around = Around::new(call, view.shape, attrs.int_or("axis", -1))?;
    let first_power = attrs.int_or("p", 2) == 1;
    let out = call.out(0)?;
    for_float!(view.dtype, R => {
        let x = widened::<R>(&view);
        write_as(out.dtype, out.bytes, |y: &mut [R]| {
            for o in 0..around.outer {
                for i in 0..around.inner {
                    let at = |k: usize| (o * around.len + k) * around.inner + i;
                    let norm = if first_power {
                        (0..around.len).map(|k| x[at(k)].abs()).sum::<R>()
                    } else {
                        (0..around.len).map(|k| x[at(k)] * x[at(k)]).sum::<R>().sqrt()
                    };
                    (0..around.len).for_each(|k| y[at(k)] = if norm == 0.0 { 0.0 } else { x[at(k)] / norm });
                }
            }
        });
    });
    Ok(())
}

/// y = (x − mean) / (deviation + 1e-9) over `axes`.
fn mean_variance(call: &mut Call) -> Result<()> {
    let view = call.input(0)?;
    let axes = call.node.attrs.ints("axes").unwrap_or(&[0, 2, 3]);
    let reduced = reduced_axes(view.shape.len(), Some(axes), false)
        .ok_or_else(|| call.node.error(format!("axes {axes:?} are outside a tensor of rank {}", view.shape.len())))?;
    let geometry = Geometry::new(view.shape, &reduced);
    let kept: Vec<usize> = view.shape.iter().zip(&reduced).map(|(&d, &r)| if r { 1 } else { d }).collect();
    let threads = call.threads;
    let out = call.out(0)?;
    for_float!(view.dtype, R => {
        let (x, count) = (widened::<R>(&view), geometry.count() as R);
        let mut mean = vec![0.0; kept.iter().product()];
        let mut deviation = mean.clone();
        geometry.fold(threads, (&x, None), &mut mean, 0.0, |a: R, v, _| a + v, |a, b| a + b);
        mean.iter_mut().for_each(|m| *m /= count);
        geometry.fold(threads, (&x, Some(&mean)), &mut deviation, 0.0, square_distance, |a, b| a + b);
        deviation.iter_mut().for_each(|v| *v = (*v / count).sqrt() + 1e-9);
        let walk = Walk::new(view.shape, &[&kept]);
        write_as(out.dtype, out.bytes, |y: &mut [R]| {
            walk.runs(0, x.len(), x.len(), |range, at| {
                for (k, i) in range.enumerate() {
                    let s = at[0] + k * walk.step(0);
                    y[i] = (x[i] - mean[s]) / deviation[s];
                }
            });
        });
    });
    Ok(())
}
