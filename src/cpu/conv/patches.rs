//! An image as the product sees it: every output pixel is a lane, its depth the inputs under the kernel (im2col), read
//! straight into panels. The whole matrix never exists.

use super::gather::gather;
use crate::cpu::gemm::{Pack, PanelSpan};
use crate::cpu::simd::Level;
use crate::ops::conv::ConvAxis;

/// Which inputs an output reads along one axis: tap `t` of output `o` reads input `o · stride + offsets[t]`, or a zero
/// when that lies outside.
#[derive(Clone, Debug)]
pub struct TapAxis {
    pub input: usize,
    pub output: usize,
    pub stride: usize,
    pub offsets: Vec<isize>,
}

impl TapAxis {
    pub fn of(axis: &ConvAxis) -> Self {
        let offsets = (0..axis.kernel).map(|t| (t * axis.dilation) as isize - axis.pad).collect();
        TapAxis { input: axis.input, output: axis.output, stride: axis.stride, offsets }
    }

    fn read(&self, output: usize, tap: usize) -> isize {
        (output * self.stride) as isize + self.offsets[tap]
    }
}

/// The image of one group: `[channels, depth, height, width]`. Depth of the operand: `[channels, taps…]`.
pub struct Patches<'a> {
    pub image: &'a [f32],
    pub axes: &'a [TapAxis; 3],
}

/// Neighbouring lanes that lie in one output row.
#[derive(Clone, Copy, Default)]
struct Run {
    lane: usize,
    len: usize,
    plane: usize,
    row: usize,
    col: usize,
}

impl Pack for Patches<'_> {
    fn pack(&self, level: Level, span: PanelSpan, panel: &mut [f32]) {
        let PanelSpan { width, first, lanes, start, depth } = span;
        let [planes, rows, cols] = self.axes;
        let runs = self.runs(first, lanes);
        let [td, th, tw] = [planes.offsets.len(), rows.offsets.len(), cols.offsets.len()];
        for (k, out) in panel[..depth * width].chunks_exact_mut(width).enumerate() {
            let k = start + k;
            let (w, h, d, channel) = (k % tw, k / tw % th, k / (tw * th) % td, k / (tw * th * td));
            for run in &runs {
                let out = &mut out[run.lane..][..run.len];
                let (plane, row) = (planes.read(run.plane, d), rows.read(run.row, h));
                if plane < 0 || plane as usize >= planes.input || row < 0 || row as usize >= rows.input {
                    out.fill(0.0);
                    continue;
                }
                let line = (channel * planes.input + plane as usize) * rows.input + row as usize;
                read_line(
                    level,
                    &self.image[line * cols.input..][..cols.input],
                    cols.read(run.col, w),
                    cols.stride,
                    out,
                );
            }
            out[lanes..].fill(0.0);
        }
    }
}

impl Patches<'_> {
    fn runs(&self, first: usize, lanes: usize) -> Vec<Run> {
        let [_, rows, cols] = self.axes;
        let mut runs = Vec::with_capacity(lanes.min(4));
        let mut lane = 0;
        while lane < lanes {
            let pixel = first + lane;
            let (col, row) = (pixel % cols.output, pixel / cols.output % rows.output);
            let len = (cols.output - col).min(lanes - lane);
            runs.push(Run { lane, len, plane: pixel / (cols.output * rows.output), row, col });
            lane += len;
        }
        runs
    }
}

/// `out[i] = line[start + i · stride]`, 0 outside the line.
fn read_line(level: Level, line: &[f32], start: isize, stride: usize, out: &mut [f32]) {
    // Outputs before `begin` and from `end` on read outside.
    let begin = if start < 0 { start.unsigned_abs().div_ceil(stride).min(out.len()) } else { 0 };
    let left = line.len() as isize - start;
    let end = if left > 0 { (left as usize).div_ceil(stride).clamp(begin, out.len()) } else { begin };
    out[..begin].fill(0.0);
    out[end..].fill(0.0);
    let out = &mut out[begin..end];
    let Some(line) = line.get((start + (begin * stride) as isize).max(0) as usize..) else { return };
    gather(level, line, stride, out);
}
