//! The next token of sampling. GPU twin: `shaders/draw_token.wgsl`.

use super::{Call, Kernel, numeric};
use crate::Result;
use crate::ops::next_token::Draw;

pub const KERNELS: &[Kernel] = &[Kernel::new("fewbit.DrawToken", draw_token)];

fn draw_token(call: &mut Call) -> Result<()> {
    let view = call.input(0)?;
    let width = view.shape.last().copied().unwrap_or(1).max(1);
    let logits = numeric::to_f32(view)?;
    let draw = Draw::read(&numeric::to_f32(call.input(1)?)?).ok_or_else(|| call.node.error("needs five numbers"))?;
    let out = call.output::<i64>(0)?;
    logits.chunks_exact(width).zip(out).for_each(|(row, id)| *id = drawn(row, &draw).map_or(-1, |i| i as i64));
    Ok(())
}

/// `None` if a logit is no finite number.
fn drawn(row: &[f32], draw: &Draw) -> Option<usize> {
    if !row.iter().all(|v| v.is_finite()) {
        return None;
    }
    let top = row.iter().copied().fold(f32::MIN, f32::max);
    let weight = |distance: f32| (-f64::from(distance) * f64::from(draw.inverse_temperature)).exp();
    let mut distances: Vec<f32> = row.iter().map(|v| top - v).collect();
    distances.sort_by(f32::total_cmp);
    let mut reach = match draw.top_k {
        0 => f32::INFINITY,
        k => distances[k.min(row.len()) - 1],
    };
    if draw.top_p < 1.0 {
        let within = || distances.iter().take_while(|d| **d <= reach);
        let enough = f64::from(draw.top_p) * within().map(|&d| weight(d)).sum::<f64>();
        let mut sum = 0.0;
        reach = within().copied().find(|&d| (sum += weight(d), sum >= enough).1).unwrap_or(reach);
    }
    let kept = |v: f32| {
        let (distance, w) = (top - v, weight(top - v));
        if distance <= reach && w >= f64::from(draw.min_p) { w } else { 0.0 }
    };
    let mut left = f64::from(draw.uniform) * row.iter().map(|&v| kept(v)).sum::<f64>();
    let mut place = 0;
    for (i, w) in row.iter().map(|&v| kept(v)).enumerate().filter(|(_, w)| *w > 0.0) {
        // Rounding may leave something behind the last: then it is the last.
        place = i;
        if left < w {
            break;
        }
        left -= w;
    }
    Some(place)
}
