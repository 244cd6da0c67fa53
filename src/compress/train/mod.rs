//! What is left once codes are chosen, trained so that the model says of the samples what the float model says: tables and
//! scales of palettes, weights of norms, biases. The loss is the divergence of the two models' outputs (distillation,
//! Hinton et al. 2015), its gradient that of the whole model (as in AQLM, Egiazarian et al. 2024, and EfficientQAT, Chen et
//! al. 2024), and steps are Adam's. Codes stay, so the file keeps its size.

mod attention;
mod backward;
mod elementwise;
mod linear;
mod loss;
mod movement;
mod norm;
mod optimizer;
mod palette;
mod step;
mod teacher;
mod trained;

use std::collections::BTreeSet;

use self::teacher::Teacher;
use self::trained::Trained;
use super::calibrate::{self, Sample};
use super::walk::{Values, part, run};
use crate::graph::{Model, ValueId};
use crate::runtime::{Device, Session};
use crate::{Error, Result};

/// Length of a step where outputs diverge by one nat, as a share of what is trained. Divergence grows with the square of the
/// distance to go, so nearer ones go shorter steps: else those of a good model would lead it astray.
const RATE: f64 = 3e-3;
/// Nats from which on steps are not longer.
const FAR: f64 = 1.0;
/// Steps grow at first, for so many, and fall to nothing along a cosine.
const WARM_UP: usize = 10;

/// Trains `model`, made from `exact`, on every sample `passes` times, one sample a step. Its first output are logits over the
/// last axis. `progress` is called for each sample that the float model has seen, then for each step. Result: the mean
/// divergence in each pass, in nats. `Error::Unsupported` for operators without a gradient.
pub fn train(
    model: &mut Model,
    exact: &Model,
    samples: &[Sample],
    passes: usize,
    device: &Device,
    mut progress: impl FnMut(),
) -> Result<Vec<f64>> {
    if samples.is_empty() {
        return Err(Error::Usage("training needs samples; name them with --calibrate".into()));
    }
    calibrate::check(model, samples)?;
    let Some(&logits) = model.graph.outputs.first() else {
        return Err(Error::Usage("the model to train has no output".into()));
    };
    let mut trained = Trained::new(&model.graph)?;
    // Found before the first run, which takes its time.
    backward::check(&model.graph, logits, &trained)?;
    let mut teacher = Teacher::new(exact, samples, device, &mut progress)?;
    let steps = passes * samples.len();
    let mut divergences = Vec::with_capacity(passes);
    for pass in 0..passes {
        let mut sum = 0.0;
        for i in 0..samples.len() {
            let at = shuffled(i, pass, samples.len());
            let values = forward(model, &samples[at], device)?;
            let found =
                values.get(&logits).ok_or_else(|| Error::Usage("the model to train computes no output".into()))?;
            let (divergence, gradient) = loss::divergence(&teacher.outputs(at)?, found, device.threads())?;
            if !divergence.is_finite() {
                let step = pass * samples.len() + i + 1;
                return Err(Error::Usage(format!("training: outputs are no numbers any more at step {step}")));
            }
            backward::backward(&model.graph, &values, (logits, gradient), &mut trained, device.threads())?;
            trained.step(divergence.clamp(0.0, FAR).sqrt() * rate(pass * samples.len() + i, steps));
            trained.put(&mut model.graph)?;
            sum += divergence;
            progress();
        }
        divergences.push(sum / samples.len() as f64);
    }
    Ok(divergences)
}

/// Which sample comes as number `i` of a pass: each once, neighbours of a text far apart.
fn shuffled(i: usize, pass: usize, count: usize) -> usize {
    let golden = (count as f64 * 0.618) as usize;
    let coprime = |step: &usize| (2..=*step).all(|d| !(step.is_multiple_of(d) && count.is_multiple_of(d)));
    let step = (golden.max(1)..=count).find(coprime).unwrap_or(1);
    (i * step + pass) % count
}

/// Length of step number `step` of `steps`, at one nat.
fn rate(step: usize, steps: usize) -> f64 {
    let warm = ((step + 1) as f64 / WARM_UP.min(steps) as f64).min(1.0);
    RATE * warm * (0.5 + 0.5 * (std::f64::consts::PI * step as f64 / steps as f64).cos())
}

/// Everything that the nodes of a model compute from a sample, and the sample.
fn forward(model: &Model, sample: &Sample, device: &Device) -> Result<Values> {
    let outputs: Vec<ValueId> = model.graph.nodes.iter().flat_map(|n| n.outputs.iter().flatten()).copied().collect();
    let graph = part(&model.graph, 0, &BTreeSet::new(), &outputs);
    let mut session = Session::new(&Model { graph, ..Model::default() }, device)?;
    let mut values: Values = model.graph.inputs.iter().copied().zip(sample.iter().cloned()).collect();
    run(&mut session, &outputs, &mut values)?;
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_has_its_turn() {
        for count in 1..80 {
            for pass in 0..3 {
                let seen: BTreeSet<usize> = (0..count).map(|i| shuffled(i, pass, count)).collect();
                assert_eq!(seen.len(), count);
            }
        }
    }

    #[test]
    fn steps_grow_and_fall() {
        assert!(rate(0, 100) < rate(5, 100) && rate(5, 100) < rate(10, 100));
        assert!(rate(99, 100) < 1e-3 * RATE && rate(0, 1) > 0.0);
    }
}
