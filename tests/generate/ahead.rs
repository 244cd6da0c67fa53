//! Greedy decoding on a GPU, where a run is submitted before the token of the last one has come: the same ids as token by
//! token, whatever interrupts it. And texts of which the device is lost in the middle.

use std::ops::ControlFlow;

use fewbit::graph::Model;
use fewbit::runtime::Device;
use fewbit::tasks::generate::{End, Options};
use fewbit::tasks::{Decoder, Generator};
use fewbit::text::{Sampler, Sampling};

use crate::{on_gpu, small};

const PROMPT: &str = "abcdefghij";

fn greedy(decoder: &mut Decoder, prompt: &[u32], count: usize) -> Vec<u32> {
    let mut tokens = prompt.to_vec();
    for _ in 0..count {
        let logits = decoder.logits(&tokens, 1).unwrap();
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]).then(b.cmp(&a)));
        tokens.push(best.unwrap() as u32);
    }
    tokens.split_off(prompt.len())
}

fn generated(generator: &mut Generator, options: &Options) -> Vec<u32> {
    generator.generate(PROMPT, options, |_| ControlFlow::Continue(())).unwrap().ids
}

/// The token after those before, which must come from a run that was started.
fn next(decoder: &mut Decoder, tokens: &[u32]) -> u32 {
    let next = pollster::block_on(decoder.next_async(tokens, [None; 2], false)).unwrap();
    next.expect("no run was started")
}

#[test]
fn ids_are_the_same_ahead_of_the_host() {
    if !on_gpu() {
        return;
    }
    let device = Device::gpu().unwrap();
    for seed in 0..3 {
        let model = small::letters(seed, 2, 40);
        let mut generator = Generator::new(&model, &device).unwrap();
        let prompt = generator.language().prompt(PROMPT).unwrap();
        let mut plain = Decoder::new(&model, &device).unwrap();
        // Beyond the room for tokens that a session begins with.
        let want = greedy(&mut plain, &prompt, 300);
        for count in [0, 1, 2, 300] {
            let options = Options { max_tokens: count, ..Options::default() };
            assert_eq!(generated(&mut generator, &options), want[..count], "seed {seed}");
        }
        // A run under way is of no use if the text goes on otherwise.
        let decoder = generator.decoder();
        let mut tokens = prompt.clone();
        decoder.logits(&tokens, 1).unwrap();
        for step in 0..12u32 {
            tokens.push((step * step + seed as u32) % 40);
            assert_eq!(next(decoder, &tokens), greedy(&mut plain, &tokens, 1)[0]);
            if step % 3 == 1 {
                tokens.push(greedy(&mut plain, &tokens, 1)[0]);
                assert_eq!(next(decoder, &tokens), greedy(&mut plain, &tokens, 1)[0]);
            }
            if step == 7 {
                decoder.logits(&tokens, 1).unwrap();
            }
        }
        // Nor at the end of the context.
        let mut short = model.clone();
        short.manifest.extra.insert("context".into(), (prompt.len() + 5).into());
        let options = Options { max_tokens: 300, ..Options::default() };
        let text = Generator::new(&short, &device).unwrap().generate(PROMPT, &options, |_| ControlFlow::Continue(()));
        let text = text.unwrap();
        assert_eq!((text.end, &text.ids[..]), (End::Context, &want[..6]));
    }
}

/// Sampled texts too: those of a host that has the logits.
#[test]
fn drawn_ids_are_the_same_ahead_of_the_host() {
    if !on_gpu() {
        return;
    }
    let plain = Sampling::default();
    let ways = [
        plain.clone(),
        Sampling { temperature: 0.6, top_k: 5, ..plain.clone() },
        Sampling { temperature: 1.5, top_p: 0.8, ..plain.clone() },
        Sampling { top_k: 20, top_p: 0.9, min_p: 0.1, ..plain.clone() },
    ];
    for (seed, sampling) in (0..).zip(ways) {
        let model = small::letters(seed, 2, 40);
        let [mut ahead, mut host] =
            [Device::gpu(), Device::cpu(1)].map(|device| Generator::new(&model, &device.unwrap()).unwrap());
        for seed in [seed, seed + 90] {
            let options =
                Options { max_tokens: 40, sampling: Sampling { seed, ..sampling.clone() }, ..Options::default() };
            assert_eq!(generated(&mut ahead, &options), generated(&mut host, &options), "{:?}", options.sampling);
        }
        let prompt = ahead.language().prompt(PROMPT).unwrap();
        let decoder = ahead.decoder();
        decoder.logits(&prompt[..prompt.len() - 1], 1).unwrap();
        let draws = Sampler::new(sampling).unwrap().ahead().unwrap();
        let drawn = pollster::block_on(decoder.next_async(&prompt, draws, false)).unwrap();
        assert!(drawn.is_some(), "no run was started");
    }
}

/// Texts end at their tokens, and the next one knows nothing of a run that was submitted too many.
#[test]
fn texts_end_ahead_of_the_host() {
    if !on_gpu() {
        return;
    }
    let device = Device::gpu().unwrap();
    let mut model = small::letters(1, 2, 40);
    let options = Options { max_tokens: 30, ..Options::default() };
    let free = generated(&mut Generator::new(&model, &device).unwrap(), &options);
    model.manifest.extra.insert("eos_token_id".into(), free[4].into());
    let until = free.iter().position(|&id| id == free[4]).unwrap();
    let mut generator = Generator::new(&model, &device).unwrap();
    for _ in 0..2 {
        assert_eq!(generated(&mut generator, &options), free[..=until]);
    }
    let text = generator.generate("jihgfedcba", &options, |_| ControlFlow::Continue(())).unwrap();
    let prompt = generator.language().prompt("jihgfedcba").unwrap();
    let want = greedy(&mut Decoder::new(&model, &device).unwrap(), &prompt, text.ids.len());
    assert_eq!(text.ids, want);
}

/// The device goes after some tokens; the text goes on as it would have.
fn lost(model: &Model, sampling: &Sampling) {
    let options = Options { max_tokens: 24, sampling: sampling.clone(), ..Options::default() };
    let whole = generated(&mut Generator::new(model, &Device::gpu().unwrap()).unwrap(), &options);
    assert_eq!(whole.len(), 24);
    for after in [1, 2, 9] {
        let device = Device::gpu().unwrap();
        let mut generator = Generator::new(model, &device).unwrap();
        let mut pieces = 0;
        let text = generator.generate(PROMPT, &options, |_| {
            pieces += 1;
            if pieces == after
                && let Device::Gpu(gpu, _) = &device
            {
                gpu.destroy();
            }
            ControlFlow::Continue(())
        });
        assert_eq!(text.unwrap().ids, whole, "lost after {after} tokens");
        assert!(device.is_lost());
        // And the next text too, on the device that was opened in its place.
        assert_eq!(generated(&mut generator, &options), whole);
    }
}

#[test]
fn a_lost_device_changes_no_ids() {
    if !on_gpu() {
        return;
    }
    let model = small::letters(2, 2, 40);
    lost(&model, &Options::default().sampling);
    lost(&model, &Sampling { temperature: 0.9, seed: 4, ..Sampling::default() });
}
