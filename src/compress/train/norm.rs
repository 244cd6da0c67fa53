//! RMSNormalization over the last axis (Zhang & Sennrich 2019).

use super::step::{Gradient, Step};
use crate::Result;

pub const GRADIENTS: &[(&str, Gradient)] = &[("RMSNormalization", rms)];

/// y = x r g, r = 1 / √(mean x² + ε): dg = Σ dy x r, dx = r (dy g − x r² · mean(dy g x)).
fn rms(step: &mut Step) -> Result<()> {
    let (x, weight) = (step.input(0)?, step.input(1)?);
    let axis = step.node.attrs.int_or("axis", -1);
    let width = x.shape().last().copied().unwrap_or(0).max(1);
    if weight.len() != width || (axis != -1 && axis + 1 != x.shape().len() as i64) {
        return Err(step.node.error("training knows norms over the last axis only"));
    }
    let epsilon = f64::from(step.node.attrs.float_or("epsilon", 1e-5));
    let (x, weight) = (x.slice::<f32>()?, weight.slice::<f32>()?);
    let mut dx = step.gradient.to_vec();
    let mut dw = vec![0f64; width];
    for (dy, x) in dx.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
        let square = x.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / width as f64;
        let r = 1.0 / (square + epsilon).sqrt();
        let mut along = 0f64;
        for ((dy, x), (dw, w)) in dy.iter_mut().zip(x).zip(dw.iter_mut().zip(weight)) {
            *dw += f64::from(*dy) * f64::from(*x) * r;
            *dy *= w;
            along += f64::from(*dy) * f64::from(*x);
        }
        let back = r * r * along / width as f64;
        dy.iter_mut().zip(x).for_each(|(dy, x)| *dy = (r * (f64::from(*dy) - f64::from(*x) * back)) as f32);
    }
    if step.wants(0) {
        step.give(0, dx);
    }
    if step.wants(1) {
        step.give(1, dw.into_iter().map(|v| v as f32).collect());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::step::{check_slopes, node, noise};
    use super::*;
    use crate::graph::{Attr, Attrs};

    #[test]
    fn slopes() {
        let attrs = Attrs::from([("axis", Attr::Int(-1)), ("epsilon", Attr::Float(0.01))]);
        check_slopes(rms, &node("RMSNormalization", 2, attrs), &[noise(&[4, 6], 1), noise(&[6], 2)], |given| {
            let rows = given[0].chunks(6).flat_map(|x| {
                let r = (x.iter().map(|v| v * v).sum::<f64>() / 6.0 + f64::from(0.01f32)).sqrt();
                x.iter().zip(&given[1]).map(move |(x, w)| x * w / r)
            });
            rows.collect()
        });
    }
}
