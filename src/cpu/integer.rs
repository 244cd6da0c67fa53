//! Products of 8-bit integers with zero points: MatMulInteger, ConvInteger, and their forms that requantise the sum.

use super::conv::plain;
use super::pairs::{self, Bytes, PairPanels};
use super::{Call, Kernel, Prepare, Prepared, numeric};
use crate::ops::conv::ConvShape;
use crate::ops::product::BatchedProduct;
use crate::tensor::{DType, View};
use crate::{Error, Result};

pub const KERNELS: &[Kernel] = &[
    Kernel {
        op: "MatMulInteger",
        run: matmul_integer,
        prepare: Some(|p| prepare_matmul(p, 1, 3)),
        encoded_inputs: &[],
    },
    Kernel::new("ConvInteger", conv_integer),
    Kernel {
        op: "QLinearMatMul",
        run: qlinear_matmul,
        prepare: Some(|p| prepare_matmul(p, 3, 5)),
        encoded_inputs: &[],
    },
    Kernel::new("QLinearConv", qlinear_conv),
];

/// An 8-bit tensor minus its zero point. `period`/`repeat`: element `i` has zero point `(i / repeat) % period`.
fn centred(call: &Call, view: View, zero: Option<View>, repeat: usize) -> Result<Vec<i32>> {
    let widen = |view: View| -> Result<Vec<i32>> {
        Ok(match view.dtype {
            DType::U8 => view.slice::<u8>()?.iter().map(|&v| v.into()).collect(),
            DType::I8 => view.slice::<i8>()?.iter().map(|&v| v.into()).collect(),
            other => return Err(Error::Unsupported(format!("{} of {}", call.node.op, other.name()))),
        })
    };
    let mut values = widen(view)?;
    let Some(zero) = zero else { return Ok(values) };
    let zero = widen(zero)?;
    match zero.as_slice() {
        [] => {}
        [zero] => values.iter_mut().for_each(|v| *v -= zero),
        many => values.iter_mut().enumerate().for_each(|(i, v)| *v -= many[i / repeat.max(1) % many.len()]),
    }
    Ok(values)
}

/// The integer product of inputs `a` and `b`; zero points per row of A and per column of B, or one for all.
fn matmul_sums(call: &Call, a: usize, a_zero: usize, b: usize, b_zero: usize) -> Result<(BatchedProduct, Vec<i32>)> {
    let (va, vb) = (call.input(a)?, call.input(b)?);
    let shape = BatchedProduct::new(call.node, va.shape, vb.shape)?;
    let BatchedProduct { m, k, n, .. } = shape;
    let mut sums = vec![0i32; shape.batches() * m * n];
    let mut a = Bytes::new(call.node, va, call.opt_input(a_zero)?)?;
    let b = Bytes::new(call.node, vb, call.opt_input(b_zero)?)?;
    let prepared = call.prepared.and_then(|p| p.downcast_ref::<PairPanels>());
    if vb.shape.len() == 2 {
        // One B for all: the batch is more rows of A. Zero points by row repeat with the batch, as `Bytes` does.
        let fresh;
        let panels = match prepared {
            Some(panels) => panels,
            None => {
                fresh = PairPanels::new(call.threads, k, n, &b);
                &fresh
            }
        };
        a.period = m;
        pairs::product(call.threads, shape.batches() * m, &a, panels, &mut sums);
    } else {
        for (i, c) in sums.chunks_exact_mut((m * n).max(1)).enumerate() {
            let (ia, ib) = shape.operands(i);
            let panels = PairPanels::new(call.threads, k, n, &b.part(ib * k * n, k * n));
            pairs::product(call.threads, m, &a.part(ia * m * k, m * k), &panels, c);
        }
    }
    Ok((shape, sums))
}

/// Packs B once when it and its zero point are known.
fn prepare_matmul(p: &Prepare, b: usize, b_zero: usize) -> Result<Option<Prepared>> {
    let dense = |i: usize| p.weights.get(i).copied().flatten().and_then(|w| w.dense());
    let (Some(weight), zero) = (dense(b), dense(b_zero)) else { return Ok(None) };
    let known = zero.is_some() || p.types.get(b_zero).is_none_or(Option::is_none);
    let &[k, n] = weight.shape() else { return Ok(None) };
    if !known {
        return Ok(None);
    }
    let bytes = Bytes::new(p.node, weight.view(), zero.map(|z| z.view()))?;
    Ok(Some(std::sync::Arc::new(PairPanels::new(p.threads, k, n, &bytes))))
}

fn matmul_integer(call: &mut Call) -> Result<()> {
    let (_, sums) = matmul_sums(call, 0, 2, 1, 3)?;
    call.output::<i32>(0)?.copy_from_slice(&sums);
    Ok(())
}

fn qlinear_matmul(call: &mut Call) -> Result<()> {
    let (shape, sums) = matmul_sums(call, 0, 2, 3, 5)?;
    let (m, n) = (shape.m.max(1), shape.n.max(1));
    let (a_scale, b_scale) = (call.input(1)?, call.input(4)?);
    let (a_scale, b_scale) = (numeric::to_f32(a_scale)?, numeric::to_f32(b_scale)?);
    requantise(call, &sums, 6, 7, |i| pick(&a_scale, i / n % m) * pick(&b_scale, i % n))
}

fn conv_sums(call: &Call, x: usize, x_zero: usize, w: usize, w_zero: usize) -> Result<(ConvShape, Vec<i32>)> {
    let (vx, vw) = (call.input(x)?, call.input(w)?);
    let shape = ConvShape::conv(call.node, vx.shape, vw.shape)?;
    let x = centred(call, vx, call.opt_input(x_zero)?, usize::MAX)?;
    let w = centred(call, vw, call.opt_input(w_zero)?, shape.in_channels / shape.groups * shape.taps())?;
    let mut sums = vec![0i32; shape.output().iter().product()];
    plain::convolve(&shape, &x, &w, &mut sums);
    Ok((shape, sums))
}

fn conv_integer(call: &mut Call) -> Result<()> {
    let (_, sums) = conv_sums(call, 0, 2, 1, 3)?;
    call.output::<i32>(0)?.copy_from_slice(&sums);
    Ok(())
}

fn qlinear_conv(call: &mut Call) -> Result<()> {
    let (shape, mut sums) = conv_sums(call, 0, 2, 3, 5)?;
    let (channels, pixels) = (shape.out_channels.max(1), shape.out_pixels().max(1));
    if let Some(bias) = call.opt_slice::<i32>(8)? {
        sums.iter_mut().enumerate().for_each(|(i, v)| *v = v.wrapping_add(bias[i / pixels % channels]));
    }
    let (x_scale, w_scale) = (numeric::to_f32(call.input(1)?)?, numeric::to_f32(call.input(4)?)?);
    requantise(call, &sums, 6, 7, |i| pick(&x_scale, 0) * pick(&w_scale, i / pixels % channels))
}

/// One value for all, or value `i`.
fn pick(values: &[f32], i: usize) -> f32 {
    values.get(if values.len() == 1 { 0 } else { i }).copied().unwrap_or(1.0)
}

/// Writes `saturate(round(sum · scale(i) / y_scale) + y_zero)`, halves to even.
fn requantise(
    call: &mut Call,
    sums: &[i32],
    y_scale: usize,
    y_zero: usize,
    scale: impl Fn(usize) -> f32,
) -> Result<()> {
    let y_scale = numeric::to_f32(call.input(y_scale)?)?;
    let zero = centred(call, call.input(y_zero)?, None, 1)?.first().copied().unwrap_or(0);
    let value = |i: usize| (sums[i] as f32 * scale(i) / pick(&y_scale, i)).round_ties_even() as i64 + i64::from(zero);
    match call.outputs.first().map(|o| o.dtype) {
        Some(DType::I8) => {
            let out = call.output::<i8>(0)?;
            out.iter_mut().enumerate().for_each(|(i, o)| *o = value(i).clamp(-128, 127) as i8);
        }
        _ => {
            let out = call.output::<u8>(0)?;
            out.iter_mut().enumerate().for_each(|(i, o)| *o = value(i).clamp(0, 255) as u8);
        }
    }
    Ok(())
}
