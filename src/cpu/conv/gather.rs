//! Elements at a constant distance.

use crate::cpu::simd::{Level, multiversion};

/// `out[i] = line[i · stride]` as far as the line goes; the rest of `out` stays.
pub fn gather(level: Level, line: &[f32], stride: usize, out: &mut [f32]) {
    match stride {
        1 => {
            let n = out.len().min(line.len());
            out[..n].copy_from_slice(&line[..n]);
        }
        2 => every_second(level, line, out),
        _ => out.iter_mut().zip(line.iter().step_by(stride)).for_each(|(o, &v)| *o = v),
    }
}

multiversion! {
    fn every_second = every_second_body(line: &[f32], out: &mut [f32])
}

#[inline(always)]
fn every_second_body<const FMA: bool>(line: &[f32], out: &mut [f32]) {
    let (pairs, rest) = line.as_chunks::<2>();
    for (out, pair) in out.iter_mut().zip(pairs) {
        *out = pair[0];
    }
    if let (Some(out), [last]) = (out.get_mut(pairs.len()), rest) {
        *out = *last;
    }
}
