//! The search for a schedule keeps its budget and finds better than an even one.

use std::cell::Cell;

use fewbit::graph::Model;
use fewbit::runtime::tokens::{Method, Schedule};
use fewbit::runtime::{Device, Session, Tokens};
use fewbit::tasks::token_schedule::{Goal, search};
use fewbit::tensor::Tensor;
use fewbit::{Error, Result};

fn model() -> Model {
    Model::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tokens/vit")).unwrap()
}

fn samples(count: usize) -> Vec<Vec<(String, Tensor)>> {
    let sample = |i: usize| {
        let pixels: Vec<f32> = (0..3 * 56 * 40).map(|p| ((p * (i + 3)) as f32 * 0.013).sin() * 1.5).collect();
        vec![("pixel_values".to_string(), Tensor::new([1, 3, 56, 40], &pixels).unwrap())]
    };
    (0..count).map(sample).collect()
}

/// Relative squared error of a schedule, and its multiplications.
fn measured(session: &mut Session, samples: &[Vec<(String, Tensor)>], schedule: &Schedule) -> (f64, u64) {
    let (mut error, mut square) = (0.0, 0.0);
    for sample in samples {
        let mut logits = |tokens: Option<Tokens>| {
            session.set_tokens(tokens);
            session.run(&[("pixel_values", &sample[0].1)]).unwrap()[0].1.to_f32().unwrap()
        };
        let wanted = logits(None);
        let got = logits(Some(Tokens { method: Method::DiffRate(schedule.clone()), map: false }));
        error += got.iter().zip(&wanted).map(|(g, w)| f64::from(g - w).powi(2)).sum::<f64>();
        square += wanted.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>();
    }
    (error / square, session.report().unwrap().macs)
}

#[test]
fn a_schedule_within_its_budget() {
    let (model, samples) = (model(), samples(4));
    let mut session = Session::new(&model, &Device::cpu(1).unwrap()).unwrap();
    let seen = Cell::new((0, 0));
    let goal = Goal { share: 0.6, rounds: 1 };
    let found = search(&mut session, &samples, goal, |done, most| {
        assert!(done == seen.get().0 + 1 && done <= most);
        seen.set((done, most));
        Ok(())
    })
    .unwrap();
    assert!(found.macs as f64 <= 0.6 * found.dense as f64, "{found:?}");
    assert!(found.macs as f64 >= 0.5 * found.dense as f64, "{found:?}");
    let (error, macs) = measured(&mut session, &samples, &found.schedule);
    assert!((error - found.error).abs() <= 1e-6 * error && macs == found.macs, "{error}, {macs}, {found:?}");
    // As many tokens less in every layer, for no fewer multiplications.
    let even = |lost: usize| -> Schedule {
        let kept: Vec<usize> = (1..=5).map(|layer| 36 - lost * layer).collect();
        Schedule { prune: kept.clone(), merge: kept, pairs: vec![] }
    };
    let mut rivals = (1..7).map(|lost| measured(&mut session, &samples, &even(lost))).collect::<Vec<_>>();
    rivals.retain(|&(_, macs)| macs >= found.macs);
    let &(error, macs) = rivals.last().unwrap();
    assert!(error > found.error, "{error} at {macs} against {found:?}");
}

#[test]
fn what_cannot_be_searched() {
    let model = model();
    let mut session = Session::new(&model, &Device::cpu(1).unwrap()).unwrap();
    let mut error = |samples: &[_], share| {
        search(&mut session, samples, Goal { share, rounds: 0 }, |_, _| Ok(())).unwrap_err().to_string()
    };
    assert!(error(&[], 0.5).contains("give one at least"));
    assert!(error(&samples(1), 1.5).contains("between 0 and 1"));
    assert!(error(&samples(1), 0.05).contains("cannot be reached"));
}

/// Whoever is asked about progress can end it, and the session stays of use.
#[test]
fn it_can_be_ended() {
    let (model, samples) = (model(), samples(1));
    let mut session = Session::new(&model, &Device::cpu(1).unwrap()).unwrap();
    let stop = |done: usize, _: usize| -> Result<()> { if done == 3 { Err(Error::Aborted) } else { Ok(()) } };
    let ended = search(&mut session, &samples, Goal { share: 0.6, rounds: 0 }, stop);
    assert!(matches!(ended, Err(Error::Aborted)));
    session.run(&[("pixel_values", &samples[0][0].1)]).unwrap();
    assert!(session.report().unwrap().tokens.is_none());
}
