//! Conversion between dtypes; GPU twin: `shaders/convert.wgsl`. Out of range, float → integer saturates and integer → integer truncates.

use super::elementwise::{map, predicate};
use super::{Call, Kernel};
use crate::Result;
use crate::for_wide;
use crate::tensor::DType;

pub const KERNELS: &[Kernel] =
    &[Kernel::new("Cast", cast), Kernel::new("CastLike", cast), Kernel::new("BitCast", copy)];

fn cast(call: &mut Call) -> Result<()> {
    let from = call.input(0)?.dtype;
    let to = call.out(0)?.dtype;
    if from == to {
        return copy(call);
    }
    if to == DType::Bool {
        return for_wide!(from, W => predicate(call, |v: W| v != W::default()));
    }
    // Through the source's wide type, which loses nothing.
    for_wide!(from, W => map(call, |_: &mut [W]| ()))
}

fn copy(call: &mut Call) -> Result<()> {
    let x = call.input(0)?;
    call.out(0)?.bytes.copy_from_slice(x.bytes);
    Ok(())
}
