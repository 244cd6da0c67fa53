//! Layer normalisation (Ba et al. 2016) and RMS normalisation (Zhang & Sennrich 2019) over trailing axes.
//! GPU twin: `shaders/norm.wgsl`.

use std::borrow::Cow;

use super::elementwise::{CHUNK, fold_run};
use super::number::{widened, write_as};
use super::{Call, Kernel, math::Real, vector};
use crate::tensor::walk::Walk;
use crate::tensor::{DType, View, normalize_axis};
use crate::{Result, for_float};

pub const KERNELS: &[Kernel] =
    &[Kernel::new("LayerNormalization", layer_norm), Kernel::new("RMSNormalization", rms_norm)];

/// Input `i` of the node, repeated to the normalised shape.
fn spread<'a, R: Real>(view: &View<'a>, shape: &[usize]) -> Cow<'a, [R]> {
    let values = widened::<R>(view);
    let width: usize = shape.iter().product();
    if values.len() == width {
        return values;
    }
    let walk = Walk::new(shape, &[view.shape]);
    let mut out = Vec::with_capacity(width);
    walk.runs(0, width, width, |range, at| out.extend((0..range.len()).map(|k| values[at[0] + k * walk.step(0)])));
    out.into()
}

/// The axes from `axis` on.
fn normalised<'a>(call: &Call, shape: &'a [usize]) -> Result<&'a [usize]> {
    let axis = normalize_axis(call.node.attrs.int_or("axis", -1), shape.len())
        .ok_or_else(|| call.node.error("the axis is outside the tensor"))?;
    Ok(&shape[axis..])
}

fn layer_norm(call: &mut Call) -> Result<()> {
    let statistics = call.outputs.len() > 1;
    if call.input(0)?.dtype == DType::F32 && call.arg(2).is_some() && !statistics {
        return plain_layer_norm(call);
    }
    for_float!(call.input(0)?.dtype, R => layer_norm_as::<R>(call))
}

/// The form that models use: f32, with a bias, without statistics as outputs.
fn plain_layer_norm(call: &mut Call) -> Result<()> {
    let view = call.input(0)?;
    let shape = normalised(call, view.shape)?;
    let width: usize = shape.iter().product();
    let (scale, bias) = (spread::<f32>(&call.input(1)?, shape), spread::<f32>(&call.input(2)?, shape));
    let epsilon = call.node.attrs.float_or("epsilon", 1e-5);
    let (x, threads) = (view.slice::<f32>()?, call.threads);
    let chunk = (CHUNK / width.max(1)).max(1) * width;
    threads.for_chunks(call.output(0)?, chunk, |i, y| {
        for (x, y) in x[i * chunk..].chunks_exact(width).zip(y.chunks_exact_mut(width)) {
            let (mean, variance) = vector::moments(threads.level(), x);
            vector::affine(threads.level(), x, mean, 1.0 / (variance + epsilon).sqrt(), &scale, &bias, y);
        }
    });
    Ok(())
}

/// y = (x − mean) / √(variance + ε) · scale + bias, and the mean and 1 / √(variance + ε) of every row.
fn layer_norm_as<R: Real>(call: &mut Call) -> Result<()> {
    let view = call.input(0)?;
    let shape = normalised(call, view.shape)?;
    let width: usize = shape.iter().product();
    let scale = spread::<R>(&call.input(1)?, shape);
    let bias = call.opt_input(2)?.map(|b| spread::<R>(&b, shape));
    let epsilon = R::c(call.node.attrs.float_or("epsilon", 1e-5).into());
    let x = widened::<R>(&view);
    let threads = call.threads;
    let rows = x.len().checked_div(width).unwrap_or(0);

    // (mean, 1 / deviation) by row
    let mut statistics = vec![(R::ZERO, R::ZERO); rows];
    threads.for_chunks(&mut statistics, (CHUNK / width.max(1)).max(1), |chunk, statistics| {
        let first = chunk * (CHUNK / width.max(1)).max(1);
        for (x, s) in x[first * width..].chunks_exact(width).zip(statistics) {
            *s = moments(x, epsilon);
        }
    });
    let out = call.out(0)?;
    write_as(out.dtype, out.bytes, |y: &mut [R]| {
        threads.for_chunks(y, (CHUNK / width.max(1)).max(1) * width, |chunk, y| {
            let first = chunk * (CHUNK / width.max(1)).max(1);
            let rows = x[first * width..].chunks_exact(width).zip(&statistics[first..]);
            for ((x, &(mean, factor)), y) in rows.zip(y.chunks_exact_mut(width)) {
                match &bias {
                    Some(bias) => {
                        for (((y, &v), &s), &b) in y.iter_mut().zip(x).zip(scale.iter()).zip(bias.iter()) {
                            *y = v.sub(mean).mul(factor).mul(s).add(b);
                        }
                    }
                    None => {
                        for ((y, &v), &s) in y.iter_mut().zip(x).zip(scale.iter()) {
                            *y = v.sub(mean).mul(factor).mul(s);
                        }
                    }
                }
            }
        });
    });
    for (i, pick) in [(1, (|s| s.0) as fn(&(R, R)) -> R), (2, |s| s.1)] {
        if let Ok(out) = call.out(i) {
            write_as(out.dtype, out.bytes, |y: &mut [R]| y.iter_mut().zip(&statistics).for_each(|(y, s)| *y = pick(s)));
        }
    }
    Ok(())
}

/// Mean and 1 / √(variance + ε) of a row; the variance in a second pass, so that a large mean does not drown it.
pub fn moments<R: Real>(x: &[R], epsilon: R) -> (R, R) {
    let count = R::of(x.len() as u64);
    let mean = fold_run(x, R::ZERO, R::add, R::add).div(count);
    let square = |a: R, v: R| {
        let d = v.sub(mean);
        a.add(d.mul(d))
    };
    let variance = fold_run(x, R::ZERO, square, R::add).div(count);
    (mean, R::ONE.div(variance.add(epsilon).sqrt()))
}

fn rms_norm(call: &mut Call) -> Result<()> {
    for_float!(call.input(0)?.dtype, R => rms_norm_as::<R>(call))
}

/// y = x / √(mean(x²) + ε) · scale
fn rms_norm_as<R: Real>(call: &mut Call) -> Result<()> {
    let view = call.input(0)?;
    let shape = normalised(call, view.shape)?;
    let width: usize = shape.iter().product();
    let scale = spread::<R>(&call.input(1)?, shape);
    let epsilon = R::c(call.node.attrs.float_or("epsilon", 1e-5).into());
    let x = widened::<R>(&view);
    let threads = call.threads;
    let out = call.out(0)?;
    write_as(out.dtype, out.bytes, |y: &mut [R]| {
        let chunk = (CHUNK / width.max(1)).max(1) * width;
        threads.for_chunks(y, chunk, |i, y| {
            for (x, y) in x[i * chunk..].chunks_exact(width).zip(y.chunks_exact_mut(width)) {
                let sum = fold_run(x, R::ZERO, |a, v| a.add(v.mul(v)), R::add);
                let factor = R::ONE.div(sum.div(R::of(width as u64)).add(epsilon).sqrt());
                for ((y, &v), &s) in y.iter_mut().zip(x).zip(scale.iter()) {
                    *y = v.mul(factor).mul(s);
                }
            }
        });
    });
    Ok(())
}
