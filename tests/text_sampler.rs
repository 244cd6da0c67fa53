//! The sampler against a reference in f64, which sorts everything: which tokens may come, and how often they do.
#![cfg(feature = "text")]

use fewbit::text::{Sampler, Sampling};
use rand::Rng;

/// Probabilities by the definitions, step after step.
fn expected(logits: &[f32], context: &[u32], sampling: &Sampling) -> Vec<f64> {
    let mut logits: Vec<f64> = logits.iter().map(|&v| f64::from(v)).collect();
    for (id, logit) in (0u32..).zip(&mut logits) {
        if context.contains(&id) {
            let penalty = f64::from(sampling.repetition_penalty);
            *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
        }
    }
    let n = sampling.no_repeat_ngram;
    for id in 0..logits.len() as u32 {
        let next: Vec<u32> = context.iter().copied().chain([id]).collect();
        let ngram = &next[next.len() - n.min(next.len())..];
        if n > 0 && context.windows(n).any(|window| window == ngram) {
            logits[id as usize] = f64::NEG_INFINITY;
        }
    }
    let mut p: Vec<f64> = logits.iter().map(|v| (v / f64::from(sampling.temperature)).exp()).collect();
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[b].total_cmp(&p[a]));
    normalize(&mut p);
    for (rank, &id) in order.iter().enumerate() {
        if sampling.top_k > 0 && rank >= sampling.top_k {
            p[id] = 0.0;
        }
    }
    normalize(&mut p);
    let mut sum = 0.0;
    for &id in &order {
        let before = sum;
        sum += p[id];
        if before >= f64::from(sampling.top_p) {
            p[id] = 0.0;
        }
    }
    normalize(&mut p);
    let least = f64::from(sampling.min_p) * p[order[0]];
    p.iter_mut().filter(|p| **p < least).for_each(|p| *p = 0.0);
    normalize(&mut p);
    p
}

fn normalize(p: &mut [f64]) {
    let sum: f64 = p.iter().sum();
    p.iter_mut().for_each(|p| *p /= sum);
}

/// What χ² with so many degrees of freedom exceeds once in 10⁹ times (Wilson & Hilferty 1931).
fn chi_square_limit(freedom: f64) -> f64 {
    let part = 2.0 / (9.0 * freedom);
    freedom * (1.0 - part + 6.0 * part.sqrt()).powi(3)
}

const DRAWS: usize = 40_000;

/// Tokens come as often as they should.
#[track_caller]
fn check(logits: &[f32], context: &[u32], sampling: Sampling) {
    let expected = expected(logits, context, &sampling);
    let mut sampler = Sampler::new(sampling.clone()).unwrap();
    let mut found = vec![0usize; logits.len()];
    for _ in 0..DRAWS {
        found[sampler.sample(&mut logits.to_vec(), context).unwrap() as usize] += 1;
    }
    // Cells with few expected are one cell.
    let (mut chi, mut cells, mut rare) = (0.0, 0, (0.0, 0.0));
    for (&p, &found) in expected.iter().zip(&found) {
        let (wanted, found) = (p * DRAWS as f64, found as f64);
        assert!(p > 0.0 || found == 0.0, "a token came that may not: {sampling:?}");
        if wanted < 10.0 {
            rare = (rare.0 + wanted, rare.1 + found);
        } else {
            chi += (found - wanted).powi(2) / wanted;
            cells += 1;
        }
    }
    if rare.0 >= 10.0 {
        chi += (rare.1 - rare.0).powi(2) / rare.0;
        cells += 1;
    }
    if cells > 1 {
        assert!(chi < chi_square_limit((cells - 1) as f64), "χ² {chi} over {cells} cells: {sampling:?}");
    }
}

#[test]
fn tokens_come_as_often_as_the_softmax_says() {
    let mut rng = rand::rng();
    let plain = Sampling::default;
    let cases = [
        plain(),
        Sampling { temperature: 0.3, ..plain() },
        Sampling { temperature: 2.5, ..plain() },
        Sampling { top_k: 1, ..plain() },
        Sampling { top_k: 7, ..plain() },
        Sampling { top_k: 1000, ..plain() },
        Sampling { top_p: 0.5, ..plain() },
        Sampling { top_p: 1e-6, ..plain() },
        Sampling { min_p: 0.2, ..plain() },
        Sampling { min_p: 1.0, ..plain() },
        Sampling { temperature: 1.5, top_k: 12, top_p: 0.8, min_p: 0.1, ..plain() },
        Sampling { repetition_penalty: 1.7, ..plain() },
        Sampling { repetition_penalty: 0.6, no_repeat_ngram: 1, ..plain() },
        Sampling { no_repeat_ngram: 2, ..plain() },
        Sampling { no_repeat_ngram: 3, top_k: 9, ..plain() },
    ];
    for case in cases {
        let len = rng.random_range(20..60);
        let logits: Vec<f32> = (0..len).map(|_| rng.random_range(-4.0..3.0)).collect();
        let context: Vec<u32> = (0..12).map(|_| rng.random_range(0..6)).collect();
        check(&logits, &context, Sampling { seed: rng.random(), ..case });
    }
}

#[test]
fn equal_logits_are_told_apart_by_id() {
    let mut greedy = Sampler::new(Sampling { temperature: 0.0, ..Sampling::default() }).unwrap();
    assert_eq!(greedy.sample(&mut [1.0, 3.0, 3.0, f32::NEG_INFINITY], &[]).unwrap(), 1);
    let mut first = Sampler::new(Sampling { top_k: 2, ..Sampling::default() }).unwrap();
    for _ in 0..100 {
        assert!(first.sample(&mut [0.0, 5.0, 5.0, 5.0], &[]).unwrap() <= 2);
    }
}

#[test]
fn a_seed_decides() {
    let draw = |seed| {
        let mut sampler = Sampler::new(Sampling { seed, top_p: 0.9, ..Sampling::default() }).unwrap();
        let logits = |i: usize| (0..50).map(|j| ((i * 31 + j * 17) % 13) as f32 / 5.0).collect::<Vec<_>>();
        (0..200).map(|i| sampler.sample(&mut logits(i), &[]).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
}

#[test]
fn masked_tokens_never_come() {
    let mut sampler = Sampler::new(Sampling { temperature: 50.0, ..Sampling::default() }).unwrap();
    for _ in 0..1000 {
        let mut logits = [f32::NEG_INFINITY; 9];
        (logits[2], logits[7]) = (-1000.0, -3e38);
        assert!([2, 7].contains(&sampler.sample(&mut logits, &[]).unwrap()));
    }
}

#[test]
fn what_cannot_be_sampled_is_an_error() {
    let mut sampler = Sampler::new(Sampling::default()).unwrap();
    for logits in [vec![], vec![f32::NEG_INFINITY; 3], vec![0.0, f32::NAN], vec![f32::INFINITY, 0.0]] {
        assert!(sampler.sample(&mut logits.clone(), &[0, 99]).is_err(), "{logits:?}");
    }
    let plain = Sampling::default;
    for wrong in [
        Sampling { temperature: -1.0, ..plain() },
        Sampling { temperature: f32::NAN, ..plain() },
        Sampling { top_p: 0.0, ..plain() },
        Sampling { top_p: 1.1, ..plain() },
        Sampling { min_p: -0.1, ..plain() },
        Sampling { repetition_penalty: 0.0, ..plain() },
        Sampling { repetition_penalty: f32::INFINITY, ..plain() },
    ] {
        assert!(Sampler::new(wrong.clone()).is_err(), "{wrong:?}");
    }
}
