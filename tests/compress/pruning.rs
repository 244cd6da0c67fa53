//! What calibrated pruning loses, beside simpler choices.

use std::sync::Arc;

use fewbit::compress::encode::{Guide, encode};
use fewbit::compress::feedback::{Feedback, Statistics};
use fewbit::compress::grid::{HalfGrid, Matrix};
use fewbit::compress::round::round;
use fewbit::compress::sparse::Mask;
use fewbit::compress::spec::{Pattern, Spec};
use fewbit::graph::Weight;
use fewbit::tensor::Tensor;
use fewbit::weights::{HalfFloat, Sparse};
use half::f16;

fn numbers(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// `[inputs, samples]`: a few causes, of which each input sees its own mixture, and noise; inputs differ in strength.
fn samples(inputs: usize, count: usize, mixture: &[f32], next: &mut impl FnMut() -> f32) -> Vec<f32> {
    let causes = mixture.len() / inputs;
    let x: Vec<f32> = (0..causes * count).map(|_| next()).collect();
    let input = |i: usize, s: usize, noise: f32| {
        let seen: f32 = (0..causes).map(|c| mixture[i * causes + c] * x[c * count + s]).sum();
        (seen + 0.5 * noise) * (0.2 + (i % 7) as f32)
    };
    (0..inputs * count).map(|at| input(at / count, at % count, next())).collect()
}

/// `Σ ((W − Ŵ) x)²`
fn error(wanted: &Tensor, weight: &Weight, x: &[f32], count: usize) -> f64 {
    let Weight::Encoded(weight) = weight else { panic!("dense") };
    let (wanted, got) = (wanted.to_f32().unwrap(), weight.to_dense().unwrap().to_f32().unwrap());
    let inputs = x.len() / count;
    let mut sum = 0.0;
    for (wanted, got) in wanted.chunks(inputs).zip(got.chunks(inputs)) {
        for s in 0..count {
            let terms = (0..inputs).map(|i| f64::from(wanted[i] - got[i]) * f64::from(x[i * count + s]));
            sum += terms.sum::<f64>().powi(2);
        }
    }
    sum
}

/// The largest `|w| · ‖x‖` in half precision, and what is lost made up for.
fn by_importance(weight: &Tensor, pattern: Pattern, statistics: &Statistics, feedback: &Feedback) -> Weight {
    let (rows, cols) = (weight.shape()[0], weight.shape()[1]);
    let matrix = Matrix { rows, cols, data: weight.to_f32().unwrap().into(), importance: statistics.importance() };
    let (mask, kept) = Mask::choose(&matrix, pattern, None);
    let codes = round(&matrix, &HalfGrid, Some(&mask), Some((feedback, statistics))).unwrap();
    let values: &[f16] = bytemuck::cast_slice(codes.bytes());
    let values = Tensor::new([rows, kept.cols.next_multiple_of(2)], values).unwrap();
    let values = HalfFloat::new(vec![rows, kept.cols], values).unwrap();
    let two_of_four = pattern == Pattern::TwoOfFour;
    let mask = mask.into_tensor().unwrap();
    let sparse = Sparse::new(vec![rows, cols], mask, Arc::new(values.into()), two_of_four).unwrap();
    Weight::Encoded(Arc::new(sparse.into()))
}

/// On samples that did not choose: less error than the largest weights, than the largest `|w| · ‖x‖`, and than the
/// latter with feedback.
#[test]
fn less_is_lost_than_by_magnitude() {
    let (rows, inputs, count, causes) = (24, 150, 2000, 12);
    let mut next = numbers(5);
    let mixture: Vec<f32> = (0..inputs * causes).map(|_| next()).collect();
    let (seen, held) = (samples(inputs, count, &mixture, &mut next), samples(inputs, count, &mixture, &mut next));
    let mut statistics = Statistics::new(inputs, 1);
    statistics.add(&seen, count);
    let feedback = Feedback::new(&statistics).unwrap();
    let weight: Vec<f32> = (0..rows * inputs).map(|_| next()).collect();
    let weight = Tensor::new([rows, inputs], &weight).unwrap();
    for spec in ["sparse:0.5", "sparse:0.75", "sparse:2of4", "sparse:0.5+affine:4:group=32", "sparse:2of4+palette:4"] {
        let spec: Spec = spec.parse().unwrap();
        let lost = |guide: Option<&Guide>| error(&weight, &encode(&weight, &spec, guide).unwrap(), &held, count);
        let magnitude = lost(None);
        let wanda = lost(Some(&Guide { statistics: &statistics, feedback: None, refit: true }));
        let all = lost(Some(&Guide { statistics: &statistics, feedback: Some(&feedback), refit: true }));
        assert!(all < 0.5 * wanda && wanda < magnitude, "{spec}: {magnitude}, {wanda}, {all}");
        if let Spec::Sparse { pattern, values } = &spec
            && **values == Spec::F16
        {
            let fed = error(&weight, &by_importance(&weight, *pattern, &statistics, &feedback), &held, count);
            assert!(all < fed, "{spec}: {fed}, {all}");
        }
    }
}
