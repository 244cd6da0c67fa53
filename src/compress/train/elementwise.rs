//! Add, Mul, Swish and Gelu.

use super::step::{Gradient, Step};
use crate::Result;
use crate::tensor::Tensor;

pub const GRADIENTS: &[(&str, Gradient)] = &[("Add", add), ("Mul", mul), ("Swish", swish), ("Gelu", gelu)];

/// Both inputs, which must be of one shape or one of them a single number.
fn pair(step: &Step) -> Result<[Vec<f32>; 2]> {
    let (a, b) = (step.input(0)?, step.input(1)?);
    if a.shape() != b.shape() && a.len() != 1 && b.len() != 1 {
        return Err(step.node.error("training knows inputs of one shape only"));
    }
    let wide = |t: &Tensor| -> Result<Vec<f32>> {
        let values = t.slice::<f32>()?;
        Ok(if values.len() == step.gradient.len() { values.to_vec() } else { vec![values[0]; step.gradient.len()] })
    };
    Ok([wide(&a)?, wide(&b)?])
}

/// Gives input `i` the gradient, summed up if it is a single number.
fn give(step: &mut Step, i: usize, gradient: Vec<f32>) -> Result<()> {
    let single = step.input(i)?.len() == 1;
    step.give(i, if single { vec![gradient.iter().sum()] } else { gradient });
    Ok(())
}

fn add(step: &mut Step) -> Result<()> {
    pair(step)?;
    for i in [0, 1] {
        if step.wants(i) {
            let gradient = step.gradient.to_vec();
            give(step, i, gradient)?;
        }
    }
    Ok(())
}

fn mul(step: &mut Step) -> Result<()> {
    let [a, b] = pair(step)?;
    for (i, other) in [(0, b), (1, a)] {
        if step.wants(i) {
            let gradient = step.gradient.iter().zip(other).map(|(g, o)| g * o).collect();
            give(step, i, gradient)?;
        }
    }
    Ok(())
}

/// x σ(αx).
fn swish(step: &mut Step) -> Result<()> {
    let alpha = step.node.attrs.float_or("alpha", 1.0);
    slope(step, |x| {
        let s = 1.0 / (1.0 + (-alpha * x).exp());
        s + alpha * x * s * (1.0 - s)
    })
}

/// x (1 + tanh u) / 2, u = √(2/π) (x + 0.044715 x³).
fn gelu(step: &mut Step) -> Result<()> {
    if step.node.attrs.string_or("approximate", "none") != "tanh" {
        return Err(step.node.error("training knows the approximation by tanh only"));
    }
    let factor = (2.0 / std::f32::consts::PI).sqrt();
    slope(step, |x| {
        let t = (factor * (x + 0.044715 * x.powi(3))).tanh();
        0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * factor * (1.0 + 3.0 * 0.044715 * x * x)
    })
}

/// A function of each element, by its slope.
fn slope(step: &mut Step, of: impl Fn(f32) -> f32 + Sync) -> Result<()> {
    const CHUNK: usize = 1 << 14;
    let x = step.input(0)?;
    let x = x.slice::<f32>()?;
    let mut gradient = step.gradient.to_vec();
    step.threads.for_chunks(&mut gradient, CHUNK, |i, part| {
        part.iter_mut().zip(&x[i * CHUNK..]).for_each(|(g, &x)| *g *= of(x));
    });
    step.give(0, gradient);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::step::{check_slopes, node, noise};
    use super::*;
    use crate::graph::{Attr, Attrs};

    #[test]
    fn slopes() {
        let (a, b) = (noise(&[3, 5], 1), noise(&[3, 5], 2));
        let zip = |given: &[Vec<f64>], f: fn(f64, f64) -> f64| -> Vec<f64> {
            (0..15).map(|i| f(given[0][i], given[1][i % given[1].len()])).collect()
        };
        for b in [b, noise(&[1], 3)] {
            check_slopes(add, &node("Add", 2, Attrs::default()), &[a.clone(), b.clone()], |g| zip(g, |a, b| a + b));
            check_slopes(mul, &node("Mul", 2, Attrs::default()), &[a.clone(), b], |g| zip(g, |a, b| a * b));
        }
        let swish_node = node("Swish", 1, Attrs::from([("alpha", Attr::Float(1.5))]));
        check_slopes(swish, &swish_node, std::slice::from_ref(&a), |g| {
            g[0].iter().map(|x| x / (1.0 + (-1.5 * x).exp())).collect()
        });
        let gelu_node = node("Gelu", 1, Attrs::from([("approximate", Attr::String("tanh".into()))]));
        check_slopes(gelu, &gelu_node, &[a], |g| {
            let u = |x: f64| (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            g[0].iter().map(|&x| 0.5 * x * (1.0 + u(x).tanh())).collect()
        });
    }
}
