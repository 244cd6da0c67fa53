//! Whole tensors as f32, for operators that are computed in f32 whatever their type and are never the bottleneck.

use super::call::Call;
use super::number::Number;
use crate::{Result, for_dtype};

/// Input `i` as f32.
pub fn read(call: &Call, i: usize) -> Result<Vec<f32>> {
    call.input(i)?.to_tensor()?.to_f32()
}

/// Optional input `i` as f32.
pub fn opt_read(call: &Call, i: usize) -> Result<Option<Vec<f32>>> {
    if call.arg(i).is_some() { read(call, i).map(Some) } else { Ok(None) }
}

/// Writes `values` to output `i`, if the node has it, in its type.
pub fn write(call: &mut Call, i: usize, values: &[f32]) -> Result<()> {
    let Some(dtype) = call.outputs.get(i).map(|o| o.dtype) else { return Ok(()) };
    for_dtype!(dtype, T => call.output::<T>(i)?.iter_mut().zip(values).for_each(|(o, &v)| *o = T::of_f32(v)));
    Ok(())
}
