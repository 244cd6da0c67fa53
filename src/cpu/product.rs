//! MatMul and Gemm.

use super::gemm::{Bias, Divide, Epilogue, Operand, Pack, Panels, Product, Strided};
use super::numeric::{self, for_ring};
use super::packs::Key;
use super::{Arg, Call, Kernel, Prepare, Prepared, Threads};
use crate::Result;
use crate::graph::Weight;
use crate::ops::product::{BatchedProduct, gemm_sizes};
use crate::tensor::{DType, broadcast_strides};

pub const KERNELS: &[Kernel] = &[
    Kernel { op: "MatMul", run: matmul, prepare: Some(prepare_matmul), encoded_inputs: &[] },
    Kernel { op: "Gemm", run: gemm, prepare: Some(prepare_gemm), encoded_inputs: &[] },
];

/// The dense f32 values of weight input `i`, if it is one.
pub fn dense_weight<'a>(prepare: &Prepare<'a>, i: usize) -> Option<&'a [f32]> {
    match prepare.weights.get(i).copied().flatten() {
        Some(Weight::Dense(tensor)) if tensor.dtype() == DType::F32 => tensor.slice().ok(),
        _ => None,
    }
}

/// Packs a weight into the panels of B.
pub fn pack_b(threads: &Threads, n: usize, k: usize, source: &dyn Pack) -> Option<Prepared> {
    Some(std::sync::Arc::new(Panels::new(threads, threads.level().tile_cols(), n, k, source)))
}

/// Weight input 1 of a node, packed once for all plans of a session: `[n, k]` if `transposed`, else `[k, n]`.
pub fn shared_b(p: &Prepare, weight: &[f32], n: usize, k: usize, transposed: bool) -> Option<Prepared> {
    p.packs.get(Key::new(weight, n, k, transposed), || pack_b(p.threads, n, k, &gemm_b(transposed, weight, k, n)))
}

/// The panels that `prepare` made, else the source itself.
pub fn operand<'a>(prepared: Option<&'a Prepared>, source: &'a dyn Pack) -> Operand<'a> {
    match prepared.and_then(|p| p.downcast_ref::<Panels>()) {
        Some(panels) => Operand::Panels(panels),
        None => Operand::Source(source),
    }
}

fn prepare_matmul(p: &Prepare) -> Result<Option<Prepared>> {
    let Some(weight) = dense_weight(p, 1) else { return Ok(None) };
    match p.types.get(1).and_then(Option::as_ref).map(|t| t.shape.as_slice()) {
        Some(&[k, n]) => Ok(shared_b(p, weight, n, k, false)),
        _ => Ok(None),
    }
}

fn matmul(call: &mut Call) -> Result<()> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    let shape = BatchedProduct::new(call.node, a.shape, b.shape)?;
    let (threads, prepared) = (call.threads, call.prepared);
    let [out, ..] = &mut *call.outputs else { return Ok(()) };
    if matches!(a.dtype, DType::F32 | DType::F16 | DType::BF16) {
        let (a, b) = (numeric::to_f32(a)?, numeric::to_f32(b)?);
        return numeric::fill_f32(out, |c| batched(threads, &shape, &a, &b, prepared, c));
    }
    for_ring!(a.dtype, T => {
        let (a, b, c) = (a.slice::<T>()?, b.slice::<T>()?, out.slice::<T>()?);
        let BatchedProduct { m, k, n, .. } = shape;
        for (i, c) in c.chunks_exact_mut((m * n).max(1)).enumerate() {
            let (ia, ib) = shape.operands(i);
            numeric::product([m, k, n], &a[ia * m * k..][..m * k], &b[ib * k * n..][..k * n], c);
        }
        Ok(())
    })
}

fn batched(
    threads: &Threads,
    shape: &BatchedProduct,
    a: &[f32],
    b: &[f32],
    prepared: Option<&Prepared>,
    c: &mut [f32],
) {
    let &BatchedProduct { m, k, n, .. } = shape;
    let one = |threads: &Threads, m: usize, a: &[f32], b: &[f32], c: &mut [f32]| {
        let (rows, columns) = (Strided::rows(a, k), Strided::columns(b, n));
        let (a, b) = (Operand::Source(&rows), operand(prepared, &columns));
        let divide = if m >= n { Divide::Rows } else { Divide::Columns };
        Product { m, n, k, a, b, epilogue: Epilogue::default() }.run(threads, divide, c);
    };
    if b.len() == k * n && a.len() == shape.batches() * m * k {
        // One B for all: the batch is more rows of A.
        return one(threads, shape.batches() * m, a, b, c);
    }
    if m * n == 0 {
        return;
    }
    let pick = |i: usize| {
        let (ia, ib) = shape.operands(i);
        (&a[ia * m * k..][..m * k], &b[ib * k * n..][..k * n])
    };
    if shape.batches() >= 2 * threads.count() {
        let single = Threads::single().with_level(threads.level()).unwrap_or_else(Threads::single);
        threads.for_chunks(c, m * n, |i, c| {
            let (a, b) = pick(i);
            one(&single, m, a, b, c);
        });
    } else {
        for (i, c) in c.chunks_exact_mut(m * n).enumerate() {
            let (a, b) = pick(i);
            one(threads, m, a, b, c);
        }
    }
}

fn prepare_gemm(p: &Prepare) -> Result<Option<Prepared>> {
    let Some(weight) = dense_weight(p, 1) else { return Ok(None) };
    let shape = |i: usize| p.types.get(i).and_then(Option::as_ref).map_or(&[][..], |t| &t.shape);
    let (_, k, n) = gemm_sizes(p.node, shape(0), shape(1))?;
    Ok(shared_b(p, weight, n, k, p.node.attrs.flag("transB")))
}

/// B of a product by how it is stored.
pub fn gemm_b(transposed: bool, b: &[f32], k: usize, n: usize) -> Strided<'_> {
    if transposed { Strided::rows(b, k) } else { Strided::columns(b, n) }
}

fn gemm(call: &mut Call) -> Result<()> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    let (m, k, n) = gemm_sizes(call.node, a.shape, b.shape)?;
    let attrs = &call.node.attrs;
    let (alpha, beta) = (attrs.float_or("alpha", 1.0), attrs.float_or("beta", 1.0));
    let (trans_a, trans_b) = (attrs.flag("transA"), attrs.flag("transB"));
    let c = call.opt_input(2)?;
    if !matches!(a.dtype, DType::F32 | DType::F16 | DType::BF16) {
        return wide_gemm(call);
    }
    // beta · C, as a bias when it is one row, else as a residual of the output's shape.
    let c_rows = match c {
        None => None,
        Some(c) => {
            let values: Vec<f32> = numeric::to_f32(c)?.iter().map(|v| beta * v).collect();
            let row = c.shape.iter().rev().skip(1).all(|&d| d == 1) && values.len() == n && c.shape.last() == Some(&n);
            Some((row, if row { values } else { expand(&values, c.shape, m, n) }))
        }
    };
    let (a, b) = (numeric::to_f32(a)?, numeric::to_f32(b)?);
    let a = if trans_a { Strided::columns(&a, m) } else { Strided::rows(&a, k) };
    let columns = gemm_b(trans_b, &b, k, n);
    let mut epilogue = Epilogue { scale: alpha, ..Epilogue::default() };
    match &c_rows {
        Some((true, bias)) => epilogue.bias = Bias::PerColumn(bias),
        Some((false, all)) => epilogue.residual = Some(all),
        None => {}
    }
    let (threads, prepared) = (call.threads, call.prepared);
    let [out, ..] = &mut *call.outputs else { return Ok(()) };
    let divide = if m >= n { Divide::Rows } else { Divide::Columns };
    numeric::fill_f32(out, |out| {
        let (a, b) = (Operand::Source(&a), operand(prepared, &columns));
        Product { m, n, k, a, b, epilogue }.run(threads, divide, out);
    })
}

/// `values` of `shape` broadcast to `[m, n]`.
fn expand<T: Copy>(values: &[T], shape: &[usize], m: usize, n: usize) -> Vec<T> {
    let [rows, cols] = broadcast_strides(shape, &[m, n])[..] else { return Vec::new() };
    (0..m * n).map(|i| values[i / n * rows + i % n * cols]).collect()
}

/// Gemm on f64 and integers, computed in f64 (as numpy does when alpha and beta are floats).
#[allow(clippy::unnecessary_cast)] // T is f64 in one instance
fn wide_gemm(call: &mut Call) -> Result<()> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    let (m, k, n) = gemm_sizes(call.node, a.shape, b.shape)?;
    let attrs = &call.node.attrs;
    let (alpha, beta) = (f64::from(attrs.float_or("alpha", 1.0)), f64::from(attrs.float_or("beta", 1.0)));
    let ((ai, ak), (bk, bj)) =
        (if attrs.flag("transA") { (1, m) } else { (k, 1) }, if attrs.flag("transB") { (1, k) } else { (n, 1) });
    let c = call.opt_input(2)?;
    for_ring!(a.dtype, T => {
        let (a, b) = (a.slice::<T>()?, b.slice::<T>()?);
        let c = match c {
            Some(c) => expand(c.slice::<T>()?, c.shape, m, n),
            None => vec![T::default(); m * n],
        };
        for (i, out) in call.output::<T>(0)?.iter_mut().enumerate() {
            let (row, col) = (i / n, i % n);
            let sum: f64 = (0..k).map(|j| a[row * ai + j * ak] as f64 * b[j * bk + col * bj] as f64).sum();
            *out = (alpha * sum + beta * c[i] as f64) as T;
        }
        Ok(())
    })
}

/// Whether input `i` arrives encoded.
pub fn encoded<'a>(call: &Call<'a>, i: usize) -> Option<&'a crate::weights::Encoded> {
    match call.arg(i) {
        Some(Arg::Encoded(weight)) => Some(weight),
        _ => None,
    }
}
