//! Reductions over any set of axes. GPU twin: `shaders/reduce.wgsl`.

use super::elementwise::{CHUNK, fold_run};
use super::math::Real;
use super::number::{Wide, widened, write_as};
use super::{Call, Kernel, Threads};
use crate::Result;
use crate::ops::reduce::{merged_axes, reduced_axes};
use crate::tensor::DType;
use crate::{for_float, for_wide};

pub const KERNELS: &[Kernel] = &[
    Kernel::new("ReduceL1", reduce),
    Kernel::new("ReduceL2", reduce),
    Kernel::new("ReduceLogSum", reduce),
    Kernel::new("ReduceLogSumExp", log_sum_exp),
    Kernel::new("ReduceMax", reduce),
    Kernel::new("ReduceMean", reduce),
    Kernel::new("ReduceMin", reduce),
    Kernel::new("ReduceProd", reduce),
    Kernel::new("ReduceSum", reduce),
    Kernel::new("ReduceSumSquare", reduce),
];

/// Where the elements of each result lie: adjacent axes that are both reduced or both kept are one.
pub struct Geometry {
    /// Offsets of the kept axes but the innermost, in output order.
    kept: Vec<usize>,
    /// Offsets of the reduced axes but the innermost.
    reduced: Vec<usize>,
    /// Elements of the innermost axis.
    inner: usize,
    inner_is_reduced: bool,
}

impl Geometry {
    pub fn new(shape: &[usize], reduced: &[bool]) -> Self {
        let mut dims = merged_axes(shape, reduced);
        let (inner, inner_is_reduced) = dims.pop().unwrap_or((1, true));
        let mut stride = inner;
        let (mut kept_offsets, mut reduced_offsets) = (vec![0], vec![0]);
        for &(size, r) in dims.iter().rev() {
            let list = if r { &mut reduced_offsets } else { &mut kept_offsets };
            *list = (0..size).flat_map(|i| list.iter().map(move |o| o + i * stride)).collect();
            stride *= size;
        }
        Geometry { kept: kept_offsets, reduced: reduced_offsets, inner, inner_is_reduced }
    }

    /// Elements behind each result.
    pub fn count(&self) -> usize {
        self.reduced.len() * if self.inner_is_reduced { self.inner } else { 1 }
    }

    /// `out[i]` = `f(accumulator, element, shift[i])` folded over the elements of result `i`, starting at `init`; `join`
    /// merges two accumulators. Without `shift` it is 0.
    pub fn fold<W: Wide>(
        &self,
        threads: &Threads,
        (x, shift): (&[W], Option<&[W]>),
        out: &mut [W],
        init: W,
        f: impl Fn(W, W, W) -> W + Sync + Send,
        join: impl Fn(W, W) -> W + Sync + Send,
    ) {
        let row = |x: &[W], s: W| fold_run(x, init, |a, v| f(a, v, s), &join);
        let add = |out: &mut [W], x: &[W], shift: Option<&[W]>| match shift {
            None => out.iter_mut().zip(x).for_each(|(o, &v)| *o = f(*o, v, W::ZERO)),
            Some(shift) => out.iter_mut().zip(x).zip(shift).for_each(|((o, &v), &s)| *o = f(*o, v, s)),
        };
        self.fold_with(threads, x, shift, out, init, &Loops { row: &row, add: &add, join: &join });
    }

    fn fold_with<W: Wide>(
        &self,
        threads: &Threads,
        x: &[W],
        shift: Option<&[W]>,
        out: &mut [W],
        init: W,
        loops: &Loops<W>,
    ) {
        let shift_of = |i: usize| shift.and_then(|s| s.get(i)).copied().unwrap_or(W::ZERO);
        if self.inner_is_reduced {
            let rows = (CHUNK / self.count().max(1)).max(1);
            threads.for_chunks(out, rows, |chunk, out| {
                for (k, o) in out.iter_mut().enumerate() {
                    let i = chunk * rows + k;
                    let s = shift_of(i);
                    *o = self.reduced.iter().fold(init, |total, offset| {
                        let start = self.kept[i] + offset;
                        (loops.join)(total, (loops.row)(&x[start..start + self.inner], s))
                    });
                }
            });
        } else if self.inner > 0 {
            threads.for_chunks(out, self.inner, |i, out| {
                out.fill(init);
                for offset in &self.reduced {
                    (loops.add)(out, &x[self.kept[i] + offset..], shift.map(|s| &s[i * self.inner..]));
                }
            });
        }
    }
}

/// The inner loops of one reduction. Erased: what is around them is compiled once per type, not once per operator.
struct Loops<'a, W> {
    /// Folds a run, with its shift.
    row: &'a (dyn Fn(&[W], W) -> W + Sync),
    /// Folds a run into as many results, with their shifts.
    add: &'a (dyn Fn(&mut [W], &[W], Option<&[W]>) + Sync),
    join: &'a (dyn Fn(W, W) -> W + Sync),
}

/// The geometry that a node's axes (input 1, else attribute `axes`) ask for.
fn geometry(call: &Call) -> Result<Geometry> {
    let (shape, attrs) = (call.input(0)?.shape, &call.node.attrs);
    let axes = match call.arg(1) {
        Some(_) => Some(call.ints(1)?),
        None => attrs.ints("axes").map(<[i64]>::to_vec),
    };
    let reduced = reduced_axes(shape.len(), axes.as_deref(), attrs.flag("noop_with_empty_axes"))
        .ok_or_else(|| call.node.error("an axis is outside the tensor"))?;
    Ok(Geometry::new(shape, &reduced))
}

fn reduce(call: &mut Call) -> Result<()> {
    for_wide!(call.input(0)?.dtype, W => reduce_as::<W>(call))
}

fn reduce_as<W: Wide>(call: &mut Call) -> Result<()> {
    let geometry = geometry(call)?;
    let x = widened::<W>(&call.input(0)?);
    let (threads, op) = (call.threads, call.node.op.as_str());
    let out = call.out(0)?;
    let dtype = out.dtype;
    write_as(dtype, out.bytes, |y: &mut [W]| {
        // Closures, not function pointers: each case is compiled with its own inner loop.
        macro_rules! fold {
            ($init:expr, $f:expr, $join:expr) => {
                geometry.fold(threads, (&x, None), y, $init, |a: W, v: W, _| $f(a, v), $join)
            };
        }
        let finish = |y: &mut [W], f: fn(f64) -> f64| y.iter_mut().for_each(|v| *v = W::of(f(v.f64())));
        match op {
            "ReduceL1" => fold!(W::ZERO, |a: W, v: W| a.add(v.abs()), W::add),
            "ReduceL2" => {
                fold!(W::ZERO, |a: W, v: W| a.add(v.mul(v)), W::add);
                finish(y, f64::sqrt);
            }
            "ReduceLogSum" => {
                fold!(W::ZERO, W::add, W::add);
                finish(y, f64::ln);
            }
            "ReduceMax" if geometry.count() == 0 && dtype.is_signed_int() => y.fill(W::of(-extreme(dtype) - 1)),
            "ReduceMin" if geometry.count() == 0 && dtype.is_signed_int() => y.fill(W::of(extreme(dtype))),
            "ReduceMax" => fold!(W::LOWEST, W::larger, W::larger),
            "ReduceMean" => {
                fold!(W::ZERO, W::add, W::add);
                let count = W::of(geometry.count() as u64);
                y.iter_mut().for_each(|v| *v = v.div(count));
            }
            "ReduceMin" => fold!(W::HIGHEST, W::smaller, W::smaller),
            "ReduceProd" => fold!(W::ONE, W::mul, W::mul),
            "ReduceSumSquare" => fold!(W::ZERO, |a: W, v: W| a.add(v.mul(v)), W::add),
            _ => fold!(W::ZERO, W::add, W::add),
        }
    });
    Ok(())
}

/// The largest value of a signed integer dtype: the minimum of nothing.
fn extreme(dtype: DType) -> i64 {
    i64::MAX >> (64 - 8 * dtype.size())
}

/// ln Σ eˣ = m + ln Σ eˣ⁻ᵐ with m = max x.
fn log_sum_exp(call: &mut Call) -> Result<()> {
    let geometry = geometry(call)?;
    let (view, threads) = (call.input(0)?, call.threads);
    let out = call.out(0)?;
    for_float!(view.dtype, R => {
        let x = widened::<R>(&view);
        write_as(out.dtype, out.bytes, |y: &mut [R]| {
            geometry.fold(threads, (&x, None), y, R::LOWEST, |a, v, _| a.larger(v), R::larger);
            let max: Vec<R> = y.iter().map(|&m| if m.is_finite() { m } else { 0.0 }).collect();
            geometry.fold(threads, (&x, Some(&max)), y, 0.0, |a: R, v, m| a + Real::exp(v - m), |a, b| a + b);
            y.iter_mut().zip(&max).for_each(|(v, m)| *v = v.ln() + m);
        });
    });
    Ok(())
}
