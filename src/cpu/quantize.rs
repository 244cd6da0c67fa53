//! Between floats and integers with a scale and a zero point. GPU twin: `shaders/quantize.wgsl`.

use super::axis::Around;
use super::number::{widened, write_as};
use super::{Call, Kernel};
use crate::Result;
use crate::tensor::DType;

pub const KERNELS: &[Kernel] = &[
    Kernel::new("DequantizeLinear", dequantize),
    Kernel::new("DynamicQuantizeLinear", dynamic_quantize),
    Kernel::new("QuantizeLinear", quantize),
];

/// Which element of the scale serves which run of the tensor.
struct Scales {
    around: Around,
    /// Positions along the axis that share a scale; 0 = one scale a position, for every outer and inner index.
    block: usize,
    per_tensor: bool,
}

impl Scales {
    fn new(call: &Call) -> Result<Self> {
        let (shape, attrs) = (call.input(0)?.shape, &call.node.attrs);
        let per_tensor = call.input(1)?.len() == 1;
        let around = match per_tensor {
            true => Around { outer: 1, len: 1, inner: shape.iter().product() },
            false => Around::new(call, shape, attrs.int_or("axis", 1))?,
        };
        Ok(Scales { around, block: attrs.int_or("block_size", 0).max(0) as usize, per_tensor })
    }

    /// `visit(first element, elements, first scale, step between scales)` for runs that cover the tensor.
    fn runs(&self, mut visit: impl FnMut(usize, usize, usize, usize)) {
        let Around { outer, len, inner } = self.around;
        for o in 0..outer {
            for k in 0..len {
                let first = (o * len + k) * inner;
                match self.block {
                    _ if self.per_tensor => visit(first, inner, 0, 0),
                    0 => visit(first, inner, k, 0),
                    block => visit(first, inner, (o * len.div_ceil(block) + k / block) * inner, 1),
                }
            }
        }
    }
}

/// The values an integer dtype holds.
fn range(dtype: DType) -> (f32, f32) {
    match dtype {
        DType::I8 => (-128.0, 127.0),
        DType::I16 => (-32768.0, 32767.0),
        DType::U16 => (0.0, 65535.0),
        DType::I32 => (-2_147_483_648.0, 2_147_483_647.0),
        _ => (0.0, 255.0),
    }
}

/// y = saturate(round(x / scale) + zero), halves to even.
fn quantize(call: &mut Call) -> Result<()> {
    let scales = Scales::new(call)?;
    let (x, scale) = (widened::<f32>(&call.input(0)?), widened::<f32>(&call.input(1)?));
    let zero = call.opt_input(2)?.map(|z| widened::<f32>(&z));
    let out = call.out(0)?;
    let (low, high) = range(out.dtype);
    write_as(out.dtype, out.bytes, |y: &mut [i64]| {
        scales.runs(|first, len, at, step| {
            for i in 0..len {
                let s = at + i * step;
                let z = zero.as_ref().map_or(0.0, |z| z[s]);
                y[first + i] = ((x[first + i] / scale[s]).round_ties_even() + z).clamp(low, high) as i64;
            }
        });
    });
    Ok(())
}

/// y = (x − zero) · scale
fn dequantize(call: &mut Call) -> Result<()> {
    let scales = Scales::new(call)?;
    let (x, scale) = (widened::<i64>(&call.input(0)?), widened::<f32>(&call.input(1)?));
    let zero = call.opt_input(2)?.map(|z| widened::<i64>(&z));
    let out = call.out(0)?;
    write_as(out.dtype, out.bytes, |y: &mut [f32]| {
        scales.runs(|first, len, at, step| {
            for i in 0..len {
                let s = at + i * step;
                let z = zero.as_ref().map_or(0, |z| z[s]);
                y[first + i] = (x[first + i] - z) as f32 * scale[s];
            }
        });
    });
    Ok(())
}

/// u8 with the scale and zero point that make 0 and the extremes of x exact.
fn dynamic_quantize(call: &mut Call) -> Result<()> {
    let x = call.slice::<f32>(0)?;
    let low = x.iter().fold(0f32, |a, &v| a.min(v));
    let high = x.iter().fold(0f32, |a, &v| a.max(v));
    let scale = (high - low) / 255.0;
    // All zeros: any scale represents them.
    let divisor = if scale == 0.0 { 1.0 } else { scale };
    let zero = (-low / divisor).clamp(0.0, 255.0).round_ties_even();
    for (y, v) in call.output::<u8>(0)?.iter_mut().zip(x) {
        *y = ((v / divisor).round_ties_even() + zero).clamp(0.0, 255.0) as u8;
    }
    call.output::<f32>(1)?.fill(scale);
    call.output::<u8>(2)?.fill(zero as u8);
    Ok(())
}
