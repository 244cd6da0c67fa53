//! ScatterElements, ScatterND, TensorScatter: writes at computed positions. GPU
//! twins: `gpu/gather.rs`, `gpu/gather_nd.rs`.

use super::call::{Call, Kernel};
use super::gather::{element_targets, slice_targets};
use super::number::{Number, Wide};
use crate::ops::index::{Reduction, reduction};
use crate::ops::params::{index, locate};
use crate::tensor::{DType, normalize_axis};
use crate::{Error, Result, for_dtype};

pub const KERNELS: &[Kernel] = &[
    Kernel::new("ScatterElements", scatter_elements),
    Kernel::new("Scatter", scatter_elements),
    Kernel::new("ScatterND", scatter_nd),
    Kernel::new("TensorScatter", tensor_scatter),
];

fn scatter_elements(call: &mut Call) -> Result<()> {
    let targets = element_targets(call, call.input(0)?.shape)?;
    scatter(call, &targets, 1)
}

fn scatter_nd(call: &mut Call) -> Result<()> {
    let (targets, slice) = slice_targets(call, call.input(0)?.shape)?;
    scatter(call, &targets, slice)
}

/// Copies the data, then combines slice `i` of the updates with the slice at `targets[i]`, in order.
fn scatter(call: &mut Call, targets: &[usize], slice: usize) -> Result<()> {
    let data = call.input(0)?;
    let reduction = reduction(call.node)?;
    call.outputs[0].bytes.copy_from_slice(data.bytes);
    if slice == 0 {
        return Ok(());
    }
    for_dtype!(data.dtype, T => {
        let updates = call.slice::<T>(2)?;
        let combine = combiner::<T>(reduction);
        let out = call.output::<T>(0)?;
        for (&at, update) in targets.iter().zip(updates.chunks_exact(slice)) {
            let out = &mut out[at..at + slice];
            match combine {
                None => out.copy_from_slice(update),
                Some(f) => out.iter_mut().zip(update).for_each(|(o, &u)| *o = f(*o, u)),
            }
        }
    });
    Ok(())
}

fn combiner<T: Number>(reduction: Reduction) -> Option<fn(T, T) -> T> {
    match T::DTYPE {
        DType::F64 => combine_as::<T, f64>(reduction),
        DType::U64 => combine_as::<T, u64>(reduction),
        d if d.is_float() => combine_as::<T, f32>(reduction),
        _ => combine_as::<T, i64>(reduction),
    }
}

/// The reduction on `T`, computed in the wider `W`.
fn combine_as<T: Number, W: Wide>(reduction: Reduction) -> Option<fn(T, T) -> T> {
    match reduction {
        Reduction::None => None,
        Reduction::Add => Some(|a, b| W::of(a).add(W::of(b)).to()),
        Reduction::Mul => Some(|a, b| W::of(a).mul(W::of(b)).to()),
        Reduction::Max => Some(|a, b| if W::of(b) > W::of(a) { b } else { a }),
        Reduction::Min => Some(|a, b| if W::of(b) < W::of(a) { b } else { a }),
    }
}

/// Writes an update into a cache at each sequence's own position; in mode `circular` it wraps around.
fn tensor_scatter(call: &mut Call) -> Result<()> {
    let (cache, update) = (call.input(0)?, call.input(1)?);
    let axis = normalize_axis(call.node.attrs.int_or("axis", -2), cache.shape.len())
        .ok_or_else(|| call.node.error("the axis is outside the cache"))?;
    let circular = match call.node.attrs.string_or("mode", "linear") {
        "linear" => false,
        "circular" => true,
        other => return Err(Error::Unsupported(format!("TensorScatter with mode {other}"))),
    };
    let starts = if call.arg(2).is_some() { call.ints(2)? } else { vec![0; cache.shape[0]] };
    let block = cache.shape[axis + 1..].iter().product::<usize>() * cache.dtype.size();
    let rows = cache.shape[..axis].iter().product::<usize>();
    let (length, new) = (cache.shape[axis], update.shape[axis]);
    let node = call.node;
    let out = &mut *call.outputs[0].bytes;
    out.copy_from_slice(cache.bytes);
    for row in 0..rows {
        let start = starts[row / (rows / starts.len()).max(1)];
        for t in 0..new {
            let wanted = start.saturating_add(t as i64);
            let at = match circular {
                true => locate(wanted.rem_euclid(length as i64), length).unwrap_or(0),
                false => index(node, wanted.max(-1), length)?,
            };
            let from = (row * new + t) * block;
            out[(row * length + at) * block..][..block].copy_from_slice(&update.bytes[from..from + block]);
        }
    }
    Ok(())
}
