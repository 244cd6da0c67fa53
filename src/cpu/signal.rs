//! Fourier transforms by their definition (f64 accumulation, a table of roots of unity), windows, mel filters.

use std::f64::consts::PI;

use super::call::{Call, Kernel, ints};
use super::floats;
use crate::Result;
use crate::ops::signal::{Dft, Stft};

pub const KERNELS: &[Kernel] = &[
    Kernel::new("DFT", dft),
    Kernel::new("STFT", stft),
    Kernel::new("HannWindow", |c| window(c, [0.5, 0.5, 0.0])),
    // α = 25 / 46 is the exact form of the customary 0.54.
    Kernel::new("HammingWindow", |c| window(c, [25.0 / 46.0, 21.0 / 46.0, 0.0])),
    Kernel::new("BlackmanWindow", |c| window(c, [0.42, 0.5, 0.08])),
    Kernel::new("MelWeightMatrix", mel_weights),
];

type Complex = (f64, f64);

/// `e^(sign · 2πi · k / n)` for `k` in `0 .. n`.
fn roots(n: usize, sign: f64) -> Vec<Complex> {
    let angle = |k: usize| sign * 2.0 * PI * k as f64 / n as f64;
    (0..n).map(|k| (angle(k).cos(), angle(k).sin())).collect()
}

/// `Σ x[t] · root^(t·k)`
fn point(x: &[Complex], roots: &[Complex], k: usize) -> Complex {
    let n = roots.len();
    let mut at = 0;
    let (mut re, mut im) = (0.0, 0.0);
    for &(a, b) in x {
        let (c, s) = roots[at];
        re += a * c - b * s;
        im += a * s + b * c;
        at += k;
        if at >= n {
            at -= n;
        }
    }
    (re, im)
}

fn dft(call: &mut Call) -> Result<()> {
    let shape = call.input(0)?.shape;
    let plan = Dft::new(call.node, shape, &ints(call))?;
    let x = floats::read(call, 0)?;
    if call.outputs[0].bytes.is_empty() {
        return Ok(());
    }
    let parts = shape[shape.len() - 1];
    let inner: usize = shape[plan.axis + 1..shape.len() - 1].iter().product();
    let outer: usize = shape[..plan.axis].iter().product();
    let (len, n, points) = (shape[plan.axis], plan.length, plan.outputs());
    let roots = roots(n, if plan.inverse { 1.0 } else { -1.0 });
    let scale = if plan.inverse { 1.0 / n.max(1) as f64 } else { 1.0 };
    let out_parts = if plan.real_output() { 1 } else { 2 };
    let mut out = vec![0f32; outer * points * inner * out_parts];
    for lane in 0..outer * inner {
        let (o, i) = (lane / inner, lane % inner);
        let sample = |t: usize| -> Complex {
            let at = ((o * len + t) * inner + i) * parts;
            (x[at].into(), if parts == 2 { x[at + 1].into() } else { 0.0 })
        };
        let mut signal: Vec<Complex> = (0..n).map(|t| if t < len { sample(t) } else { (0.0, 0.0) }).collect();
        if plan.real_output() {
            // The missing half is the conjugate of the given one.
            for t in n / 2 + 1..n {
                let (re, im) = signal[n - t];
                signal[t] = (re, -im);
            }
        }
        for k in 0..points {
            let (re, im) = point(&signal, &roots, k);
            let at = ((o * points + k) * inner + i) * out_parts;
            out[at] = (re * scale) as f32;
            if out_parts == 2 {
                out[at + 1] = (im * scale) as f32;
            }
        }
    }
    floats::write(call, 0, &out)
}

fn stft(call: &mut Call) -> Result<()> {
    let shape = call.input(0)?.shape;
    let window = floats::opt_read(call, 2)?;
    let window_shape = window.as_ref().map(|w| [w.len()]);
    let plan = Stft::new(call.node, shape, window_shape.as_ref().map(|w| &w[..]), &ints(call))?;
    let x = floats::read(call, 0)?;
    if call.outputs[0].bytes.is_empty() {
        return Ok(());
    }
    let parts = shape.get(2).copied().unwrap_or(1);
    let roots = roots(plan.length, -1.0);
    let per_signal = plan.frames * plan.bins * 2;
    let mut out = vec![0f32; shape[0] * per_signal];
    let threads = call.threads;
    threads.for_chunks(&mut out, plan.bins * 2, |frame, out| {
        let start = (frame / plan.frames * shape[1] + frame % plan.frames * plan.step) * parts;
        let sample = |t: usize| -> Complex {
            let w = window.as_ref().map_or(1.0, |w| f64::from(w[t]));
            let at = start + t * parts;
            (w * f64::from(x[at]), if parts == 2 { w * f64::from(x[at + 1]) } else { 0.0 })
        };
        let signal: Vec<Complex> = (0..plan.length).map(sample).collect();
        for (k, out) in out.chunks_exact_mut(2).enumerate() {
            let (re, im) = point(&signal, &roots, k);
            (out[0], out[1]) = (re as f32, im as f32);
        }
    });
    floats::write(call, 0, &out)
}

/// `a − b·cos(2πk/N) + c·cos(4πk/N)`, where N is the size of a periodic window, else one less.
fn window(call: &mut Call, [a, b, c]: [f64; 3]) -> Result<()> {
    let size = call.output_shape(0)[0];
    let periodic = call.node.attrs.int_or("periodic", 1) != 0;
    let period = if periodic { size as f64 } else { size as f64 - 1.0 }.max(1.0);
    let value = |k: usize| {
        let angle = 2.0 * PI * k as f64 / period;
        (a - b * angle.cos() + c * (2.0 * angle).cos()) as f32
    };
    let values: Vec<f32> = (0..size).map(value).collect();
    floats::write(call, 0, &values)
}

/// Triangular filters, evenly spaced on the mel scale `2595 · log10(1 + f / 700)`.
fn mel_weights(call: &mut Call) -> Result<()> {
    let &[rows, bins] = call.output_shape(0) else { return Err(call.node.error("needs a matrix")) };
    let at = |i: usize| -> Result<f64> { Ok(floats::read(call, i)?.first().copied().unwrap_or(0.0).into()) };
    let (dft, rate, low, high) = (at(1)?, at(2)?, at(3)?, at(4)?);
    let mel = |f: f64| 2595.0 * (1.0 + f / 700.0).log10();
    let hertz = |m: f64| 700.0 * (10f64.powf(m / 2595.0) - 1.0);
    let step = (mel(high) - mel(low)) / (bins + 2) as f64;
    let edge = |k: usize| ((dft + 1.0) * hertz(mel(low) + step * k as f64) / rate).floor().max(0.0) as usize;
    let mut out = vec![0f32; rows * bins];
    for b in 0..bins {
        let (low, centre, high) = (edge(b), edge(b + 1), edge(b + 2));
        let mut set = |row: usize, v: f64| {
            if row < rows {
                out[row * bins + b] = v as f32;
            }
        };
        if centre == low {
            set(centre, 1.0);
        } else {
            (low..=centre.min(rows)).for_each(|j| set(j, (j - low) as f64 / (centre - low) as f64));
        }
        (centre..high.min(rows)).for_each(|j| set(j, (high - j) as f64 / (high - centre) as f64));
    }
    floats::write(call, 0, &out)
}
