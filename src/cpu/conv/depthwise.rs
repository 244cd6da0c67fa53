//! Depthwise convolution: every output channel reads one input channel.
//!
//! The channel is copied into a frame of zeros, its rows and columns sorted by their remainder modulo the stride. Then
//! output pixel `i` of the flattened frame is `Σ weight[t] · frame[offset[t] + i]`: one loop without borders or
//! strides, whatever the kernel, and the few pixels between rows are computed in vain.

use super::gather::gather;
use crate::cpu::gemm::epilogue::{Epilogue, finish_row};
use crate::cpu::simd::{Level, fma, multiversion};
use crate::ops::conv::ConvAxis;

/// Slack behind a frame: the last block of outputs reads past its end.
const BLOCK: usize = 64;

/// Where things lie in a frame.
pub struct Frame {
    axes: [ConvAxis; 3],
    /// Elements along each axis of one remainder class.
    size: [usize; 3],
    /// Frame offset of each tap, in the weight's order.
    offsets: Vec<usize>,
}

impl Frame {
    pub fn new(axes: [ConvAxis; 3]) -> Self {
        let size = axes.map(|a| {
            let reach = (a.output.max(1) - 1) * a.stride + (a.kernel - 1) * a.dilation + 1;
            reach.div_ceil(a.stride)
        });
        let mut frame = Frame { axes, size, offsets: Vec::new() };
        let [d, h, w] = axes;
        for kd in 0..d.kernel {
            for kh in 0..h.kernel {
                for kw in 0..w.kernel {
                    frame.offsets.push(frame.index([kd * d.dilation, kh * h.dilation, kw * w.dilation]));
                }
            }
        }
        frame
    }

    /// Place of a padded coordinate.
    fn index(&self, at: [usize; 3]) -> usize {
        let (mut class, mut inner) = (0, 0);
        for ((axis, size), at) in self.axes.iter().zip(self.size).zip(at) {
            class = class * axis.stride + at % axis.stride;
            inner = inner * size + at / axis.stride;
        }
        class * self.class_len() + inner
    }

    fn class_len(&self) -> usize {
        self.size.iter().product()
    }

    /// Elements of the frame buffer.
    pub fn len(&self) -> usize {
        self.class_len() * self.axes.iter().map(|a| a.stride).product::<usize>() + BLOCK
    }

    /// Elements of the flattened output, rounded up to whole blocks.
    pub fn out_len(&self) -> usize {
        let [d, h, w] = self.axes.map(|a| a.output.max(1));
        (((d - 1) * self.size[1] + (h - 1)) * self.size[2] + w).next_multiple_of(BLOCK)
    }

    /// Copies a channel into its places; the zeros around it must be there already.
    pub fn fill(&self, level: Level, channel: &[f32], frame: &mut [f32]) {
        let [d, h, w] = &self.axes;
        let inside = |i: usize, axis: &ConvAxis, size: usize| {
            usize::try_from(i as isize + axis.pad).ok().filter(|&p| p < size * axis.stride)
        };
        if w.input == 0 {
            return;
        }
        for (line, row) in channel.chunks_exact(w.input).enumerate() {
            let (Some(pd), Some(ph)) =
                (inside(line / h.input, d, self.size[0]), inside(line % h.input, h, self.size[1]))
            else {
                continue;
            };
            for phase in 0..w.stride {
                // The first column of this remainder class that the row holds.
                let first = (phase as isize - w.pad).rem_euclid(w.stride as isize) as usize;
                let skip = if w.pad < 0 { w.pad.unsigned_abs().saturating_sub(first).div_ceil(w.stride) } else { 0 };
                let first = first + skip * w.stride;
                let place = (first as isize + w.pad) as usize;
                let Some(room) = self.size[2].checked_sub(place / w.stride) else { continue };
                let out = &mut frame[self.index([pd, ph, place])..][..room];
                let Some(row) = row.get(first..) else { continue };
                gather(level, row, w.stride, out);
            }
        }
    }

    /// One channel: `frame` → output pixels with the epilogue. `sums` holds `out_len()` elements.
    #[allow(clippy::too_many_arguments)]
    pub fn convolve(
        &self,
        level: Level,
        weight: &[f32],
        frame: &[f32],
        sums: &mut [f32],
        out: &mut [f32],
        epilogue: &Epilogue,
        channel: usize,
    ) {
        correlate(level, &self.offsets, weight, frame, sums);
        let [_, h, w] = self.axes.map(|a| a.output);
        scatter(level, sums, [h, w, self.size[1], self.size[2]], out, epilogue, channel);
    }
}

multiversion! {
    /// `sums[i] = Σ weight[t] · frame[offsets[t] + i]`.
    fn correlate = correlate_body(offsets: &[usize], weight: &[f32], frame: &[f32], sums: &mut [f32])
}

#[inline(always)]
fn correlate_body<const FMA: bool>(offsets: &[usize], weight: &[f32], frame: &[f32], sums: &mut [f32]) {
    // As many sums as fit the registers: 64 where they are 8 or 16 wide, 32 where they are 4 wide.
    if FMA { blocks::<FMA, 64>(offsets, weight, frame, sums) } else { blocks::<FMA, 32>(offsets, weight, frame, sums) }
}

#[inline(always)]
fn blocks<const FMA: bool, const WIDTH: usize>(offsets: &[usize], weight: &[f32], frame: &[f32], sums: &mut [f32]) {
    for (block, out) in sums.as_chunks_mut::<WIDTH>().0.iter_mut().enumerate() {
        let frame = &frame[block * WIDTH..];
        let mut sums = [0f32; WIDTH];
        for (&offset, &weight) in offsets.iter().zip(weight) {
            let Some(inputs) = frame[offset..].first_chunk::<WIDTH>() else { break };
            for (sum, &v) in sums.iter_mut().zip(inputs) {
                *sum = fma::<FMA>(weight, v, *sum);
            }
        }
        *out = sums;
    }
}

multiversion! {
    /// Takes the rows out of the flattened sums. `sizes`: output height and width, their distances in `sums`.
    fn scatter = scatter_body(sums: &[f32], sizes: [usize; 4], out: &mut [f32], epilogue: &Epilogue, channel: usize)
}

#[inline(always)]
fn scatter_body<const FMA: bool>(
    sums: &[f32],
    [height, width, height_step, width_step]: [usize; 4],
    out: &mut [f32],
    epilogue: &Epilogue,
    channel: usize,
) {
    let pixels = out.len();
    for (line, out) in out.chunks_exact_mut(width.max(1)).enumerate() {
        let start = (line / height * height_step + line % height) * width_step;
        out.copy_from_slice(&sums[start..][..width]);
        finish_row::<FMA>(out, channel, line * width, pixels, epilogue);
    }
}
