//! Texts come as often with drafts as the model's own probabilities say, whatever is drafted: the target is the exact
//! distribution, by the chain rule from the logits after every beginning of a text.

use std::ops::ControlFlow;

use fewbit::graph::Model;
use fewbit::runtime::{Device, KvKind};
use fewbit::tasks::ahead::Draft;
use fewbit::tasks::generate::Options;
use fewbit::tasks::{Decoder, Generator};
use fewbit::text::Sampling;

use crate::{on_gpu, small};

const VOCABULARY: usize = 5;
const LENGTH: usize = 3;
const TEXTS: usize = VOCABULARY.pow(LENGTH as u32);
/// Of which each has `LENGTH` tokens: 10⁵ and more together.
const DRAWS: usize = 34_000;

/// Repeats itself, so that there is something to look up.
const PROMPT: &str = "abbaabbaab";

fn models() -> [Model; 2] {
    // Two layers, and a draft of one that has other weights.
    [small::letters(11, 2, VOCABULARY), small::letters(5, 1, VOCABULARY)]
}

fn device() -> Device {
    Device::cpu(1).unwrap()
}

/// Probabilities after temperature and top-p, by their definitions.
fn next(logits: &[f32], sampling: &Sampling) -> Vec<f64> {
    let mut p: Vec<f64> = logits.iter().map(|&v| (f64::from(v) / f64::from(sampling.temperature)).exp()).collect();
    normalize(&mut p);
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[b].total_cmp(&p[a]));
    let mut before = 0.0;
    for id in order {
        let own = p[id];
        if before >= f64::from(sampling.top_p) {
            p[id] = 0.0;
        }
        before += own;
    }
    normalize(&mut p);
    p
}

fn normalize(p: &mut [f64]) {
    let sum: f64 = p.iter().sum();
    p.iter_mut().for_each(|p| *p /= sum);
}

/// The probability of every text of `LENGTH` tokens; a text is a number whose digits are its tokens.
fn exact(model: &Model, prompt: &[u32], sampling: &Sampling) -> Vec<f64> {
    let mut decoder = Decoder::new(model, &device()).unwrap();
    let mut beginnings = vec![(prompt.to_vec(), 1.0)];
    for _ in 0..LENGTH {
        let longer = |(tokens, p): &(Vec<u32>, f64)| {
            let next = next(&decoder.logits(tokens, 1).unwrap(), sampling);
            let longer = next.iter().zip(0u32..).map(|(q, id)| ([&tokens[..], &[id]].concat(), p * q));
            longer.collect::<Vec<_>>()
        };
        beginnings = beginnings.iter().flat_map(longer).collect();
    }
    beginnings.into_iter().map(|(_, p)| p).collect()
}

/// χ² as a number of standard deviations of the normal distribution (Wilson & Hilferty 1931).
fn deviation(found: &[usize], p: &[f64]) -> f64 {
    // Cells with few expected are one cell.
    let (mut chi, mut cells, mut rare) = (0.0, 0.0, (0.0, 0.0));
    for (&found, &p) in found.iter().zip(p) {
        let (found, wanted) = (found as f64, p * DRAWS as f64);
        assert!(p > 0.0 || found == 0.0, "a text came that may not");
        if wanted < 10.0 {
            rare = (rare.0 + found, rare.1 + wanted);
        } else {
            chi += (found - wanted).powi(2) / wanted;
            cells += 1.0;
        }
    }
    if rare.1 >= 10.0 {
        chi += (rare.0 - rare.1).powi(2) / rare.1;
        cells += 1.0;
    }
    let (freedom, part): (f64, f64) = (cells - 1.0, 2.0 / (9.0 * (cells - 1.0)));
    assert!(freedom > 5.0, "{freedom} degrees of freedom tell little");
    ((chi / freedom).cbrt() - (1.0 - part)) / part.sqrt()
}

/// Beyond it lies one of a hundred.
const LIMIT: f64 = 2.326;

fn check(draft: Option<Draft>, temperature: f32, top_p: f32) {
    if on_gpu() {
        return;
    }
    let [model, other] = models();
    let mut generator = Generator::new(&model, &device()).unwrap();
    let drafts = draft.is_some();
    generator.set_draft(draft.unwrap_or_default()).unwrap();
    let prompt = generator.language().prompt(PROMPT).unwrap();
    let sampling = Sampling { temperature, top_p, ..Sampling::default() };
    let (mut found, mut accepted) = (vec![0; TEXTS], 0);
    // Fixed: of fresh ones a hundredth would fail.
    for seed in (1u64 << 20..).take(DRAWS) {
        let options =
            Options { max_tokens: LENGTH, sampling: Sampling { seed, ..sampling.clone() }, ..Options::default() };
        let text = generator.generate(PROMPT, &options, |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(text.ids.len(), LENGTH);
        found[text.ids.iter().fold(0, |text, &id| text * VOCABULARY + id as usize)] += 1;
        accepted += text.accepted;
    }
    let [own, others] = [&model, &other].map(|model| exact(model, &prompt, &sampling));
    let z = deviation(&found, &own);
    let share = accepted as f64 / (DRAWS * LENGTH) as f64;
    println!("temperature {temperature}, top-p {top_p}: {share:.3} accepted, {z:.2} standard deviations");
    assert!(z < LIMIT, "{z} standard deviations off");
    // Drafts that always or never come true would show little.
    assert!(if drafts { (0.05..0.8).contains(&share) } else { accepted == 0 }, "{share} accepted");
    // What would be seen if the draft had a say: a tenth of it is enough.
    let mixed: Vec<f64> = own.iter().zip(others).map(|(own, other)| 0.9 * own + 0.1 * other).collect();
    if top_p == 1.0 {
        assert!(deviation(&found, &mixed) > LIMIT, "the test sees nothing");
    }
}

#[test]
fn texts_without_drafts_come_as_often_as_they_should() {
    check(None, 1.2, 1.0);
}

#[test]
fn texts_with_tokens_looked_up_come_as_often_as_they_should() {
    check(Some(Draft::Lookup), 1.2, 1.0);
    check(Some(Draft::Lookup), 1.5, 0.8);
}

#[test]
fn texts_with_a_draft_model_come_as_often_as_they_should() {
    let draft = || Some(Draft::Model(Box::new(Decoder::new(&models()[1], &device()).unwrap())));
    check(draft(), 1.2, 1.0);
    check(draft(), 1.5, 0.8);
}

/// Nor do drafts change ids where keys and values have 8 bits, though of recent tokens they have more.
#[test]
fn drafts_change_no_ids_of_8_bits() {
    let [model, other] = [small::letters(11, 2, 40), small::letters(5, 1, 40)];
    let run = |draft: Draft| {
        let mut generator = Generator::new(&model, &crate::device()).unwrap();
        generator.decoder().set_kv(KvKind::Q8);
        generator.set_draft(draft).unwrap();
        let options = Options { max_tokens: 400, ..Options::default() };
        generator.generate(PROMPT, &options, |_| ControlFlow::Continue(())).unwrap()
    };
    let plain = run(Draft::None);
    for draft in [Draft::Lookup, Draft::Model(Box::new(Decoder::new(&other, &device()).unwrap()))] {
        let drafted = run(draft);
        println!("{} of {} accepted", drafted.accepted, drafted.ids.len());
        assert_eq!(drafted.ids, plain.ids);
    }
}
