//! GridSample and AffineGrid: images read at places that a tensor names.

use super::call::{Call, Kernel};
use super::floats;
use crate::ops::sample::{Outside, outside};
use crate::{Error, Result};

pub const KERNELS: &[Kernel] = &[Kernel::new("GridSample", grid_sample), Kernel::new("AffineGrid", affine_grid)];

/// `[-1, 1]` → position on an axis of `len` pixels.
fn position(v: f32, len: usize, align: bool) -> f32 {
    let n = len as f32;
    if align { (v + 1.0) / 2.0 * (n - 1.0) } else { ((v + 1.0) * n - 1.0) / 2.0 }
}

/// Reflects `x` at the borders of the image until it lies within.
fn reflect(x: f32, len: usize, align: bool) -> f32 {
    let (low, high) = if align { (0.0, len as f32 - 1.0) } else { (-0.5, len as f32 - 0.5) };
    let range = high - low;
    if range <= 0.0 {
        return 0.0;
    }
    let x = (x - low).rem_euclid(2.0 * range);
    low + if x > range { 2.0 * range - x } else { x }
}

/// The pixel that index `i` stands for; `None` is zero.
fn pixel(i: f32, len: usize, mode: Outside, align: bool) -> Option<usize> {
    let last = len as f32 - 1.0;
    match mode {
        _ if (0.0..=last).contains(&i) => Some(i as usize),
        Outside::Zeros => None,
        Outside::Border => Some(i.clamp(0.0, last) as usize),
        Outside::Reflection => Some(reflect(i, len, align).clamp(0.0, last) as usize),
    }
}

/// Weights of the pixels `floor(x) + first ..` for a fraction `t`.
fn weights(mode: &str, t: f32) -> (i32, Vec<f32>) {
    match mode {
        "cubic" => {
            // Keys 1981 with a = −0.75.
            let a = -0.75;
            let near = |x: f32| ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
            let far = |x: f32| ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a;
            (-1, vec![far(1.0 + t), near(t), near(1.0 - t), far(2.0 - t)])
        }
        _ => (0, vec![1.0 - t, t]),
    }
}

fn grid_sample(call: &mut Call) -> Result<()> {
    let shape = call.input(0)?.shape;
    let (x, grid) = (floats::read(call, 0)?, floats::read(call, 1)?);
    let align = call.node.attrs.flag("align_corners");
    let mode = match call.node.attrs.string_or("mode", "linear") {
        "linear" | "bilinear" => "linear",
        "cubic" | "bicubic" => "cubic",
        "nearest" => "nearest",
        other => return Err(Error::Unsupported(format!("GridSample with mode {other}"))),
    };
    let outside = outside(call.node)?;
    let (channels, image) = (shape[1], &shape[2..]);
    let axes = image.len();
    let plane: usize = image.iter().product();
    let places: usize = call.output_shape(0)[2..].iter().product();
    let mut out = vec![0f32; shape[0] * channels * places];
    if out.is_empty() {
        return Ok(());
    }

    for (n, grid) in grid.chunks_exact(places * axes).enumerate() {
        for (place, at) in grid.chunks_exact(axes).enumerate() {
            // Pixels and weights of this place: a product over the axes. The grid names them innermost first.
            let mut taps: Vec<(usize, f32)> = vec![(0, 1.0)];
            for (axis, &len) in image.iter().enumerate() {
                let mut p = position(at[axes - 1 - axis], len, align);
                if !p.is_finite() {
                    p = -1e6;
                }
                let (first, weights) = match mode {
                    "nearest" => (0, vec![1.0]),
                    _ => weights(mode, p - p.floor()),
                };
                let base = if mode == "nearest" { p.round_ties_even() } else { p.floor() } + first as f32;
                let pixels: Vec<(usize, f32)> = weights
                    .iter()
                    .enumerate()
                    .filter_map(|(k, &w)| Some((pixel(base + k as f32, len, outside, align)?, w)))
                    .collect();
                taps =
                    taps.iter().flat_map(|&(at, w)| pixels.iter().map(move |&(p, v)| (at * len + p, w * v))).collect();
            }
            for c in 0..channels {
                let x = &x[(n * channels + c) * plane..][..plane];
                out[(n * channels + c) * places + place] = taps.iter().map(|&(at, w)| x[at] * w).sum();
            }
        }
    }
    floats::write(call, 0, &out)
}

/// `grid[n, …] = theta[n] · (x, y, …, 1)` over an even grid on `[-1, 1]`.
fn affine_grid(call: &mut Call) -> Result<()> {
    let theta = floats::read(call, 0)?;
    let shape = call.output_shape(0);
    let align = call.node.attrs.flag("align_corners");
    let Some((&axes, image)) = shape[1..].split_last() else { return Err(call.node.error("needs a grid")) };
    let even = |i: usize, len: usize| match align {
        true if len > 1 => 2.0 * i as f32 / (len as f32 - 1.0) - 1.0,
        true => -1.0,
        false => (2.0 * i as f32 + 1.0) / len as f32 - 1.0,
    };
    let plane: usize = image.iter().product();
    let mut out = Vec::with_capacity(shape.iter().product());
    for theta in theta.chunks_exact(axes * (axes + 1)) {
        for place in 0..plane {
            let mut point = vec![0.0; axes];
            let mut rest = place;
            for (k, &len) in image.iter().rev().enumerate() {
                point[k] = even(rest % len, len);
                rest /= len;
            }
            for row in theta.chunks_exact(axes + 1) {
                out.push(row.iter().zip(&point).map(|(a, b)| a * b).sum::<f32>() + row[axes]);
            }
        }
    }
    floats::write(call, 0, &out)
}
