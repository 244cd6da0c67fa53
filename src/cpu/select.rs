//! Operators that pick or mark elements by their values: OneHot, TopK, NonZero, NonMaxSuppression.

use super::call::{Call, Kernel};
use super::strided::{words, words_mut};
use crate::ops::nms;
use crate::ops::params::locate;
use crate::tensor::{normalize_axis, order, strides};
use crate::{Result, for_dtype, for_width};

pub const KERNELS: &[Kernel] = &[
    Kernel::new("OneHot", one_hot),
    Kernel::new("TopK", top_k),
    Kernel::new("NonZero", non_zero),
    Kernel::new("NonMaxSuppression", suppress),
];

/// Indices outside the depth give a row of the "off" value.
fn one_hot(call: &mut Call) -> Result<()> {
    let shape = call.output_shape(0);
    let axis = axis(call, -1, shape.len())?;
    let (depth, inner) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
    let indices = call.input(0)?.to_tensor()?;
    let indices = match indices.dtype() {
        d if d.is_float() => indices.to_f32()?.into_iter().map(|v| v as i64).collect(),
        _ => indices.to_i64()?,
    };
    let values = call.input(2)?;
    for_width!(values.dtype, W => {
        let &[off, on] = words::<W>(values.bytes)? else { return Err(call.node.error("needs an off and an on value")) };
        let out = words_mut::<W>(call.outputs[0].bytes)?;
        out.fill(off);
        for (i, &v) in indices.iter().enumerate() {
            if let Some(v) = locate(v, depth) {
                out[(i / inner * depth + v) * inner + i % inner] = on;
            }
        }
    });
    Ok(())
}

fn axis(call: &Call, default: i64, rank: usize) -> Result<usize> {
    let axis = call.node.attrs.int_or("axis", default);
    normalize_axis(axis, rank).ok_or_else(|| call.node.error(format!("axis {axis} is outside a tensor of rank {rank}")))
}

/// The k largest (or smallest) along an axis, equal ones by index; always in order. NaN counts as largest.
fn top_k(call: &mut Call) -> Result<()> {
    let x = call.input(0)?;
    let axis = axis(call, -1, x.shape.len())?;
    let largest = call.node.attrs.int_or("largest", 1) != 0;
    let (len, inner) = (x.shape[axis], x.shape[axis + 1..].iter().product::<usize>());
    let k = call.output_shape(0)[axis];
    if k == 0 || x.is_empty() {
        return Ok(());
    }
    for_dtype!(x.dtype, T => {
        let x = x.slice::<T>()?;
        let mut found: Vec<i64> = vec![0; x.len() / len * k];
        let values = call.output::<T>(0)?;
        for lane in 0..x.len() / len {
            let at = |i: usize| x[(lane / inner * len + i) * inner + lane % inner];
            #[allow(clippy::eq_op, reason = "NaN is what differs from itself")]
            let ascending = |a: T, b: T| a.partial_cmp(&b).unwrap_or_else(|| (a != a).cmp(&(b != b)));
            let first = order::first(k, len, &|a, b| {
                let by_value = ascending(at(a), at(b));
                if largest { by_value.reverse() } else { by_value }
            });
            for (rank, i) in first.into_iter().enumerate() {
                let to = (lane / inner * k + rank) * inner + lane % inner;
                values[to] = at(i);
                found[to] = i as i64;
            }
        }
        if call.outputs.len() > 1 {
            call.output::<i64>(1)?.copy_from_slice(&found);
        }
    });
    Ok(())
}

fn non_zero(call: &mut Call) -> Result<()> {
    let x = call.input(0)?;
    let steps = strides(x.shape);
    let count = call.output_shape(0).get(1).copied().unwrap_or(0);
    let set: Vec<usize> = for_dtype!(x.dtype, T => {
        let elements = x.slice::<T>()?.iter().enumerate();
        elements.filter(|(_, v)| **v != T::default()).map(|(i, _)| i).collect()
    });
    if set.len() != count {
        return Err(call.node.error("the values changed since the plan was made"));
    }
    let out = call.output::<i64>(0)?;
    for (axis, (&step, &d)) in steps.iter().zip(x.shape).enumerate() {
        set.iter().zip(&mut out[axis * count..]).for_each(|(&i, o)| *o = (i / step % d) as i64);
    }
    Ok(())
}

fn suppress(call: &mut Call) -> Result<()> {
    let limits = [call.opt_input(2)?, call.opt_input(3)?, call.opt_input(4)?];
    let chosen = nms::select(call.node, call.input(0)?, call.input(1)?, &limits)?;
    let node = call.node;
    let out = call.output::<i64>(0)?;
    if out.len() != 3 * chosen.len() {
        return Err(node.error("the values changed since the plan was made"));
    }
    out.chunks_exact_mut(3).zip(&chosen).for_each(|(o, row)| o.copy_from_slice(row));
    Ok(())
}
