//! The f32 loops that models spend their time in, compiled once per instruction set.

use super::elementwise::fold_run;
use super::simd::{math, multiversion};

/// Functions that vectorise as polynomials.
#[derive(Clone, Copy)]
pub enum Function {
    Erf,
    Exp,
    Gelu,
    Sigmoid,
    /// x · sigmoid(α · x)
    Swish(f32),
    Tanh,
}

multiversion!(
    /// `x[i] = f(x[i])`
    pub fn map = map_body(f: Function, x: &mut [f32])
);

#[inline(always)]
fn map_body<const FMA: bool>(f: Function, x: &mut [f32]) {
    match f {
        Function::Erf => x.iter_mut().for_each(|v| *v = math::erf::<FMA>(*v)),
        Function::Exp => x.iter_mut().for_each(|v| *v = math::exp::<FMA>(*v)),
        Function::Gelu => x.iter_mut().for_each(|v| *v = math::gelu::<FMA>(*v)),
        Function::Sigmoid => x.iter_mut().for_each(|v| *v = math::sigmoid::<FMA>(*v)),
        Function::Swish(alpha) => x.iter_mut().for_each(|v| *v *= math::sigmoid::<FMA>(alpha * *v)),
        Function::Tanh => x.iter_mut().for_each(|v| *v = math::tanh::<FMA>(*v)),
    }
}

multiversion!(
    /// y = eˣ⁻ᵐ / Σ eˣ⁻ᵐ with m = max x
    pub fn softmax = softmax_body(x: &[f32], y: &mut [f32])
);

#[inline(always)]
fn softmax_body<const FMA: bool>(x: &[f32], y: &mut [f32]) {
    // Not `f32::max`, which would drop a NaN.
    let larger = |a: f32, b: f32| if b > a || b.is_nan() { b } else { a };
    let max = fold_run(x, f32::NEG_INFINITY, larger, larger);
    y.iter_mut().zip(x).for_each(|(y, &v)| *y = math::exp::<FMA>(v - max));
    let sum = fold_run(y, 0.0, |a, v| a + v, |a, b| a + b);
    let scale = 1.0 / sum;
    y.iter_mut().for_each(|y| *y *= scale);
}

multiversion!(
    /// Mean and variance around it.
    pub fn moments = moments_body(x: &[f32]) -> (f32, f32)
);

#[inline(always)]
fn moments_body<const FMA: bool>(x: &[f32]) -> (f32, f32) {
    let count = x.len() as f32;
    let mean = fold_run(x, 0.0, |a, v| a + v, |a, b| a + b) / count;
    let square = |a: f32, v: f32| super::simd::fma::<FMA>(v - mean, v - mean, a);
    (mean, fold_run(x, 0.0, square, |a, b| a + b) / count)
}

multiversion!(
    /// y = (x − mean) · factor · scale + bias
    pub fn affine = affine_body(x: &[f32], mean: f32, factor: f32, scale: &[f32], bias: &[f32], y: &mut [f32])
);

#[inline(always)]
fn affine_body<const FMA: bool>(x: &[f32], mean: f32, factor: f32, scale: &[f32], bias: &[f32], y: &mut [f32]) {
    for (((y, &v), &s), &b) in y.iter_mut().zip(x).zip(scale).zip(bias) {
        *y = super::simd::fma::<FMA>((v - mean) * factor, s, b);
    }
}
