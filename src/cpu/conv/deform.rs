//! DeformConv (Dai et al. 2017; with a mask Zhu et al. 2019): each tap of each output pixel reads the image at its own
//! offset, between pixels.

use crate::cpu::gemm::{Bias, Divide, Epilogue, Operand, Product, Strided};
use crate::cpu::{Call, numeric};
use crate::ops::conv::{ConvAxis, ConvShape};
use crate::{Error, Result};

pub fn deform_conv(call: &mut Call) -> Result<()> {
    let node = call.node;
    let (x, w, offset) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let shape = ConvShape::conv(node, x.shape, w.shape)?;
    let &[rows, cols] = shape.axes.as_slice() else {
        return Err(Error::Unsupported(format!("DeformConv over {} axes", shape.axes.len())));
    };
    let offset_groups = usize::try_from(node.attrs.int_or("offset_group", 1)).unwrap_or(0);
    let (taps, n) = (shape.taps(), shape.out_pixels());
    let mask = call.opt_input(4)?;
    let fits = |tensor: &[usize], per_tap: usize| {
        tensor.iter().product::<usize>() == shape.batch * offset_groups * per_tap * taps * n
    };
    let even = offset_groups > 0 && shape.in_channels.is_multiple_of(offset_groups);
    if !even || !fits(offset.shape, 2) || mask.is_some_and(|m| !fits(m.shape, 1)) {
        return Err(node.error(format!("offset {:?} or mask does not fit the input {:?}", offset.shape, x.shape)));
    }
    let (x, w, offset) = (numeric::to_f32(x)?, numeric::to_f32(w)?, numeric::to_f32(offset)?);
    let mask = mask.map(numeric::to_f32).transpose()?;
    let bias = call.opt_input(3)?.map(numeric::to_f32).transpose()?;
    let threads = call.threads;
    let (m, k) = shape.group_size();
    let in_pixels = shape.in_pixels();
    let [out, ..] = &mut *call.outputs else { return Ok(()) };
    numeric::fill_f32(out, |y| {
        if m * n == 0 {
            return;
        }
        let in_group = shape.in_channels / shape.groups;
        for (i, y) in y.chunks_exact_mut(m * n).enumerate() {
            let (batch, group) = (i / shape.groups, i % shape.groups);
            let mut columns = vec![0f32; k * n];
            threads.for_chunks(&mut columns, taps * n, |c, columns| {
                let channel = group * in_group + c;
                let image = &x[(batch * shape.in_channels + channel) * in_pixels..][..in_pixels];
                let offset_group = channel / (shape.in_channels / offset_groups);
                let first = (batch * offset_groups + offset_group) * taps;
                for (j, out) in columns.iter_mut().enumerate() {
                    let (tap, pixel) = (j / n, j % n);
                    let at = |part: usize| offset[((first + tap) * 2 + part) * n + pixel];
                    let row = position(&rows, pixel / cols.output, tap / cols.kernel) + at(0);
                    let col = position(&cols, pixel % cols.output, tap % cols.kernel) + at(1);
                    let weight = mask.as_ref().map_or(1.0, |m| m[(first + tap) * n + pixel]);
                    *out = weight * sample(image, rows.input, cols.input, row, col);
                }
            });
            let bias = bias.as_deref().map_or(Bias::None, |b| Bias::PerRow(&b[group * m..][..m]));
            let a = Strided::rows(&w[group * m * k..][..m * k], k);
            let b = Strided::columns(&columns, n);
            let epilogue = Epilogue { bias, ..Epilogue::default() };
            Product { m, n, k, a: Operand::Source(&a), b: Operand::Source(&b), epilogue }.run(
                threads,
                Divide::Columns,
                y,
            );
        }
    })
}

fn position(axis: &ConvAxis, output: usize, tap: usize) -> f32 {
    ((output * axis.stride + tap * axis.dilation) as isize - axis.pad) as f32
}

/// Bilinear interpolation between pixels; zeros around the image.
fn sample(image: &[f32], height: usize, width: usize, row: f32, col: f32) -> f32 {
    let (top, left) = (row.floor(), col.floor());
    let (down, right) = (row - top, col - left);
    let at = |r: f32, c: f32| {
        let inside = r >= 0.0 && c >= 0.0 && r < height as f32 && c < width as f32;
        if inside { image[r as usize * width + c as usize] } else { 0.0 }
    };
    (1.0 - down) * ((1.0 - right) * at(top, left) + right * at(top, left + 1.0))
        + down * ((1.0 - right) * at(top + 1.0, left) + right * at(top + 1.0, left + 1.0))
}
