//! Pooling over windows and over whole planes. GPU twin: `shaders/pool.wgsl`.
//!
//! One tap of the window is folded into a whole output row at a time, so that the inner loop is a plain vector loop.

use super::call::{Call, Kernel};
use super::number::{Wide, widened, write_as};
use crate::ops::pool::{Window, windows};
use crate::{Error, Result, for_wide};

pub const KERNELS: &[Kernel] = &[
    Kernel::new("MaxPool", max_pool),
    Kernel::new("AveragePool", |c| {
        let windows = window3(c)?;
        let padding = c.node.attrs.flag("count_include_pad");
        pool(c, &windows, Fold::Mean { padding })
    }),
    #[cfg(feature = "full")]
    Kernel::new("LpPool", |c| {
        let windows = window3(c)?;
        pool(c, &windows, Fold::Norm(c.node.attrs.int_or("p", 2) as f32))
    }),
    Kernel::new("GlobalAveragePool", |c| pool(c, &whole(c)?, Fold::Mean { padding: false })),
    Kernel::new("fewbit.GlobalAveragePool", mean_last),
    Kernel::new("GlobalMaxPool", |c| pool(c, &whole(c)?, Fold::Max)),
    #[cfg(feature = "full")]
    Kernel::new("GlobalLpPool", |c| pool(c, &whole(c)?, Fold::Norm(c.node.attrs.int_or("p", 2) as f32))),
];

/// What a window computes.
#[derive(Clone, Copy)]
enum Fold {
    Max,
    /// Divides by the taps inside the plane, or inside the plane with its padding.
    Mean {
        padding: bool,
    },
    /// `(Σ |x|^p)^(1/p)`
    #[cfg(feature = "full")]
    Norm(f32),
}

/// The node's windows as depth, height and width.
fn window3(call: &Call) -> Result<[Window; 3]> {
    let windows = windows(call.node, call.input(0)?.shape)?;
    let one = Window { len: 1, out: 1, kernel: 1, stride: 1, dilation: 1, before: 0, after: 0 };
    match windows[..] {
        [x] => Ok([one, one, x]),
        [y, x] => Ok([one, y, x]),
        [z, y, x] => Ok([z, y, x]),
        _ => Err(Error::Unsupported(format!("{} over {} axes", call.node.op, windows.len()))),
    }
}

/// One window over each plane.
fn whole(call: &Call) -> Result<[Window; 3]> {
    let len: usize = call.input(0)?.shape[2..].iter().product();
    let window = |len| Window { len, out: 1, kernel: len, stride: 1, dilation: 1, before: 0, after: 0 };
    Ok([window(1), window(1), window(len)])
}

/// The mean over the pixels of an f32 image that lies channels last (`cpu::layout`).
fn mean_last(call: &mut Call) -> Result<()> {
    let (shape, x) = (call.input(0)?.shape, call.slice::<f32>(0)?);
    let [_, channels, ref plane @ ..] = *shape else { return Err(call.node.error("needs images")) };
    let pixels: usize = plane.iter().product();
    if channels * pixels == 0 {
        call.output::<f32>(0)?.fill(f32::NAN);
        return Ok(());
    }
    for (x, y) in x.chunks_exact(channels * pixels).zip(call.output::<f32>(0)?.chunks_exact_mut(channels)) {
        y.fill(0.0);
        // Sums of sums of 64 pixels: the rounding error of a long row of additions grows with its length.
        let mut part = vec![0.0; channels];
        for x in x.chunks(64 * channels) {
            part.fill(0.0);
            for x in x.chunks_exact(channels) {
                part.iter_mut().zip(x).for_each(|(sum, v)| *sum += v);
            }
            y.iter_mut().zip(&part).for_each(|(y, sum)| *y += sum);
        }
        y.iter_mut().for_each(|y| *y /= pixels as f32);
    }
    Ok(())
}

fn max_pool(call: &mut Call) -> Result<()> {
    let windows = window3(call)?;
    if call.outputs.len() > 1 && call.node.outputs.get(1).is_some_and(Option::is_some) {
        return for_wide!(call.input(0)?.dtype, W => max_with_indices::<W>(call, &windows));
    }
    pool(call, &windows, Fold::Max)
}

fn pool(call: &mut Call, windows: &[Window; 3], fold: Fold) -> Result<()> {
    for_wide!(call.input(0)?.dtype, W => pool_as::<W>(call, windows, fold))
}

fn pool_as<W: Wide>(call: &mut Call, windows: &[Window; 3], fold: Fold) -> Result<()> {
    let x = widened::<W>(&call.input(0)?);
    let y = &windows[1];
    let plane: usize = windows.iter().map(|w| w.len).product();
    let out_plane: usize = windows.iter().map(|w| w.out).product();
    let width = windows[2].out;
    let threads = call.threads;
    let out = call.out(0)?;
    if out.bytes.is_empty() {
        return Ok(());
    }
    // Divisors of means are a product over the axes.
    let taps = windows.map(|w| match fold {
        Fold::Mean { padding } => (0..w.out).map(|o| w.taps(o, padding)).collect(),
        _ => Vec::new(),
    });
    write_as(out.dtype, out.bytes, |out: &mut [W]| {
        let planes = (out.len() / out_plane).div_ceil(4 * threads.count());
        threads.for_chunks(out, planes * out_plane, |k, out| {
            let mut row = vec![W::ZERO; width];
            for (n, out) in out.chunks_exact_mut(out_plane).enumerate() {
                let x = &x[(k * planes + n) * plane..][..plane];
                for (r, out) in out.chunks_exact_mut(width).enumerate() {
                    let (oz, oy) = (r / y.out, r % y.out);
                    let at = Row { x, windows, oz, oy };
                    let larger = |a: W, v: W| if v > a { v } else { a };
                    match fold {
                        Fold::Max => at.fold(&mut row, W::LOWEST, larger, larger),
                        Fold::Mean { .. } => at.fold(&mut row, W::ZERO, W::add, W::add),
                        #[cfg(feature = "full")]
                        Fold::Norm(1.0) => at.fold(&mut row, W::ZERO, |a, v| a.add(v.abs()), W::add),
                        #[cfg(feature = "full")]
                        Fold::Norm(2.0) => at.fold(&mut row, W::ZERO, |a, v| a.add(v.mul(v)), W::add),
                        #[cfg(feature = "full")]
                        Fold::Norm(p) => {
                            let p = W::of(p);
                            at.fold(&mut row, W::ZERO, |a, v| a.add(v.abs().pow(p)), W::add);
                        }
                    }
                    match fold {
                        Fold::Max => out.iter_mut().zip(&row).for_each(|(o, a)| *o = *a),
                        Fold::Mean { .. } => {
                            let outer = taps[0][oz] * taps[1][oy];
                            let each = out.iter_mut().zip(&row).zip(&taps[2]);
                            each.for_each(|((o, a), &t)| *o = a.div(W::of((outer * t) as f32)));
                        }
                        #[cfg(feature = "full")]
                        Fold::Norm(p) => {
                            let root = W::of(1.0 / p);
                            out.iter_mut().zip(&row).for_each(|(o, a)| *o = a.pow(root));
                        }
                    }
                }
            }
        });
    });
    Ok(())
}

/// One output row of a plane.
struct Row<'a, W> {
    x: &'a [W],
    windows: &'a [Window; 3],
    oz: usize,
    oy: usize,
}

/// Where tap `tap` of window `o` lies, if inside the axis.
fn tap_at(w: &Window, o: usize, tap: usize) -> Option<usize> {
    (o * w.stride + tap * w.dilation).checked_sub(w.before).filter(|&at| at < w.len)
}

impl<W: Wide> Row<'_, W> {
    /// Adds every tap to its window's accumulator by `step`; `join` merges two accumulators.
    #[inline]
    fn fold(&self, row: &mut [W], start: W, step: impl Fn(W, W) -> W, join: impl Fn(W, W) -> W) {
        row.fill(start);
        let [z, y, w] = self.windows;
        for iz in (0..z.kernel).filter_map(|t| tap_at(z, self.oz, t)) {
            for iy in (0..y.kernel).filter_map(|t| tap_at(y, self.oy, t)) {
                let line = &self.x[(iz * y.len + iy) * w.len..][..w.len];
                if w.out == 1 && w.before == 0 && w.dilation == 1 {
                    row[0] = join(row[0], long(&line[..w.kernel.min(w.len)], start, &step, &join));
                    continue;
                }
                for tap in 0..w.kernel {
                    let range = w.inside(tap);
                    if range.is_empty() {
                        continue;
                    }
                    let from = range.start * w.stride + tap * w.dilation - w.before;
                    let taps = line[from..].iter().step_by(w.stride);
                    row[range].iter_mut().zip(taps).for_each(|(a, &v)| *a = step(*a, v));
                }
            }
        }
    }
}

/// Folds one long window with several accumulators, so that the operations overlap.
#[inline]
fn long<W: Wide>(line: &[W], start: W, step: &impl Fn(W, W) -> W, join: &impl Fn(W, W) -> W) -> W {
    let mut lanes = [start; 16];
    let chunks = line.chunks_exact(16);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane = step(*lane, v);
        }
    }
    rest.iter().zip(&mut lanes).for_each(|(&v, lane)| *lane = step(*lane, v));
    lanes.into_iter().reduce(join).unwrap_or(start)
}

/// Maxima with the flat index of each in the whole tensor; `storage_order` 1 counts columns first within a plane.
fn max_with_indices<W: Wide>(call: &mut Call, windows: &[Window; 3]) -> Result<()> {
    let x = widened::<W>(&call.input(0)?);
    let columns_first = call.node.attrs.flag("storage_order");
    let [z, y, w] = windows;
    let plane = z.len * y.len * w.len;
    let out_plane = z.out * y.out * w.out;
    let out = call.out(0)?;
    let mut found = vec![0i64; out.bytes.len() / out.dtype.size()];
    write_as(out.dtype, out.bytes, |out: &mut [W]| {
        for (i, (out, found)) in out.iter_mut().zip(&mut found).enumerate() {
            let (n, o) = (i / out_plane, i % out_plane);
            let (oz, oy, ox) = (o / (y.out * w.out), o / w.out % y.out, o % w.out);
            let mut best: Option<(W, usize)> = None;
            for iz in (0..z.kernel).filter_map(|t| tap_at(z, oz, t)) {
                for iy in (0..y.kernel).filter_map(|t| tap_at(y, oy, t)) {
                    for ix in (0..w.kernel).filter_map(|t| tap_at(w, ox, t)) {
                        let v = x[n * plane + (iz * y.len + iy) * w.len + ix];
                        if best.is_none_or(|(b, _)| v > b) {
                            let place = match columns_first {
                                true => (ix * y.len + iy) * z.len + iz,
                                false => (iz * y.len + iy) * w.len + ix,
                            };
                            best = Some((v, n * plane + place));
                        }
                    }
                }
            }
            let (value, place) = best.unwrap_or((W::ZERO, 0));
            (*out, *found) = (value, place as i64);
        }
    });
    call.output::<i64>(1)?.copy_from_slice(&found);
    Ok(())
}
