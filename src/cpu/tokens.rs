//! Ranks, places and rows of tokens that are pruned or merged; semantics in `ops/tokens.rs`. GPU twin: `gpu/tokens.rs`.

use std::cmp::Ordering;

use super::{Call, Kernel};
use crate::Result;
use crate::ops::tokens::{LEAST_SIZE, Placing, Pooling, count};

pub const KERNELS: &[Kernel] = &[
    Kernel::new("fewbit.RankTokens", rank),
    Kernel::new("fewbit.PlaceTokens", place),
    Kernel::new("fewbit.PoolTokens", pool),
    Kernel::new("fewbit.UnpoolTokens", unpool),
    Kernel::new("fewbit.FollowTokens", follow),
];

fn rank(call: &mut Call) -> Result<()> {
    let pinned = count(call.node, "pinned")?;
    let scores: &[f32] = call.slice(0)?;
    let tokens = call.output_shape(0)[1].max(1);
    let ranks = call.output::<i32>(0)?;
    for (scores, ranks) in scores.chunks_exact(tokens).zip(ranks.chunks_exact_mut(tokens)) {
        let mut order: Vec<usize> = (0..tokens).collect();
        let key = |&i: &usize| if scores[i].is_nan() { f32::NEG_INFINITY } else { scores[i] };
        order[pinned.min(tokens)..].sort_by(|a, b| key(b).partial_cmp(&key(a)).unwrap_or(Ordering::Equal));
        order.iter().enumerate().for_each(|(rank, &i)| ranks[i] = rank as i32);
    }
    Ok(())
}

fn place(call: &mut Call) -> Result<()> {
    let placing = Placing::new(call.node)?;
    let ranks: &[i32] = call.slice(0)?;
    let partners: Option<&[i32]> = call.opt_slice(1)?;
    let tokens = call.output_shape(0)[1].max(1);
    let out = call.output::<i32>(0)?;
    for (i, (ranks, into)) in ranks.chunks_exact(tokens).zip(out.chunks_exact_mut(tokens)).enumerate() {
        let partners = partners.and_then(|p| p.get(i * tokens..(i + 1) * tokens));
        let partner = |t: usize| partners.and_then(|p| usize::try_from(p[t]).ok()).filter(|&t| t < tokens);
        match placing {
            Placing::Ranked { keep, seen, fuse } => {
                for (t, row) in into.iter_mut().enumerate() {
                    *row = match ranks[t] {
                        rank if rank < keep => rank,
                        rank if rank < seen => partner(t).map_or(-1, |t| ranks[t]),
                        _ if fuse => keep,
                        _ => -1,
                    };
                }
            }
            Placing::Paired { merge, pinned } => {
                let seeks = |t: usize| t < pinned as usize || t.is_multiple_of(2);
                let stays = |t: usize| t < pinned as usize || ranks[t] >= merge;
                let places = (0..tokens).filter(|&t| seeks(t) && stays(t)).chain((0..tokens).filter(|&t| !seeks(t)));
                places.enumerate().for_each(|(row, t)| into[t] = row as i32);
                for t in (0..tokens).filter(|&t| seeks(t) && !stays(t)) {
                    into[t] = partner(t).map_or(-1, |t| into[t]);
                }
            }
        }
    }
    Ok(())
}

fn pool(call: &mut Call) -> Result<()> {
    let mode = Pooling::new(call.node)?;
    let (x, into, sizes) = (call.slice::<f32>(0)?, call.slice::<i32>(1)?, call.slice::<f32>(2)?);
    let factors: Option<&[f32]> = call.opt_slice(3)?;
    let [batch, rows, width] = *call.output_shape(0) else { return Ok(()) };
    let tokens = into.len().checked_div(batch).unwrap_or(0);
    let [y, new_sizes, logs, ..] = &mut *call.outputs else { return Ok(()) };
    let (y, new_sizes, logs) = (y.slice::<f32>()?, new_sizes.slice::<f32>()?, logs.slice::<f32>()?);
    y.fill(0.0);
    new_sizes.fill(0.0);
    let mut shares = vec![0f32; batch * rows];
    for (i, (&row, &size)) in into.iter().zip(sizes).enumerate() {
        let Some(row) = usize::try_from(row).ok().filter(|&row| row < rows) else { continue };
        let at = i / tokens * rows + row;
        let factor = factors.map_or(1.0, |f| f[i]);
        let share = match mode {
            Pooling::Sizes => size,
            Pooling::Fuse if row + 1 == rows => factor,
            _ => 1.0,
        };
        shares[at] += share;
        new_sizes[at] += if mode == Pooling::Mean && factor != f32::NEG_INFINITY { size * factor } else { size };
        let to = &mut y[at * width..][..width];
        to.iter_mut().zip(&x[i * width..][..width]).for_each(|(y, x)| *y += share * x);
    }
    for (at, (share, y)) in shares.iter().zip(y.chunks_exact_mut(width.max(1))).enumerate() {
        if mode != Pooling::Fuse || (at + 1) % rows != 0 {
            y.iter_mut().for_each(|y| *y /= share);
        }
    }
    logs.iter_mut().zip(&*new_sizes).for_each(|(log, size)| *log = size.max(LEAST_SIZE).ln());
    Ok(())
}

fn unpool(call: &mut Call) -> Result<()> {
    let dropped = call.node.attrs.int_or("dropped", -1);
    let (y, into, x) = (call.slice::<f32>(0)?, call.slice::<i32>(1)?, call.slice::<f32>(2)?);
    let rows = call.input(0)?.shape[1];
    let [_, tokens, width] = *call.output_shape(0) else { return Ok(()) };
    let out = call.output::<f32>(0)?;
    for (i, (out, &row)) in out.chunks_exact_mut(width.max(1)).zip(into).enumerate() {
        let row = usize::try_from(row).ok().filter(|&row| row < rows && row as i64 != dropped);
        out.copy_from_slice(match row {
            Some(row) => &y[(i / tokens * rows + row) * width..][..width],
            None => &x[i * width..][..width],
        });
    }
    Ok(())
}

fn follow(call: &mut Call) -> Result<()> {
    let (map, into) = (call.slice::<i32>(0)?, call.slice::<i32>(1)?);
    let (inputs, tokens) = (call.output_shape(0)[1], call.input(1)?.shape[1]);
    let out = call.output::<i32>(0)?;
    for (i, (out, &at)) in out.iter_mut().zip(map).enumerate() {
        let at = usize::try_from(at).ok().filter(|&at| at < tokens);
        *out = at.map_or(-1, |at| into[i / inputs * tokens + at]);
    }
    Ok(())
}
