//! What elementwise kernels and reductions share: widening, broadcasting, spreading over threads.

use super::Call;
use super::number::{Wide, load, store};
use crate::Result;
use crate::tensor::walk::Walk;
use crate::tensor::{Element, View};

/// Elements of one piece of work for a thread.
pub const CHUNK: usize = 16 * 1024;
/// Elements computed at once: a buffer that stays in the first-level cache.
const SEGMENT: usize = 1024;

/// An operand along a run.
#[derive(Clone, Copy)]
pub enum Run<'a, W> {
    Many(&'a [W]),
    One(W),
}

/// `buffer` is used when the elements are not stored as `W`.
fn run<'a, W: Wide>(
    view: &View<'a>,
    offset: usize,
    step: usize,
    len: usize,
    buffer: &'a mut [W; SEGMENT],
) -> Run<'a, W> {
    let len = if step == 0 { 1 } else { len };
    let values = if view.dtype == W::DTYPE {
        &bytemuck::cast_slice::<u8, W>(view.bytes)[offset..offset + len]
    } else {
        load(view, offset, &mut buffer[..len]);
        &buffer[..len]
    };
    if step == 0 { Run::One(values[0]) } else { Run::Many(values) }
}

/// `out[i] = f(a[i], b[i])`
#[inline(always)]
fn zip<W: Copy, U>(a: Run<W>, b: Run<W>, out: &mut [U], f: impl Fn(W, W) -> U) {
    match (a, b) {
        (Run::Many(a), Run::Many(b)) => out.iter_mut().zip(a.iter().zip(b)).for_each(|(o, (&a, &b))| *o = f(a, b)),
        (Run::Many(a), Run::One(b)) => out.iter_mut().zip(a).for_each(|(o, &a)| *o = f(a, b)),
        (Run::One(a), Run::Many(b)) => out.iter_mut().zip(b).for_each(|(o, &b)| *o = f(a, b)),
        (Run::One(a), Run::One(b)) => out.iter_mut().for_each(|o| *o = f(a, b)),
    }
}

/// Buffers for operands that are not stored as the wide type.
type Scratch<W> = [[W; SEGMENT]; 2];

// An operator's inner loops are compiled for it; what is around them is reached through these, compiled once per type:
// there are dozens of operators, and a browser downloads every copy.
type Fill<'a, W> = &'a (dyn Fn(usize, &mut [W], &mut Scratch<W>) + Sync);
type Zip<'a, W, U> = &'a (dyn Fn(Run<W>, Run<W>, &mut [U]) + Sync);

/// Lets `fill` write every segment of output 0 as `W`: `fill(first element, elements, scratch)`.
fn segments<W: Wide>(call: &mut Call, fill: Fill<W>) -> Result<()> {
    let threads = call.threads;
    let out = call.out(0)?;
    let dtype = out.dtype;
    threads.for_chunks(out.bytes, CHUNK * dtype.size(), |i, bytes| {
        let mut scratch = [[W::ZERO; SEGMENT]; 2];
        let mut buffer = [W::ZERO; SEGMENT];
        for (k, bytes) in bytes.chunks_mut(SEGMENT * dtype.size()).enumerate() {
            let start = i * CHUNK + k * SEGMENT;
            if dtype == W::DTYPE {
                fill(start, bytemuck::cast_slice_mut(bytes), &mut scratch);
            } else {
                let wide = &mut buffer[..bytes.len() / dtype.size()];
                fill(start, wide, &mut scratch);
                store(wide, dtype, bytes);
            }
        }
    });
    Ok(())
}

/// Output 0 = `f` of input 0, which it receives in place, a segment at a time.
pub fn map<W: Wide>(call: &mut Call, f: impl Fn(&mut [W]) + Sync + Send) -> Result<()> {
    map_with(call, &f)
}

fn map_with<W: Wide>(call: &mut Call, f: &(dyn Fn(&mut [W]) + Sync)) -> Result<()> {
    let x = call.input(0)?;
    segments(call, &|start, out: &mut [W], _| {
        load_run(&x, start, out);
        f(out);
    })
}

/// A plain copy when the elements are stored as `W`.
fn load_run<W: Wide>(x: &View, start: usize, out: &mut [W]) {
    if x.dtype == W::DTYPE {
        out.copy_from_slice(&bytemuck::cast_slice(x.bytes)[start..start + out.len()]);
    } else {
        load(x, start, out);
    }
}

/// Output 0 = `f(input 0, input 1)`, broadcast.
pub fn binary<W: Wide>(call: &mut Call, f: impl Fn(W, W) -> W + Sync + Send) -> Result<()> {
    binary_with(call, &|a: Run<W>, b: Run<W>, out: &mut [W]| zip(a, b, out, &f))
}

fn binary_with<W: Wide>(call: &mut Call, zip: Zip<W, W>) -> Result<()> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    let walk = Walk::new(call.output_shape(0), &[a.shape, b.shape]);
    segments(call, &|start, out: &mut [W], [ab, bb]| {
        walk.runs(start, out.len(), SEGMENT, |range, at| {
            let len = range.len();
            let a = run(&a, at[0], walk.step(0), len, ab);
            let b = run(&b, at[1], walk.step(1), len, bb);
            zip(a, b, &mut out[range]);
        });
    })
}

/// Output 0 (bool) = `f(input 0, input 1)`, broadcast.
pub fn compare<W: Wide>(call: &mut Call, f: impl Fn(W, W) -> bool + Sync + Send) -> Result<()> {
    compare_with(call, &|a: Run<W>, b: Run<W>, out: &mut [u8]| zip(a, b, out, |a, b| u8::from(f(a, b))))
}

fn compare_with<W: Wide>(call: &mut Call, zip: Zip<W, u8>) -> Result<()> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    let walk = Walk::new(call.output_shape(0), &[a.shape, b.shape]);
    let threads = call.threads;
    threads.for_chunks(call.output::<u8>(0)?, CHUNK, |i, out| {
        let (mut ab, mut bb) = ([W::ZERO; SEGMENT], [W::ZERO; SEGMENT]);
        walk.runs(i * CHUNK, out.len(), SEGMENT, |range, at| {
            let len = range.len();
            let a = run(&a, at[0], walk.step(0), len, &mut ab);
            let b = run(&b, at[1], walk.step(1), len, &mut bb);
            zip(a, b, &mut out[range]);
        });
    });
    Ok(())
}

/// Output 0 (bool) = `f(input 0)`.
pub fn predicate<W: Wide>(call: &mut Call, f: impl Fn(W) -> bool + Sync + Send) -> Result<()> {
    let x = call.input(0)?;
    let threads = call.threads;
    threads.for_chunks(call.output::<u8>(0)?, CHUNK, |i, out| {
        let mut buffer = [W::ZERO; SEGMENT];
        for (k, out) in out.chunks_mut(SEGMENT).enumerate() {
            let wide = &mut buffer[..out.len()];
            load_run(&x, i * CHUNK + k * SEGMENT, wide);
            out.iter_mut().zip(wide).for_each(|(o, &mut v)| *o = f(v).into());
        }
    });
    Ok(())
}

/// Output 0 = `finish(f(… f(input 0, input 1) …, input n))`, broadcast.
pub fn fold<W: Wide>(
    call: &mut Call,
    f: impl Fn(W, W) -> W + Sync + Send,
    finish: impl Fn(W) -> W + Sync + Send,
) -> Result<()> {
    let add = |x: Run<W>, out: &mut [W]| match x {
        Run::Many(x) => out.iter_mut().zip(x).for_each(|(o, &x)| *o = f(*o, x)),
        Run::One(x) => out.iter_mut().for_each(|o| *o = f(*o, x)),
    };
    fold_with(call, &add, &|out: &mut [W]| out.iter_mut().for_each(|o| *o = finish(*o)))
}

type Add<'a, W> = &'a (dyn Fn(Run<W>, &mut [W]) + Sync);

fn fold_with<W: Wide>(call: &mut Call, add: Add<W>, finish: &(dyn Fn(&mut [W]) + Sync)) -> Result<()> {
    let views = (0..call.inputs.len()).map(|i| call.input(i)).collect::<Result<Vec<_>>>()?;
    let shapes: Vec<&[usize]> = views.iter().map(|v| v.shape).collect();
    let walk = Walk::new(call.output_shape(0), &shapes);
    segments(call, &|start, out: &mut [W], [buffer, _]| {
        walk.runs(start, out.len(), SEGMENT, |range, at| {
            let out = &mut out[range];
            for (i, view) in views.iter().enumerate() {
                match run(view, at[i], walk.step(i), out.len(), buffer) {
                    Run::Many(x) if i == 0 => out.copy_from_slice(x),
                    Run::One(x) if i == 0 => out.fill(x),
                    x => add(x, out),
                }
            }
            finish(out);
        });
    })
}

/// Output 0 = input 1 where input 0 is true, else input 2, broadcast. Elements are moved as `T` of their size.
pub fn choose<T: Element>(call: &mut Call) -> Result<()> {
    let (condition, a, b) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let walk = Walk::new(call.output_shape(0), &[condition.shape, a.shape, b.shape]);
    let (condition, a, b): (&[u8], &[T], &[T]) =
        (condition.slice()?, bytemuck::cast_slice(a.bytes), bytemuck::cast_slice(b.bytes));
    let threads = call.threads;
    let out: &mut [T] = bytemuck::cast_slice_mut(call.out(0)?.bytes);
    threads.for_chunks(out, CHUNK, |i, out| {
        walk.runs(i * CHUNK, out.len(), CHUNK, |range, at| {
            let steps = [walk.step(0), walk.step(1), walk.step(2)];
            for (k, o) in out[range].iter_mut().enumerate() {
                let (x, y) = (a[at[1] + k * steps[1]], b[at[2] + k * steps[2]]);
                *o = if condition[at[0] + k * steps[0]] != 0 { x } else { y };
            }
        });
    });
    Ok(())
}

/// Accumulators per contiguous run: independent sums, which the compiler keeps in vector registers.
const LANES: usize = 16;

/// Folds a contiguous run with independent accumulators.
#[inline(always)]
pub fn fold_run<W: Copy>(x: &[W], init: W, f: impl Fn(W, W) -> W, join: impl Fn(W, W) -> W) -> W {
    let mut lanes = [init; LANES];
    let blocks = x.chunks_exact(LANES);
    let rest = blocks.remainder();
    for block in blocks {
        for (a, &v) in lanes.iter_mut().zip(block) {
            *a = f(*a, v);
        }
    }
    for (a, &v) in lanes.iter_mut().zip(rest) {
        *a = f(*a, v);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = join(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}
