//! Whole texts of a model under random schemas: each is JSON that the crate `jsonschema` finds valid, within its tokens.
//!
//! `FEWBIT_TEST_SCHEMAS=N` asks for N schemas of each test.

use std::ops::ControlFlow;

use fewbit::graph::Model;
use fewbit::runtime::Device;
use fewbit::tasks::Generator;
use fewbit::tasks::generate::Options;
use fewbit::text::{Sampling, Schemas};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::random::{check, schema};
use crate::{on_gpu, small, smollm2};

const PROMPTS: &[&str] = &[
    "The answer as JSON:\n",
    "A person, with name and age:\n",
    "{\"a\": 1}\n{\"a\": 2}\n",
    "Die Größe, in Metern: ",
    "x",
    "List three colours and why you like them. ```json\n",
];

/// `spare`: most tokens beyond those that a text under the schema needs.
fn texts(model: &Model, count: usize, spare: usize) {
    let count = std::env::var("FEWBIT_TEST_SCHEMAS").map_or(count, |n| n.parse().unwrap());
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut generator = Generator::new(model, &Device::cpu(0).unwrap()).unwrap();
    let schemas = Schemas::new(&generator.language().tokenizer).unwrap();
    let (mut costs, mut ended, mut longest) = (Vec::new(), 0, 0);
    for i in 0..count {
        let schema = schema(&mut rng);
        let prompt = PROMPTS.choose(&mut rng).unwrap();
        let needed = schemas.constraint(&schema).unwrap_or_else(|e| panic!("{schema}: {e}")).tokens_needed();
        let max_tokens = needed + rng.random_range(0..=spare);
        let temperature = if i % 3 == 0 { 0.0 } else { rng.random_range(0.5..1.5) };
        let sampling = Sampling { temperature, seed: rng.random(), ..Sampling::default() };
        let options = Options { max_tokens, sampling, schema: Some(schema.clone()), ..Options::default() };
        let text = generator.generate(prompt, &options, |_| ControlFlow::Continue(()));
        let text = text.unwrap_or_else(|e| panic!("{schema}: {prompt:?}, {max_tokens} tokens: {e}"));
        check(&schema, &text.text);
        assert!(text.ids.len() <= max_tokens, "{schema}");
        (ended, longest) = (ended + usize::from(text.ids.len() < max_tokens), longest.max(text.ids.len()));
        costs.extend(text.constraint_ms);
    }
    costs.sort_by(f64::total_cmp);
    let at = |share: f64| costs[((costs.len() - 1) as f64 * share) as usize];
    let (median, most, worst) = (at(0.5), at(0.95), at(1.0));
    println!("{count} of {count} valid, {ended} before their tokens ran out, the longest of {longest} tokens");
    println!("{} tokens: {median:.3} ms each, 95 % within {most:.3} ms, at most {worst:.1} ms", costs.len());
}

#[test]
fn random_models_keep_to_random_schemas() {
    if on_gpu() {
        return;
    }
    texts(&small::bytes(3), 300, 60);
}

#[test]
fn a_real_model_keeps_to_random_schemas() {
    let Some(model) = smollm2().filter(|_| !on_gpu()) else { return };
    texts(&model, 8, 24);
}
