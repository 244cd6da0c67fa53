//! Operators that make small tensors or only rename shapes. Reshape and its kin copy here; the planner usually makes
//! them views.

use super::call::{Call, Kernel};
use super::strided::{words, words_mut};
use crate::ops::shape as types;
use crate::tensor::DType;
use crate::{Result, for_dtype, for_width};

pub const KERNELS: &[Kernel] = &[
    Kernel::new("Shape", |c| {
        let shape = c.input(0)?.shape;
        let range = types::shape_range(c.node, shape.len());
        let out = c.output::<i64>(0)?;
        out.iter_mut().zip(&shape[range]).for_each(|(o, &d)| *o = d as i64);
        Ok(())
    }),
    Kernel::new("Size", |c| {
        let len = c.input(0)?.len() as i64;
        c.output::<i64>(0)?.fill(len);
        Ok(())
    }),
    Kernel::new("Reshape", copy),
    Kernel::new("Flatten", copy),
    Kernel::new("Squeeze", copy),
    Kernel::new("Unsqueeze", copy),
    Kernel::new("Identity", copy),
    Kernel::new("Dropout", |c| {
        copy(c)?;
        if c.outputs.len() > 1 {
            c.output::<u8>(1)?.fill(1);
        }
        Ok(())
    }),
    Kernel::new("Constant", |c| {
        let value = types::constant(c.node)?;
        c.outputs[0].bytes.copy_from_slice(value.bytes());
        Ok(())
    }),
    Kernel::new("ConstantOfShape", |c| {
        let value = types::fill_value(c.node)?;
        for_width!(value.dtype(), W => {
            let value = words::<W>(value.bytes())?.first().copied().unwrap_or_default();
            words_mut::<W>(c.outputs[0].bytes)?.fill(value);
        });
        Ok(())
    }),
    Kernel::new("Range", range),
    Kernel::new("EyeLike", |c| {
        let shape = c.output_shape(0);
        let (rows, cols) = (shape[0], shape[1]);
        let shift = c.node.attrs.int_or("k", 0);
        let dtype = c.outputs[0].dtype;
        for_dtype!(dtype, T => {
            let one = super::number::Number::of_i64(1);
            let out = c.output::<T>(0)?;
            out.fill(T::default());
            for row in 0..rows {
                let col = (row as i64).checked_add(shift).and_then(|col| usize::try_from(col).ok());
                if let Some(col) = col.filter(|&col| col < cols) {
                    out[row * cols + col] = one;
                }
            }
        });
        Ok(())
    }),
];

fn copy(call: &mut Call) -> Result<()> {
    let from = call.input(0)?.bytes;
    call.outputs[0].bytes.copy_from_slice(from);
    Ok(())
}

/// `start + i · delta`, in f64 for floats and wrapping i64 for integers.
fn range(call: &mut Call) -> Result<()> {
    use super::number::Number;
    let dtype = call.outputs[0].dtype;
    for_dtype!(dtype, T => {
        let first = |i: usize| -> Result<T> { Ok(call.slice::<T>(i)?.first().copied().unwrap_or_default()) };
        let (start, delta) = (first(0)?, first(2)?);
        let out = call.output::<T>(0)?.iter_mut().enumerate();
        match dtype {
            DType::F64 | DType::F32 | DType::F16 | DType::BF16 => {
                out.for_each(|(i, o)| *o = T::of_f64(start.f64() + i as f64 * delta.f64()));
            }
            _ => out.for_each(|(i, o)| *o = T::of_i64(start.i64().wrapping_add((i as i64).wrapping_mul(delta.i64())))),
        }
    });
    Ok(())
}
