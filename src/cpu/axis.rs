//! Operators along one axis: softmax and its kin, running sums and products, the index of the extreme.
//! GPU twins: `shaders/softmax.wgsl`, `shaders/axis.wgsl`.

use super::elementwise::{CHUNK, fold_run};
use super::math::Real;
use super::number::{Wide, widened, write_as};
use super::{Call, Kernel, vector};
use crate::Result;
use crate::tensor::{DType, normalize_axis};
use crate::{for_float, for_wide};

pub const KERNELS: &[Kernel] = &[
    Kernel::new("ArgMax", arg_extreme),
    Kernel::new("ArgMin", arg_extreme),
    Kernel::new("CumProd", cumulate),
    Kernel::new("CumSum", cumulate),
    Kernel::new("Hardmax", hardmax),
    Kernel::new("LogSoftmax", softmax),
    Kernel::new("Softmax", softmax),
];

/// A shape seen as `[outer, len, inner]` around an axis.
#[derive(Clone, Copy)]
pub struct Around {
    pub outer: usize,
    pub len: usize,
    pub inner: usize,
}

impl Around {
    /// A scalar counts as one element along its only possible axis.
    pub fn new(call: &Call, shape: &[usize], axis: i64) -> Result<Self> {
        if shape.is_empty() && (axis == 0 || axis == -1) {
            return Ok(Around { outer: 1, len: 1, inner: 1 });
        }
        let axis = normalize_axis(axis, shape.len())
            .ok_or_else(|| call.node.error(format!("axis {axis} is outside a tensor of rank {}", shape.len())))?;
        Ok(Around {
            outer: shape[..axis].iter().product(),
            len: shape[axis],
            inner: shape[axis + 1..].iter().product(),
        })
    }
}

fn softmax(call: &mut Call) -> Result<()> {
    let view = call.input(0)?;
    let around = Around::new(call, view.shape, call.node.attrs.int_or("axis", -1))?;
    let (log, threads) = (call.node.op == "LogSoftmax", call.threads);
    if view.dtype == DType::F32 && around.inner == 1 && around.len > 0 && !log {
        let (x, chunk) = (view.slice::<f32>()?, (CHUNK / around.len).max(1) * around.len);
        threads.for_chunks(call.output(0)?, chunk, |i, y| {
            for (x, y) in x[i * chunk..].chunks_exact(around.len).zip(y.chunks_exact_mut(around.len)) {
                vector::softmax(threads.level(), x, y);
            }
        });
        return Ok(());
    }
    let out = call.out(0)?;
    for_float!(view.dtype, R => {
        let x = widened::<R>(&view);
        write_as(out.dtype, out.bytes, |y: &mut [R]| {
            let slab = around.len * around.inner;
            if slab == 0 {
                return;
            }
            let slabs = (CHUNK / slab).max(1);
            threads.for_chunks(y, slabs * slab, |chunk, y| {
                let x = &x[chunk * slabs * slab..];
                for (x, y) in x.chunks_exact(slab).zip(y.chunks_exact_mut(slab)) {
                    if around.inner == 1 {
                        softmax_row(x, y, log);
                    } else {
                        softmax_slab(x, y, around.inner, log);
                    }
                }
            });
        });
    });
    Ok(())
}

/// y = eˣ⁻ᵐ / Σ eˣ⁻ᵐ with m = max x; its logarithm x − m − ln Σ eˣ⁻ᵐ.
pub fn softmax_row<R: Real>(x: &[R], y: &mut [R], log: bool) {
    let max = fold_run(x, R::LOWEST, R::larger, R::larger);
    y.iter_mut().zip(x).for_each(|(y, &v)| *y = v.sub(max).exp());
    let sum = fold_run(y, R::ZERO, R::add, R::add);
    if log {
        let shift = max.add(sum.ln());
        y.iter_mut().zip(x).for_each(|(y, &v)| *y = v.sub(shift));
    } else {
        let scale = R::ONE.div(sum);
        y.iter_mut().for_each(|y| *y = y.mul(scale));
    }
}

/// The same along the first axis of `[len, inner]`, all columns at once.
pub fn softmax_slab<R: Real>(x: &[R], y: &mut [R], inner: usize, log: bool) {
    let mut max = vec![R::LOWEST; inner];
    for row in x.chunks_exact(inner) {
        max.iter_mut().zip(row).for_each(|(m, &v)| *m = m.larger(v));
    }
    let mut sum = vec![R::ZERO; inner];
    for (x, y) in x.chunks_exact(inner).zip(y.chunks_exact_mut(inner)) {
        for (((y, &v), &m), s) in y.iter_mut().zip(x).zip(&max).zip(&mut sum) {
            *y = v.sub(m).exp();
            *s = s.add(*y);
        }
    }
    if log {
        max.iter_mut().zip(&sum).for_each(|(m, s)| *m = m.add(s.ln()));
        for (x, y) in x.chunks_exact(inner).zip(y.chunks_exact_mut(inner)) {
            y.iter_mut().zip(x).zip(&max).for_each(|((y, &v), &m)| *y = v.sub(m));
        }
    } else {
        for y in y.chunks_exact_mut(inner) {
            y.iter_mut().zip(&sum).for_each(|(y, &s)| *y = y.div(s));
        }
    }
}

/// For every result: `wins(new, best so far)` decides, `found(result, index)` receives.
fn extremes<W: Wide>(x: &[W], around: Around, wins: impl Fn(W, W) -> bool, mut found: impl FnMut(usize, usize)) {
    for o in 0..around.outer {
        for i in 0..around.inner {
            let at = |k: usize| x[(o * around.len + k) * around.inner + i];
            let best = (1..around.len).fold(0, |best, k| if wins(at(k), at(best)) { k } else { best });
            found(o * around.inner + i, best);
        }
    }
}

fn arg_extreme(call: &mut Call) -> Result<()> {
    let (view, attrs) = (call.input(0)?, &call.node.attrs);
    let around = Around::new(call, view.shape, attrs.int_or("axis", 0))?;
    let (largest, last) = (call.node.op == "ArgMax", attrs.flag("select_last_index"));
    let out = call.output::<i64>(0)?;
    for_wide!(view.dtype, W => {
        let x = widened::<W>(&view);
        let found = |result: usize, index: usize| out[result] = index as i64;
        match (largest, last) {
            (true, false) => extremes(&x, around, |new, old| new > old, found),
            (true, true) => extremes(&x, around, |new, old| new >= old, found),
            (false, false) => extremes(&x, around, |new, old| new < old, found),
            (false, true) => extremes(&x, around, |new, old| new <= old, found),
        }
    });
    Ok(())
}

/// 1 at the first maximum along the axis, 0 elsewhere.
fn hardmax(call: &mut Call) -> Result<()> {
    let view = call.input(0)?;
    let around = Around::new(call, view.shape, call.node.attrs.int_or("axis", -1))?;
    let out = call.out(0)?;
    for_float!(view.dtype, R => {
        let x = widened::<R>(&view);
        write_as(out.dtype, out.bytes, |y: &mut [R]| {
            y.fill(0.0);
            if !y.is_empty() {
                extremes(&x, around, |new, old| new > old, |result, index| {
                    let (o, i) = (result / around.inner, result % around.inner);
                    y[(o * around.len + index) * around.inner + i] = 1.0;
                });
            }
        });
    });
    Ok(())
}

/// Running sum or product along the axis in input 1; `exclusive` leaves each element's own value out.
fn cumulate(call: &mut Call) -> Result<()> {
    let (view, attrs) = (call.input(0)?, &call.node.attrs);
    let axis = *call.ints(1)?.first().ok_or_else(|| call.node.error("the axis is an empty tensor"))?;
    let around = Around::new(call, view.shape, axis)?;
    let (exclusive, reverse, product) = (attrs.flag("exclusive"), attrs.flag("reverse"), call.node.op == "CumProd");
    let out = call.out(0)?;
    for_wide!(view.dtype, W => {
        let x = widened::<W>(&view);
        write_as(out.dtype, out.bytes, |y: &mut [W]| {
            for o in 0..around.outer {
                for i in 0..around.inner {
                    let mut total = if product { W::ONE } else { W::ZERO };
                    for k in 0..around.len {
                        let k = if reverse { around.len - 1 - k } else { k };
                        let at = (o * around.len + k) * around.inner + i;
                        let next = if product { total.mul(x[at]) } else { Wide::add(total, x[at]) };
                        y[at] = if exclusive { total } else { next };
                        total = next;
                    }
                }
            }
        });
    });
    Ok(())
}
