//! Pad: every output row is looked up through one table per axis, so all modes are one loop.

use std::ops::Range;

use super::call::{Call, Kernel, ints};
use super::strided::{words, words_mut};
use crate::ops::movement as types;
use crate::ops::pad::Axis;
use crate::tensor::strides;
use crate::{Result, for_width};

pub const KERNELS: &[Kernel] = &[Kernel::new("Pad", pad)];

fn pad(call: &mut Call) -> Result<()> {
    let from = call.input(0)?;
    let out_shape = call.output_shape(0);
    if call.outputs[0].bytes.is_empty() {
        return Ok(());
    }
    let pads = types::pads(call.node, from.shape.len(), &ints(call))?;
    let mode = call.node.attrs.string_or("mode", "constant");
    let axes = pads.iter().enumerate().map(|(a, p)| Axis::new(from.shape[a], out_shape[a], p.0, mode));
    let axes = axes.collect::<Result<Vec<_>>>()?;
    let own = strides(from.shape);
    let value = call.opt_input(2)?.filter(|v| v.dtype == from.dtype);
    let threads = call.threads;

    for_width!(from.dtype, W => {
        let source = words::<W>(from.bytes)?;
        let fill = match value {
            Some(v) => words::<W>(v.bytes)?.first().copied().unwrap_or_default(),
            None => W::default(),
        };
        let out = words_mut::<W>(call.outputs[0].bytes)?;
        let Some((row, outer)) = axes.split_last() else {
            out.copy_from_slice(source);
            return Ok(());
        };
        let width = row.from.len();
        let rows = (out.len() / width).div_ceil(4 * threads.count()).max((1usize << 14).div_ceil(width));
        threads.for_chunks(out, rows * width, |k, out| {
            for (r, out) in out.chunks_exact_mut(width).enumerate() {
                // Where this row begins in the source, if it is not all constant.
                let (mut index, mut start) = (k * rows + r, Some(0));
                for (a, axis) in outer.iter().enumerate().rev() {
                    let at = axis.from[index % axis.from.len()];
                    start = start.zip(at).map(|(s, at)| s + at * own[a]);
                    index /= axis.from.len();
                }
                let Some(start) = start else {
                    out.fill(fill);
                    continue;
                };
                let Range { start: low, end: high } = row.middle;
                if let Some(first) = row.from[low..high].first().copied().flatten() {
                    let at = start + first;
                    out[low..high].copy_from_slice(&source[at..at + high - low]);
                }
                for i in (0..low).chain(high..width) {
                    out[i] = row.from[i].map_or(fill, |from| source[start + from]);
                }
            }
        });
    });
    Ok(())
}
