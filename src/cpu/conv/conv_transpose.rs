//! ConvTranspose as ordinary convolutions: outputs whose position has the same remainder modulo the stride read the
//! same taps, at consecutive inputs. Each remainder class is one product; then the classes are interleaved.

use std::sync::Arc;

use super::patches::{Patches, TapAxis};
use crate::cpu::decode::decode_row;
use crate::cpu::gemm::epilogue::{Bias, Epilogue, finish_row};
use crate::cpu::gemm::{Divide, Operand, Pack, PanelSpan, Panels, Product, Strided, with_scratch};
use crate::cpu::numeric;
use crate::cpu::product::{dense_weight, encoded};
use crate::cpu::simd::{Level, multiversion};
use crate::cpu::{Call, Prepare, Prepared, Threads};
use crate::ops::conv::{ConvAxis, ConvShape};
use crate::ops::epilogue::Activation;
use crate::weights::Encoded;
use crate::{Error, Result};

/// One remainder class along one axis.
struct AxisClass {
    axis: TapAxis,
    /// Kernel index of each tap.
    taps: Vec<usize>,
}

impl AxisClass {
    /// Output `phase + stride·q` reads input `(phase + stride·q + pad − t·dilation) / stride` where that is whole.
    fn new(axis: &ConvAxis, phase: usize) -> Self {
        let stride = axis.stride as isize;
        let shift = |t: usize| phase as isize + axis.pad - (t * axis.dilation) as isize;
        let taps: Vec<usize> = (0..axis.kernel).filter(|&t| shift(t).rem_euclid(stride) == 0).collect();
        let offsets = taps.iter().map(|&t| shift(t).div_euclid(stride)).collect();
        let output = axis.output.saturating_sub(phase).div_ceil(axis.stride);
        AxisClass { axis: TapAxis { input: axis.input, output, stride: 1, offsets }, taps }
    }
}

/// A remainder class along all three axes.
struct Class {
    axes: [TapAxis; 3],
    phase: [usize; 3],
    /// Kernel index of each tap, flattened.
    taps: Vec<usize>,
}

impl Class {
    fn all(axes: &[ConvAxis; 3]) -> Vec<Class> {
        let [d, h, w] = axes;
        let mut classes = Vec::new();
        for pd in 0..d.stride {
            for ph in 0..h.stride {
                for pw in 0..w.stride {
                    let parts = [AxisClass::new(d, pd), AxisClass::new(h, ph), AxisClass::new(w, pw)];
                    let mut taps = Vec::new();
                    for a in &parts[0].taps {
                        for b in &parts[1].taps {
                            taps.extend(parts[2].taps.iter().map(|c| (a * h.kernel + b) * w.kernel + c));
                        }
                    }
                    classes.push(Class { axes: parts.map(|p| p.axis), phase: [pd, ph, pw], taps });
                }
            }
        }
        classes
    }

    fn pixels(&self) -> usize {
        self.axes.iter().map(|a| a.output).product()
    }

    /// The class's weight `[out_group, in_group · taps]` out of `[in_group, out_group, all taps]`.
    fn weight(&self, weight: &[f32], in_group: usize, out_group: usize, all: usize) -> Vec<f32> {
        let mut rows = Vec::with_capacity(out_group * in_group * self.taps.len());
        for o in 0..out_group {
            for i in 0..in_group {
                let kernel = &weight[(i * out_group + o) * all..][..all];
                rows.extend(self.taps.iter().map(|&t| kernel[t]));
            }
        }
        rows
    }
}

/// The same out of a few-bit weight `[in_channels, out_group · all taps]`, decoded where the product packs it: each row
/// as often as there are classes, which spares a float copy.
struct EncodedClass<'a> {
    weight: &'a Encoded,
    /// First input channel of the group.
    first: usize,
    taps: &'a [usize],
    all: usize,
}

impl Pack for EncodedClass<'_> {
    fn pack(&self, level: Level, span: PanelSpan, panel: &mut [f32]) {
        let PanelSpan { width, first, lanes, start, depth } = span;
        with_scratch(lanes * self.all, |row| {
            let mut decoded = None;
            for (step, out) in (start..start + depth).zip(panel.chunks_exact_mut(width)) {
                let (channel, tap) = (step / self.taps.len(), self.taps[step % self.taps.len()]);
                if decoded != Some(channel) {
                    decode_row(level, self.weight, self.first + channel, first * self.all, row);
                    decoded = Some(channel);
                }
                let (own, beyond) = out.split_at_mut(lanes);
                own.iter_mut().zip(row.chunks_exact(self.all)).for_each(|(out, kernel)| *out = kernel[tap]);
                beyond.fill(0.0);
            }
        });
    }
}

/// Weight panels by group, then by class.
struct PackedClasses(Vec<Panels>);

#[derive(Clone, Copy)]
enum ClassWeights<'a> {
    Packed(&'a PackedClasses),
    Encoded(&'a Encoded),
}

fn pack(threads: &Threads, shape: &ConvShape, classes: &[Class], weight: &[f32]) -> PackedClasses {
    let (in_group, out_group) = (shape.in_channels / shape.groups, shape.out_channels / shape.groups);
    let all = shape.taps();
    let mut panels = Vec::with_capacity(shape.groups * classes.len());
    for g in 0..shape.groups {
        let weight = &weight[g * in_group * out_group * all..][..in_group * out_group * all];
        for class in classes {
            let rows = class.weight(weight, in_group, out_group, all);
            let depth = in_group * class.taps.len();
            let width = threads.level().tile_rows();
            panels.push(Panels::new(threads, width, out_group, depth, &Strided::rows(&rows, depth)));
        }
    }
    PackedClasses(panels)
}

fn axes3(shape: &ConvShape) -> Result<[ConvAxis; 3]> {
    let unsupported = || Error::Unsupported(format!("convolution over {} axes", shape.axes.len()));
    shape.axes3().ok_or_else(unsupported)
}

pub fn prepare(p: &Prepare) -> Result<Option<Prepared>> {
    let Some(weight) = dense_weight(p, 1) else { return Ok(None) };
    let dims = |i: usize| p.types.get(i).and_then(Option::as_ref).map_or(&[][..], |t| &t.shape);
    let shape = ConvShape::transposed(p.node, dims(0), dims(1))?;
    let classes = Class::all(&axes3(&shape)?);
    Ok(Some(Arc::new(pack(p.threads, &shape, &classes, weight))))
}

pub fn conv_transpose(call: &mut Call) -> Result<()> {
    let node = call.node;
    let (x, encoded) = (call.input(0)?, encoded(call, 1));
    let dims = match encoded {
        Some(weight) => weight.shape(),
        None => call.input(1)?.shape,
    };
    let shape = ConvShape::transposed(node, x.shape, dims)?;
    let axes = axes3(&shape)?;
    let classes = Class::all(&axes);
    let x = numeric::to_f32(x)?;
    let bias = call.opt_input(2)?.map(numeric::to_f32).transpose()?;
    let epilogue = Epilogue {
        bias: bias.as_deref().map_or(Bias::None, Bias::PerRow),
        activation: Activation::of(node)?,
        ..Epilogue::default()
    };
    let threads = call.threads;
    let fresh;
    let weights = match (encoded, call.prepared.and_then(|p| p.downcast_ref::<PackedClasses>())) {
        (Some(weight), _) => ClassWeights::Encoded(weight),
        (None, Some(packed)) => ClassWeights::Packed(packed),
        (None, None) => {
            fresh = pack(threads, &shape, &classes, &numeric::to_f32(call.input(1)?)?);
            ClassWeights::Packed(&fresh)
        }
    };
    let [out, ..] = &mut *call.outputs else { return Ok(()) };
    numeric::fill_f32(out, |y| run(threads, &shape, &axes, &classes, weights, &x, &epilogue, y))
}

#[allow(clippy::too_many_arguments)]
fn run(
    threads: &Threads,
    shape: &ConvShape,
    axes: &[ConvAxis; 3],
    classes: &[Class],
    weights: ClassWeights,
    x: &[f32],
    epilogue: &Epilogue,
    y: &mut [f32],
) {
    let (in_group, m) = (shape.in_channels / shape.groups, shape.out_channels / shape.groups);
    let (in_pixels, out_pixels) = (shape.in_pixels(), shape.out_pixels());
    if m * out_pixels == 0 {
        return;
    }
    for (i, y) in y.chunks_exact_mut(m * out_pixels).enumerate() {
        let group = i % shape.groups;
        let image = &x[i * in_group * in_pixels..][..in_group * in_pixels];
        let epilogue = epilogue.of_plane(group * m, m, 0, 0);
        let product = |c: usize, epilogue: Epilogue, out: &mut [f32]| {
            let class = &classes[c];
            let rows;
            let a = match weights {
                ClassWeights::Packed(packed) => Operand::Panels(&packed.0[group * classes.len() + c]),
                ClassWeights::Encoded(weight) => {
                    let first = group * in_group;
                    rows = EncodedClass { weight, first, taps: &class.taps, all: shape.taps() };
                    Operand::Source(&rows)
                }
            };
            let patches = Patches { image, axes: &class.axes };
            let (n, k) = (class.pixels(), in_group * class.taps.len());
            let divide = if m > n { Divide::Rows } else { Divide::Columns };
            Product { m, n, k, a, b: Operand::Source(&patches), epilogue }.run(threads, divide, out);
        };
        if classes.len() == 1 {
            product(0, epilogue, y);
            continue;
        }
        with_scratch(m * out_pixels, |sums| {
            let mut rest = &mut *sums;
            for (c, class) in classes.iter().enumerate() {
                let (own, others) = rest.split_at_mut(m * class.pixels());
                product(c, Epilogue::default(), own);
                rest = others;
            }
            let sums = &*sums;
            threads.for_chunks(y, out_pixels, |channel, y| {
                interleave(threads.level(), axes, classes, sums, m, channel, y, &epilogue);
            });
        });
    }
}

multiversion! {
    /// Puts the classes' pixels of one output channel in place and applies the epilogue. `sums`: one block per class,
    /// `[channels, class pixels]`.
    fn interleave = interleave_body(
        axes: &[ConvAxis; 3], classes: &[Class], sums: &[f32], channels: usize, channel: usize, y: &mut [f32],
        epilogue: &Epilogue,
    )
}

#[inline(always)]
fn interleave_body<const FMA: bool>(
    axes: &[ConvAxis; 3],
    classes: &[Class],
    sums: &[f32],
    channels: usize,
    channel: usize,
    y: &mut [f32],
    epilogue: &Epilogue,
) {
    let [_, h, w] = axes;
    let mut start = 0;
    for class in classes {
        let [planes, rows, cols] = class.axes.each_ref().map(|a| a.output);
        let own = &sums[start + channel * class.pixels()..][..class.pixels()];
        start += channels * class.pixels();
        for (line, own) in own.chunks_exact(cols.max(1)).enumerate().take(planes * rows) {
            let plane = line / rows * axes[0].stride + class.phase[0];
            let row = line % rows * h.stride + class.phase[1];
            let out = &mut y[(plane * h.output + row) * w.output..][..w.output];
            out.iter_mut().skip(class.phase[2]).step_by(w.stride).zip(own).for_each(|(o, &v)| *o = v);
        }
    }
    finish_row::<FMA>(y, channel, 0, 0, epilogue);
}
