//! Operators that are one strided copy, or one per part. GPU twin: `gpu/movement.rs`.

use super::call::{Call, Kernel, ints};
use super::strided::{copy, copy_into, words, words_mut};
use crate::ops::movement as types;
use crate::ops::strided::Read;
use crate::tensor::strides;
use crate::{Result, for_width};

pub const KERNELS: &[Kernel] = &[
    Kernel::new("Transpose", read),
    Kernel::new("Slice", read),
    Kernel::new("Expand", read),
    Kernel::new("Tile", read),
    Kernel::new("DepthToSpace", read),
    Kernel::new("SpaceToDepth", read),
    Kernel::new("Concat", concat),
    Kernel::new("Split", split),
    Kernel::new("Trilu", trilu),
    Kernel::new("ReverseSequence", reverse_sequence),
    Kernel::new("CenterCropPad", center_crop_pad),
    Kernel::new("Compress", compress),
];

/// Fills output 0 by one read of input 0.
fn read(call: &mut Call) -> Result<()> {
    let from = call.input(0)?;
    let read = Read::of(call.node, from.shape, call.output_shape(0), &ints(call))?;
    for_width!(from.dtype, W => {
        copy(&read, words::<W>(from.bytes)?, words_mut::<W>(call.outputs[0].bytes)?, call.threads);
    });
    Ok(())
}

/// `[outer, axis, inner]` of a shape around an axis.
fn around(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
}

fn concat(call: &mut Call) -> Result<()> {
    let shape = call.output_shape(0);
    let axis = types::axis_or(call.node, 0, shape.len())?;
    let size = call.outputs[0].dtype.size();
    let (_, whole, inner) = around(shape, axis);
    let row = whole * inner * size;
    if row == 0 {
        return Ok(());
    }
    // The bytes each input adds to one row of the output.
    let parts = (0..call.inputs.len()).map(|i| {
        let view = call.input(i)?;
        Ok((view.bytes, view.shape[axis] * inner * size))
    });
    let parts = parts.collect::<Result<Vec<_>>>()?;
    let threads = call.threads;
    let out = &mut *call.outputs[0].bytes;
    let rows = (out.len() / row).div_ceil(4 * threads.count()).max((1usize << 16).div_ceil(row));
    threads.for_chunks(out, rows * row, |k, out| {
        for (r, out) in out.chunks_exact_mut(row).enumerate() {
            let mut at = 0;
            for &(from, len) in &parts {
                let start = (k * rows + r) * len;
                out[at..at + len].copy_from_slice(&from[start..start + len]);
                at += len;
            }
        }
    });
    Ok(())
}

fn split(call: &mut Call) -> Result<()> {
    let from = call.input(0)?;
    let axis = types::axis_or(call.node, 0, from.shape.len())?;
    let size = from.dtype.size();
    let (_, whole, inner) = around(from.shape, axis);
    let row = whole * inner * size;
    let mut at = 0;
    for out in call.outputs.iter_mut() {
        let len = out.shape[axis] * inner * size;
        if len > 0 {
            let rows = from.bytes.chunks_exact(row).zip(out.bytes.chunks_exact_mut(len));
            rows.for_each(|(from, out)| out.copy_from_slice(&from[at..at + len]));
        }
        at += len;
    }
    Ok(())
}

/// Keeps one triangle of every matrix; the rest becomes zero.
fn trilu(call: &mut Call) -> Result<()> {
    let from = call.input(0)?;
    let upper = call.node.attrs.int_or("upper", 1) != 0;
    let k = if call.arg(1).is_some() { call.ints(1)?.first().copied().unwrap_or(0) } else { 0 };
    let &[.., rows, cols] = from.shape else { return Err(call.node.error("needs matrices")) };
    if from.is_empty() {
        return Ok(());
    }
    for_width!(from.dtype, W => {
        let lines = words::<W>(from.bytes)?.chunks_exact(cols);
        let outs = words_mut::<W>(call.outputs[0].bytes)?.chunks_exact_mut(cols);
        for (n, (line, out)) in lines.zip(outs).enumerate() {
            // Columns from here on lie on or above the diagonal (upper), or above it (lower).
            let diagonal = (n % rows) as i64;
            let edge = diagonal.saturating_add(k).saturating_add(i64::from(!upper)).clamp(0, cols as i64) as usize;
            let (kept, zero) = if upper { (edge..cols, 0..edge) } else { (0..edge, edge..cols) };
            out[kept.clone()].copy_from_slice(&line[kept]);
            out[zero].fill(W::default());
        }
    });
    Ok(())
}

fn reverse_sequence(call: &mut Call) -> Result<()> {
    let from = call.input(0)?;
    let (time, _) = types::reverse_axes(call.node)?;
    let lengths = call.ints(1)?;
    let (steps, batch) = if time == 0 { (from.shape[0], from.shape[1]) } else { (from.shape[1], from.shape[0]) };
    let block = from.shape[2..].iter().product::<usize>() * from.dtype.size();
    let place = |t: usize, b: usize| if time == 0 { t * batch + b } else { b * steps + t } * block;
    for (b, &length) in lengths.iter().enumerate() {
        let length = usize::try_from(length).ok().filter(|&l| l <= steps);
        let length = length.ok_or_else(|| call.node.error(format!("sequence {b} is longer than {steps} steps")))?;
        for t in 0..steps {
            let source = if t < length { length - 1 - t } else { t };
            let (to, at) = (place(t, b), place(source, b));
            call.outputs[0].bytes[to..to + block].copy_from_slice(&from.bytes[at..at + block]);
        }
    }
    Ok(())
}

/// Crops or zero-pads about the centre; an odd element goes after.
fn center_crop_pad(call: &mut Call) -> Result<()> {
    let from = call.input(0)?;
    let out_shape = call.output_shape(0);
    let (own, to) = (strides(from.shape), strides(out_shape));
    let (mut offset, mut start, mut shape) = (0, 0, Vec::new());
    for (axis, (&d, &o)) in from.shape.iter().zip(out_shape).enumerate() {
        offset += d.saturating_sub(o) / 2 * own[axis];
        start += o.saturating_sub(d) / 2 * to[axis];
        shape.push(d.min(o));
    }
    let read = Read { shape, offset, strides: own.iter().map(|&s| s as isize).collect() };
    for_width!(from.dtype, W => {
        let out = words_mut::<W>(call.outputs[0].bytes)?;
        out.fill(W::default());
        if !read.shape.contains(&0) {
            copy_into(&read, words::<W>(from.bytes)?, &mut out[start..], &to);
        }
    });
    Ok(())
}

fn compress(call: &mut Call) -> Result<()> {
    let from = call.input(0)?;
    let keep = call.input(1)?;
    let size = from.dtype.size();
    let (count, inner) = match call.node.attrs.int("axis") {
        Some(_) => {
            let axis = types::axis_or(call.node, 0, from.shape.len())?;
            let (_, count, inner) = around(from.shape, axis);
            (count, inner * size)
        }
        None => (from.len(), size),
    };
    let kept: Vec<usize> = (0..count.min(keep.len())).filter(|&i| keep.bytes[i] != 0).collect();
    if kept.is_empty() || inner == 0 {
        return Ok(());
    }
    let rows = from.bytes.chunks_exact(count * inner);
    let outs = call.outputs[0].bytes.chunks_exact_mut(kept.len() * inner);
    for (row, out) in rows.zip(outs) {
        for (out, &i) in out.chunks_exact_mut(inner).zip(&kept) {
            out.copy_from_slice(&row[i * inner..][..inner]);
        }
    }
    Ok(())
}
