//! Unique.

use super::call::{Call, Kernel};
use crate::Result;
use crate::ops::unique;
use crate::tensor::DType;

pub const KERNELS: &[Kernel] = &[Kernel::new("Unique", distinct)];

fn distinct(call: &mut Call) -> Result<()> {
    let x = call.input(0)?;
    let found = unique::unique(call.node, x)?;
    let size = x.dtype.size();
    let (count, inner) = match found.axis {
        Some(a) => (x.shape[a], x.shape[a + 1..].iter().product::<usize>() * size),
        None => (x.len(), size),
    };
    let n = found.first.len();
    let expected = match found.axis {
        Some(a) => call.output_shape(0)[a],
        None => call.output_shape(0)[0],
    };
    if n != expected {
        return Err(call.node.error("the values changed since the plan was made"));
    }
    if n > 0 && inner > 0 {
        let outs = call.outputs[0].bytes.chunks_exact_mut(n * inner);
        for (row, out) in x.bytes.chunks_exact(count * inner).zip(outs) {
            for (out, &i) in out.chunks_exact_mut(inner).zip(&found.first) {
                out.copy_from_slice(&row[i as usize * inner..][..inner]);
            }
        }
    }
    for (i, list) in [(1, &found.first), (2, &found.inverse), (3, &found.counts)] {
        if i < call.outputs.len() && call.outputs[i].dtype == DType::I64 {
            call.output::<i64>(i)?.copy_from_slice(list);
        }
    }
    Ok(())
}
