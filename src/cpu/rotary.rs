//! Rotary position embedding (Su et al. 2021): pairs of a head's elements turn by an angle that grows with the position.

use super::{Call, Kernel, numeric};
use crate::Result;
use crate::ops::attention::rotary_sizes;

pub const KERNELS: &[Kernel] = &[
    Kernel::new("RotaryEmbedding", rotary),
    #[cfg(feature = "full")]
    Kernel::new("fewbit.RotaryAngles", angles),
];

fn rotary(call: &mut Call) -> Result<()> {
    let node = call.node;
    let x = call.input(0)?;
    let [batch, heads, len, head] = rotary_sizes(node, x.shape)?;
    let interleaved_heads = x.shape.len() == 3;
    let turned = match usize::try_from(node.attrs.int_or("rotary_embedding_dim", 0)) {
        Ok(0) => head,
        Ok(n) if n <= head => n,
        _ => return Err(node.error("rotary_embedding_dim is larger than a head")),
    };
    let half = turned / 2;
    let (cos, sin) = (call.input(1)?, call.input(2)?);
    if cos.shape != sin.shape || cos.shape.last() != Some(&half) {
        return Err(node.error(format!("the caches must end in {half} values, got {:?}", cos.shape)));
    }
    let (cos, sin) = (numeric::to_f32(cos)?, numeric::to_f32(sin)?);
    // Row of the caches for each token of `[batch, len]`.
    let rows: Vec<usize> = match call.opt_input(3)? {
        Some(_) => call.ints(3)?.into_iter().map(|p| usize::try_from(p).unwrap_or(usize::MAX)).collect(),
        None => (0..batch * len).collect(),
    };
    let cached = cos.len().checked_div(half).unwrap_or(usize::MAX);
    if rows.len() != batch * len || rows.iter().any(|&r| r >= cached) {
        return Err(node.error("position_ids do not fit the input, or lie outside the caches"));
    }
    let pairs_adjoin = node.attrs.flag("interleaved");
    let x = numeric::to_f32(x)?;
    let [out, ..] = &mut *call.outputs else { return Ok(()) };
    numeric::fill_f32(out, |y| {
        if head == 0 {
            return;
        }
        for (i, (y, x)) in y.chunks_exact_mut(head).zip(x.chunks_exact(head)).enumerate() {
            let (token, batch) =
                if interleaved_heads { (i / heads % len, i / (heads * len)) } else { (i % len, i / (heads * len)) };
            let row = rows[batch * len + token] * half;
            let (cos, sin) = (&cos[row..][..half], &sin[row..][..half]);
            y[turned..].copy_from_slice(&x[turned..]);
            for j in 0..half {
                let (a, b) = if pairs_adjoin { (2 * j, 2 * j + 1) } else { (j, half + j) };
                y[a] = x[a] * cos[j] - x[b] * sin[j];
                y[b] = x[a] * sin[j] + x[b] * cos[j];
            }
            if turned % 2 == 1 {
                y[turned - 1] = x[turned - 1];
            }
        }
    })
}

/// `scale · cos(p · f)` and `scale · sin(p · f)` for every token and frequency f, p the token's position in the row that f is
/// for; in f64: after 10⁵ positions an f32 angle would be off by a hundredth.
#[cfg(feature = "full")]
fn angles(call: &mut Call) -> Result<()> {
    use crate::ops::cached_attention::{frequencies, sections};
    let (rows, tokens) = match *call.input(0)?.shape {
        [rows, tokens] => (rows, tokens),
        _ => return Err(call.node.error("positions must be a matrix")),
    };
    let (positions, frequencies) = (call.ints(0)?, frequencies(call.node)?);
    let row_of = sections(call.node, rows)?;
    let scale = f64::from(call.node.attrs.float_or("scale", 1.0));
    let [cos, sin, ..] = &mut *call.outputs else { return Ok(()) };
    let angle = |i: usize| {
        let (token, pair) = (i / frequencies.len(), i % frequencies.len());
        positions[row_of[pair] * tokens + token] as f64 * f64::from(frequencies[pair])
    };
    cos.slice::<f32>()?.iter_mut().enumerate().for_each(|(i, v)| *v = (scale * angle(i).cos()) as f32);
    sin.slice::<f32>()?.iter_mut().enumerate().for_each(|(i, v)| *v = (scale * angle(i).sin()) as f32);
    Ok(())
}
