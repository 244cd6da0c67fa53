//! Resize: nearest by lookup tables, linear and cubic one axis after the other. GPU twin: `gpu/resize.rs`.

use std::borrow::Cow;

use bytemuck::Pod;

use super::call::{Call, Kernel, ints};
use super::number::Number;
use super::strided::{words, words_mut};
use super::threads::Threads;
use crate::ops::resize::{Mode, Plan, Taps};
use crate::tensor::{DType, order, strides};
use crate::{Result, for_dtype, for_width};

pub const KERNELS: &[Kernel] = &[Kernel::new("Resize", resize)];

fn resize(call: &mut Call) -> Result<()> {
    let x = call.input(0)?;
    let floats = |i: usize| call.opt_input(i)?.map(|v| v.to_tensor()?.to_f32()).transpose();
    let plan = Plan::new(call.node, x.shape, &floats, &ints(call))?;
    if call.outputs[0].bytes.is_empty() {
        return Ok(());
    }
    if plan.mode == Mode::Nearest {
        let tables: Vec<Vec<Option<usize>>> =
            plan.axes.iter().map(|a| (0..a.output).map(|o| plan.nearest(a, o)).collect()).collect();
        let fill = for_dtype!(x.dtype, T => {
            let mut word = [0u8; 8];
            word[..size_of::<T>()].copy_from_slice(bytemuck::bytes_of(&T::of_f32(plan.outside)));
            word
        });
        let threads = call.threads;
        return for_width!(x.dtype, W => {
            let fill: W = bytemuck::pod_read_unaligned(&fill[..size_of::<W>()]);
            let out = words_mut::<W>(call.outputs[0].bytes)?;
            nearest(words::<W>(x.bytes)?, x.shape, out, &tables, fill, threads);
            Ok(())
        });
    }
    let mut shape = x.shape.to_vec();
    let mut data = match x.dtype {
        DType::F32 => Cow::Borrowed(x.slice::<f32>()?),
        _ => Cow::Owned(x.to_tensor()?.to_f32()?),
    };
    // Axes that shrink come first: fewer elements for the others.
    let mut order: Vec<usize> = (0..shape.len()).filter(|&i| plan.changes(&plan.axes[i])).collect();
    order::sort(&mut order, &|&a, &b| plan.axes[a].scale.total_cmp(&plan.axes[b].scale));
    for axis in order {
        let taps: Vec<Taps> = (0..plan.axes[axis].output).map(|o| plan.taps(&plan.axes[axis], o)).collect();
        data = Cow::Owned(along(&data, &shape, axis, &taps, plan.outside, call.threads));
        shape[axis] = taps.len();
    }
    let dtype = call.outputs[0].dtype;
    for_dtype!(dtype, T => {
        let round = !dtype.is_float();
        let out = call.output::<T>(0)?.iter_mut().zip(data.iter());
        out.for_each(|(o, &v)| *o = T::of_f32(if round { v.round_ties_even() } else { v }));
    });
    Ok(())
}

fn nearest<W: Pod + Send + Sync>(
    x: &[W],
    shape: &[usize],
    out: &mut [W],
    tables: &[Vec<Option<usize>>],
    fill: W,
    threads: &Threads,
) {
    let Some((row, outer)) = tables.split_last() else {
        out.copy_from_slice(x);
        return;
    };
    let own = strides(shape);
    let width = row.len();
    let whole: Option<Vec<usize>> = row.iter().copied().collect();
    let rows = (out.len() / width).div_ceil(4 * threads.count()).max((1usize << 14).div_ceil(width));
    threads.for_chunks(out, rows * width, |k, out| {
        let mut last = None;
        for r in 0..out.len() / width {
            let mut index = k * rows + r;
            let mut start = Some(0);
            for (axis, table) in outer.iter().enumerate().rev() {
                let at = table[index % table.len()];
                start = start.zip(at).map(|(s, at)| s + at * own[axis]);
                index /= table.len();
            }
            if r > 0 && last == Some(start) {
                out.copy_within((r - 1) * width..r * width, r * width);
                continue;
            }
            last = Some(start);
            let out = &mut out[r * width..][..width];
            match (start, &whole) {
                (None, _) => out.fill(fill),
                (Some(start), Some(whole)) => {
                    let line = &x[start..];
                    out.iter_mut().zip(whole).for_each(|(o, &i)| *o = line[i]);
                }
                (Some(start), None) => {
                    out.iter_mut().zip(row).for_each(|(o, i)| *o = i.map_or(fill, |i| x[start + i]));
                }
            }
        }
    });
}

/// Interpolates along one axis of `[outer, axis, inner]`.
fn along(x: &[f32], shape: &[usize], axis: usize, taps: &[Taps], outside: f32, threads: &Threads) -> Vec<f32> {
    let inner: usize = shape[axis + 1..].iter().product();
    let outer: usize = shape[..axis].iter().product();
    let (len, new) = (shape[axis], taps.len());
    let mut out = vec![0f32; outer * new * inner];
    if out.is_empty() {
        return out;
    }
    if inner == 1 {
        // At most two taps each, as linear interpolation has: flat pairs, one tap as two halves of itself.
        let pair = |t: &Taps| match (&t.positions[..], &t.weights[..]) {
            (&[p], &[w]) => Some((p, p, w / 2.0, w / 2.0)),
            (&[p, q], &[u, v]) => Some((p, q, u, v)),
            _ => None,
        };
        let pairs: Option<Vec<(usize, usize, f32, f32)>> = taps.iter().map(pair).collect();
        let lines = outer.div_ceil(4 * threads.count()).max((1usize << 12).div_ceil(new));
        threads.for_chunks(&mut out, lines * new, |k, out| {
            for (n, out) in out.chunks_exact_mut(new).enumerate() {
                let x = &x[(k * lines + n) * len..][..len];
                if let Some(pairs) = &pairs {
                    out.iter_mut().zip(pairs).for_each(|(o, &(p, q, u, v))| *o = x[p] * u + x[q] * v);
                    continue;
                }
                for (out, taps) in out.iter_mut().zip(taps) {
                    *out = match (&taps.positions[..], &taps.weights[..]) {
                        ([], _) => outside,
                        (positions, weights) => positions.iter().zip(weights).map(|(&p, w)| x[p] * w).sum(),
                    };
                }
            }
        });
        return out;
    }
    let lines = (outer * new).div_ceil(4 * threads.count()).max((1usize << 12).div_ceil(inner));
    threads.for_chunks(&mut out, lines * inner, |k, out| {
        for (n, out) in out.chunks_exact_mut(inner).enumerate() {
            let line = k * lines + n;
            let (block, taps) = (line / new * len, &taps[line % new]);
            let row = |p: usize| &x[(block + p) * inner..][..inner];
            match (&taps.positions[..], &taps.weights[..]) {
                ([], _) => out.fill(outside),
                ([p], [_]) => out.copy_from_slice(row(*p)),
                ([a, b], [u, v]) => {
                    out.iter_mut().zip(row(*a)).zip(row(*b)).for_each(|((o, a), b)| *o = a * u + b * v);
                }
                (positions, weights) => {
                    out.fill(0.0);
                    for (&p, w) in positions.iter().zip(weights) {
                        out.iter_mut().zip(row(p)).for_each(|(o, v)| *o += v * w);
                    }
                }
            }
        }
    });
    out
}
