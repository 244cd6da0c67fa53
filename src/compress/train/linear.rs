//! `fewbit.Linear`: y = x Wᵀ + b.

use super::step::{Gradient, Step};
use crate::Result;
use crate::cpu::Threads;
use crate::cpu::gemm::{Divide, Epilogue, Operand, Product, Strided};

pub const GRADIENTS: &[(&str, Gradient)] = &[("fewbit.Linear", linear)];

/// x `[…, inputs]`, W `[outputs, inputs]` (attribute `transposed`), b `[outputs]`.
fn linear(step: &mut Step) -> Result<()> {
    let (x, w) = (step.input(0)?, step.input(1)?);
    let &[outputs, inputs] = w.shape() else { return Err(step.node.error("the weight is no matrix")) };
    if !step.node.attrs.flag("transposed") {
        return Err(step.node.error("training knows weights `[outputs, inputs]` only"));
    }
    let (x, w) = (x.slice::<f32>()?, w.slice::<f32>()?);
    let (dy, count) = (step.gradient, x.len() / inputs.max(1));
    if step.wants(0) {
        let product =
            times(step.threads, [count, inputs, outputs], Strided::rows(dy, outputs), Strided::columns(w, inputs));
        step.give(0, product);
    }
    if step.wants(1) {
        let product =
            times(step.threads, [outputs, inputs, count], Strided::columns(dy, outputs), Strided::columns(x, inputs));
        step.give(1, product);
    }
    if step.wants(2) {
        let mut sums = vec![0f32; outputs];
        dy.chunks_exact(outputs.max(1)).for_each(|dy| sums.iter_mut().zip(dy).for_each(|(s, v)| *s += v));
        step.give(2, sums);
    }
    Ok(())
}

/// `[m, n]`: lanes of `a` times lanes of `b`, over `depth`.
pub fn times(threads: &Threads, [m, n, depth]: [usize; 3], a: Strided, b: Strided) -> Vec<f32> {
    let mut out = vec![0f32; m * n];
    let (a, b) = (Operand::Source(&a), Operand::Source(&b));
    Product { m, n, k: depth, a, b, epilogue: Epilogue::default() }.run(threads, Divide::Rows, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::super::step::{check_slopes, node, noise};
    use super::*;
    use crate::graph::{Attr, Attrs};

    #[test]
    fn slopes() {
        let (count, inputs, outputs) = (6, 5, 7);
        let node = node("fewbit.Linear", 3, Attrs::from([("transposed", Attr::Int(1))]));
        let given = [noise(&[2, 3, inputs], 1), noise(&[outputs, inputs], 2), noise(&[outputs], 3)];
        check_slopes(linear, &node, &given, |given| {
            let [x, w, b] = given else { unreachable!() };
            let y = |i: usize, o: usize| (0..inputs).map(|k| x[i * inputs + k] * w[o * inputs + k]).sum::<f64>() + b[o];
            (0..count * outputs).map(|at| y(at / outputs, at % outputs)).collect()
        });
    }
}
