//! Losses of scores `[batch, classes, …]` against labels `[batch, …]`.

use super::axis::{Around, softmax_slab};
use super::number::{widened, write_as};
use super::{Call, Kernel};
use crate::{Result, for_float};

pub const KERNELS: &[Kernel] =
    &[Kernel::new("NegativeLogLikelihoodLoss", loss), Kernel::new("SoftmaxCrossEntropyLoss", loss)];

/// Loss of a label = −weight[label] · score[label]; a mean divides by the sum of weights. Ignored labels count nothing.
fn loss(call: &mut Call) -> Result<()> {
    let (view, labels) = (call.input(0)?, call.ints(1)?);
    let Around { outer: batch, len: classes, inner } = Around::new(call, view.shape, 1)?;
    let attrs = &call.node.attrs;
    let (ignore, reduction) = (attrs.int("ignore_index"), attrs.string_or("reduction", "mean").to_string());
    if let Some(label) = labels.iter().find(|&&l| Some(l) != ignore && !(0..classes as i64).contains(&l)) {
        return Err(call.node.error(format!("label {label} is not among {classes} classes")));
    }
    let log_softmax = call.node.op == "SoftmaxCrossEntropyLoss";
    for_float!(view.dtype, R => {
        let weights = call.opt_input(2)?.map(|w| widened::<R>(&w));
        let mut scores = widened::<R>(&view);
        if log_softmax && classes * inner > 0 {
            let mut logs = vec![0.0; scores.len()];
            for (x, y) in scores.chunks_exact(classes * inner).zip(logs.chunks_exact_mut(classes * inner)) {
                softmax_slab(x, y, inner, true);
            }
            scores = logs.into();
        }
        if let Ok(out) = call.out(1) {
            write_as(out.dtype, out.bytes, |y: &mut [R]| y.copy_from_slice(&scores));
        }
        let mut total_weight = 0.0;
        let mut losses: Vec<R> = vec![0.0; batch * inner];
        for (i, (loss, &label)) in losses.iter_mut().zip(&labels).enumerate() {
            if Some(label) != ignore {
                let weight = weights.as_ref().map_or(1.0, |w| w[label as usize]);
                total_weight += weight;
                *loss = -weight * scores[(i / inner * classes + label as usize) * inner + i % inner];
            }
        }
        let out = call.out(0)?;
        write_as(out.dtype, out.bytes, |y: &mut [R]| match reduction.as_str() {
            "none" => y.copy_from_slice(&losses),
            "sum" => y.fill(losses.iter().sum()),
            _ => y.fill(losses.iter().sum::<R>() / total_weight),
        });
    });
    Ok(())
}
