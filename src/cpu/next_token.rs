//! The next token of greedy decoding. GPU twin: `shaders/next_token.wgsl`.

use super::{Call, Kernel, numeric};
use crate::Result;

pub const KERNELS: &[Kernel] = &[Kernel::new("fewbit.NextToken", next_token)];

fn next_token(call: &mut Call) -> Result<()> {
    let view = call.input(0)?;
    let width = view.shape.last().copied().unwrap_or(1).max(1);
    let logits = numeric::to_f32(view)?;
    let out = call.output::<i64>(0)?;
    logits.chunks_exact(width).zip(out).for_each(|(row, id)| *id = greatest(row).map_or(-1, |i| i as i64));
    Ok(())
}

/// The first place of the greatest; `None` if one is no finite number.
fn greatest(row: &[f32]) -> Option<usize> {
    let mut best = 0;
    for (i, v) in row.iter().enumerate() {
        if !v.is_finite() {
            return None;
        }
        if *v > row[best] {
            best = i;
        }
    }
    Some(best)
}
