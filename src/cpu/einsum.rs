//! Einsum by its definition: for every output index, the sum over the other labels. Det by elimination.

use super::call::{Call, Kernel};
use super::floats;
use super::number::Number;
use crate::ops::einsum::Plan;
use crate::{Result, for_dtype};

pub const KERNELS: &[Kernel] = &[Kernel::new("Einsum", einsum), Kernel::new("Det", det)];

/// Advances a mixed-radix index over `sizes` and every operand's position with it.
fn advance(index: &mut [usize], sizes: &[usize], strides: &[Vec<usize>], first: usize, at: &mut [usize]) {
    for k in (0..sizes.len()).rev() {
        index[k] += 1;
        at.iter_mut().zip(strides).for_each(|(a, s)| *a += s[first + k]);
        if index[k] < sizes[k] {
            return;
        }
        index[k] = 0;
        at.iter_mut().zip(strides).for_each(|(a, s)| *a -= s[first + k] * sizes[k]);
    }
}

fn einsum(call: &mut Call) -> Result<()> {
    let shapes = (0..call.inputs.len()).map(|i| Ok(call.input(i)?.shape)).collect::<Result<Vec<_>>>()?;
    let plan = Plan::new(call.node, &shapes)?;
    let (outer, inner) = plan.sizes.split_at(plan.rank);
    let terms: usize = inner.iter().product();
    let dtype = call.outputs[0].dtype;
    for_dtype!(dtype, T => {
        let operands = (0..call.inputs.len()).map(|i| call.slice::<T>(i)).collect::<Result<Vec<_>>>()?;
        let mut at = vec![0; operands.len()];
        let (mut o, mut i) = (vec![0; outer.len()], vec![0; inner.len()]);
        for out in call.output::<T>(0)? {
            let mut sum = 0f64;
            for _ in 0..terms {
                sum += operands.iter().zip(&at).map(|(x, &a)| x[a].f64()).product::<f64>();
                advance(&mut i, inner, &plan.strides, plan.rank, &mut at);
            }
            *out = T::of_f64(sum);
            advance(&mut o, outer, &plan.strides, 0, &mut at);
        }
    });
    Ok(())
}

/// Determinants by Gaussian elimination with partial pivoting, in f64.
fn det(call: &mut Call) -> Result<()> {
    let shape = call.input(0)?.shape;
    let n = shape.last().copied().unwrap_or(0);
    let x = floats::read(call, 0)?;
    let count: usize = shape[..shape.len().saturating_sub(2)].iter().product();
    let mut out = Vec::with_capacity(count);
    for m in 0..count {
        let mut a: Vec<f64> = x[m * n * n..(m + 1) * n * n].iter().map(|&v| v.into()).collect();
        let mut value = 1.0;
        for k in 0..n {
            let pivot = (k..n).max_by(|&i, &j| a[i * n + k].abs().total_cmp(&a[j * n + k].abs())).unwrap_or(k);
            if a[pivot * n + k] == 0.0 {
                value = 0.0;
                break;
            }
            if pivot != k {
                (0..n).for_each(|c| a.swap(pivot * n + c, k * n + c));
                value = -value;
            }
            value *= a[k * n + k];
            for r in k + 1..n {
                let factor = a[r * n + k] / a[k * n + k];
                (k..n).for_each(|c| a[r * n + c] -= factor * a[k * n + c]);
            }
        }
        out.push(value as f32);
    }
    floats::write(call, 0, &out)
}
