//! Gather, GatherElements, GatherND: reads at computed positions. GPU twin: `gpu/gather.rs`.

use bytemuck::Pod;

use super::call::{Arg, Call, Kernel};
use super::strided::{words, words_mut};
use crate::ops::index as types;
use crate::ops::params::{index, locate, out_of_range};
use crate::tensor::{View, strides};
use crate::weights::Encoded;
use crate::{Result, for_width};

pub const KERNELS: &[Kernel] = &[
    Kernel { op: "Gather", run: gather, prepare: None, encoded_inputs: &[0] },
    Kernel::new("GatherElements", gather_elements),
    Kernel::new("GatherND", gather_nd),
];

/// Rows below this many bytes in all stay on the calling thread.
const SERIAL: usize = 1 << 17;

fn gather(call: &mut Call) -> Result<()> {
    match call.arg(0) {
        Some(Arg::Encoded(table)) if types::axis(call.node, table.shape().len())? == 0 => gather_encoded(call, table),
        Some(Arg::Encoded(table)) => gather_dense(call, table.to_dense()?.view()),
        _ => gather_dense(call, call.input(0)?),
    }
}

fn gather_dense(call: &mut Call, data: View) -> Result<()> {
    let axis = types::axis(call.node, data.shape.len())?;
    let len = data.shape[axis];
    let picks = call.ints(1)?.into_iter().map(|i| index(call.node, i, len)).collect::<Result<Vec<usize>>>()?;
    let block = data.shape[axis + 1..].iter().product::<usize>() * data.dtype.size();
    let threads = call.threads;
    let out = &mut *call.outputs[0].bytes;
    if out.is_empty() {
        return Ok(());
    }
    if block <= 8 {
        // One element each: moved as a word, not as bytes.
        for_width!(data.dtype, W => return gather_words(words::<W>(data.bytes)?, words_mut(out)?, &picks, len, block));
    }
    let rows = (out.len() / block).div_ceil(4 * threads.count()).max(SERIAL.div_ceil(block));
    threads.for_chunks(out, rows * block, |k, out| {
        for (r, out) in out.chunks_exact_mut(block).enumerate() {
            let row = k * rows + r;
            let from = (row / picks.len() * len + picks[row % picks.len()]) * block;
            out.copy_from_slice(&data.bytes[from..from + block]);
        }
    });
    Ok(())
}

/// Rows of a few-bit table (an embedding), decoded one by one.
fn gather_encoded(call: &mut Call, table: &Encoded) -> Result<()> {
    let rows = table.rows();
    let picks = call.ints(1)?.into_iter().map(|i| index(call.node, i, rows)).collect::<Result<Vec<usize>>>()?;
    let cols = table.cols();
    let threads = call.threads;
    threads.for_chunks(call.output::<f32>(0)?, cols, |k, out| table.as_encoding().decode(picks[k], 0, out));
    Ok(())
}

fn gather_words<W: Pod>(data: &[W], out: &mut [W], picks: &[usize], len: usize, bytes: usize) -> Result<()> {
    let block = bytes / size_of::<W>();
    for (outer, out) in out.chunks_exact_mut(picks.len() * block).enumerate() {
        let data = &data[outer * len * block..];
        for (out, &i) in out.chunks_exact_mut(block).zip(picks) {
            out.copy_from_slice(&data[i * block..][..block]);
        }
    }
    Ok(())
}

/// Visits `0 .. product(shape)` with the position that the same index has under other strides.
pub fn positions(shape: &[usize], strides: &[usize], mut visit: impl FnMut(usize, usize) -> Result<()>) -> Result<()> {
    let len: usize = shape.iter().product();
    let mut index = vec![0; shape.len()];
    let mut at = 0;
    for i in 0..len {
        visit(i, at)?;
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    Ok(())
}

/// Where each element of `indices` points in data of shape `data`: its own place, but for the axis, which it names.
pub fn element_targets(call: &Call, data: &[usize]) -> Result<Vec<usize>> {
    let axis = types::axis(call.node, data.len())?;
    let shape = call.input(1)?.shape;
    let indices = call.ints(1)?;
    let mut steps = strides(data);
    let step = std::mem::replace(&mut steps[axis], 0);
    let mut targets = vec![0; indices.len()];
    positions(shape, &steps, |i, at| {
        let pick = locate(indices[i], data[axis]).ok_or_else(|| out_of_range(call.node, indices[i], data[axis]))?;
        targets[i] = at + pick * step;
        Ok(())
    })?;
    Ok(targets)
}

fn gather_elements(call: &mut Call) -> Result<()> {
    let data = call.input(0)?;
    let targets = element_targets(call, data.shape)?;
    for_width!(data.dtype, W => {
        let from = words::<W>(data.bytes)?;
        let out = words_mut::<W>(call.outputs[0].bytes)?;
        out.iter_mut().zip(&targets).for_each(|(o, &t)| *o = from[t]);
    });
    Ok(())
}

/// First elements of the slices that the index tuples of input 1 name, and the elements of one slice.
pub fn slice_targets(call: &Call, data: &[usize]) -> Result<(Vec<usize>, usize)> {
    let shape = call.input(1)?.shape;
    let (batch, depth) = types::nd_layout(call.node, data, shape)?;
    let steps = strides(data);
    let slice: usize = data[batch + depth..].iter().product();
    let tuples: usize = shape[..shape.len() - 1].iter().product();
    let batches: usize = shape[..batch].iter().product();
    let batch_step: usize = data[batch..].iter().product();
    let indices = call.ints(1)?;
    let target = |tuple: usize| {
        let mut at = tuple / (tuples / batches.max(1)).max(1) * batch_step;
        for k in 0..depth {
            at += index(call.node, indices[tuple * depth + k], data[batch + k])? * steps[batch + k];
        }
        Ok(at)
    };
    Ok(((0..tuples).map(target).collect::<Result<_>>()?, slice))
}

fn gather_nd(call: &mut Call) -> Result<()> {
    let data = call.input(0)?;
    let (targets, slice) = slice_targets(call, data.shape)?;
    let size = data.dtype.size();
    let block = slice * size;
    if block > 0 {
        let outs = call.outputs[0].bytes.chunks_exact_mut(block);
        outs.zip(&targets).for_each(|(out, &t)| out.copy_from_slice(&data.bytes[t * size..][..block]));
    }
    Ok(())
}
