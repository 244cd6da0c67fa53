//! Gather and Reshape.

use super::step::{Gradient, Step};
use crate::Result;
use crate::tensor::normalize_axis;

pub const GRADIENTS: &[(&str, Gradient)] = &[("Gather", gather), ("Reshape", reshape)];

fn reshape(step: &mut Step) -> Result<()> {
    let gradient = step.gradient.to_vec();
    step.give(0, gradient);
    Ok(())
}

/// `[outer, axis, inner]` from which slices are taken; a slice taken twice gets both gradients.
fn gather(step: &mut Step) -> Result<()> {
    let (shape, indices) = (step.shape(0)?, step.input(1)?.to_i64()?);
    let axis = normalize_axis(step.node.attrs.int_or("axis", 0), shape.len());
    let axis = axis.ok_or_else(|| step.node.error("the axis does not exist"))?;
    let (size, inner) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
    let mut sums = vec![0f32; shape.iter().product()];
    let taken = step.gradient.chunks_exact((indices.len() * inner).max(1));
    for (sums, taken) in sums.chunks_exact_mut((size * inner).max(1)).zip(taken) {
        for (&index, taken) in indices.iter().zip(taken.chunks_exact(inner.max(1))) {
            let index = if index < 0 { index + size as i64 } else { index } as usize;
            let sums = sums.get_mut(index * inner..(index + 1) * inner);
            let sums = sums.ok_or_else(|| step.node.error("an index is out of range"))?;
            sums.iter_mut().zip(taken).for_each(|(s, t)| *s += t);
        }
    }
    step.give(0, sums);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::step::{check_slopes, node, noise};
    use super::*;
    use crate::graph::{Attr, Attrs};
    use crate::tensor::Tensor;

    #[test]
    fn slopes() {
        let indices = [2i64, 0, -1, 2];
        let indices_of = Tensor::new([4], &indices).unwrap();
        let at = |i: usize| if indices[i] < 0 { 2 } else { indices[i] as usize };
        let rows = node("Gather", 2, Attrs::default());
        check_slopes(gather, &rows, &[noise(&[3, 5], 1), indices_of.clone()], |g| {
            (0..20).map(|i| g[0][at(i / 5) * 5 + i % 5]).collect()
        });
        let columns = node("Gather", 2, Attrs::from([("axis", Attr::Int(1))]));
        check_slopes(gather, &columns, &[noise(&[2, 3, 2], 1), indices_of], |g| {
            (0..16).map(|i| g[0][i / 8 * 6 + at(i / 2 % 4) * 2 + i % 2]).collect()
        });
    }
}
