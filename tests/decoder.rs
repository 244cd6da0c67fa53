//! Small random decoders of every kind the description covers against a plain forward in f64 over all tokens at once. The
//! session gets the same tokens in pieces, and some of them again after others took their place.
//!
//! `FEWBIT_TEST_DEVICE=gpu` takes the adapter; without it the CPU with every instruction set, on one and three threads.

#![cfg(all(feature = "full", feature = "cli"))]

#[path = "decoder/reference.rs"]
mod reference;
#[path = "decoder/ring.rs"]
mod ring;
#[path = "decoder/weights.rs"]
mod weights;

use fewbit::cpu::Threads;
use fewbit::cpu::simd::Level;
use fewbit::graph::Model;
use fewbit::models::llama::{self, Config, Gate, Window};
use fewbit::models::rope::{Rope, Scaling};
use fewbit::runtime::{Device, KvKind, Session};
use fewbit::tensor::Tensor;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reference::forward;
use ring::Ring;
use weights::{Sizes, random_weights};

fn devices() -> Vec<Device> {
    if std::env::var("FEWBIT_TEST_DEVICE").as_deref() == Ok("gpu") {
        return vec![Device::gpu().expect("a GPU run needs an adapter")];
    }
    let with = |count: usize, level: Level| Device::Cpu(Threads::new(count).unwrap().with_level(level).unwrap());
    Level::available().into_iter().flat_map(|level| [with(1, level), with(3, level)]).collect()
}

fn plain() -> Config {
    Config {
        file: "test".into(),
        layers: 3,
        heads: 6,
        kv_heads: 2,
        epsilon: 1e-5,
        rope: Rope { theta: 10_000.0, dims: 20, interleaved: true, scaling: Scaling::None },
        local_rope: None,
        scale: None,
        window: None,
        gate: Gate::Silu,
        embedding_scale: 1.0,
    }
}

/// Ragged on purpose: no size is a multiple of a vector.
const SIZES: Sizes = Sizes { hidden: 44, head: 20, inner: 70, vocabulary: 91, biases: false, tied: true, norms: 0 };

fn check(name: &str, config: &Config, sizes: Sizes, pieces: &[usize]) {
    check_kept(name, config, sizes, pieces, (KvKind::F16, [reference::f16; 2]), rand::random());
}

/// Feeds the pieces and compares the logits of each with the reference's for the tokens so far.
fn check_kept(
    name: &str,
    config: &Config,
    sizes: Sizes,
    pieces: &[usize],
    (kind, keep): (KvKind, [reference::Keep; 2]),
    seed: u64,
) {
    let mut random = StdRng::seed_from_u64(seed);
    let weights = random_weights(config, &sizes, &mut random);
    let graph = llama::build(config, llama::gguf_names, weights.clone()).unwrap();
    let model = Model { graph, ..Model::default() };
    let count: usize = pieces.iter().sum();
    let ids: Vec<i64> = (0..count).map(|_| random.random_range(0..sizes.vocabulary as i64)).collect();
    let mut ring = Ring::default();
    if kind == KvKind::Q8 {
        let mut first = 0;
        ring.run(0, count);
        for &piece in pieces {
            ring.run(first, piece);
            first += piece;
        }
    }
    let want = forward(config, &sizes, &weights, (keep, &ring.from), &ids);
    for device in devices() {
        let what = format!("{name} on {}, seed {seed}", device.describe());
        let mut session = Session::new(&model, &device).unwrap();
        session.set_kv(kind);
        // Other tokens first: what they leave must not be seen.
        let others: Vec<i64> = ids.iter().map(|&id| (id + 1) % sizes.vocabulary as i64).collect();
        logits(&mut session, &others, 0, &[0]);
        let mut first = 0;
        for &piece in pieces {
            let keep: Vec<i64> = (0..piece as i64).rev().collect();
            let got = logits(&mut session, &ids[first..first + piece], first, &keep);
            for (row, &token) in got.chunks_exact(sizes.vocabulary).zip(&keep) {
                let want = &want[(first + token as usize) * sizes.vocabulary..][..sizes.vocabulary];
                let scale = want.iter().fold(0f64, |m, v| m.max(v.abs()));
                for (g, w) in row.iter().zip(want) {
                    let error = (f64::from(*g) - w).abs() / scale;
                    assert!(error < 1e-3, "{what}: {g} instead of {w} after token {}", first + token as usize);
                }
            }
            first += piece;
        }
    }
}

fn logits(session: &mut Session, ids: &[i64], first: usize, keep: &[i64]) -> Vec<f32> {
    let positions: Vec<i64> = (first..first + ids.len()).map(|p| p as i64).collect();
    let row = |values: &[i64]| Tensor::new([1, values.len()], values).unwrap();
    let (ids, positions) = (row(ids), row(&positions));
    let keep = Tensor::new([keep.len()], keep).unwrap();
    let inputs = [("input_ids", &ids), ("position_ids", &positions), ("logits_to_keep", &keep)];
    session.run(&inputs).unwrap()[0].1.to_f32().unwrap()
}

#[test]
fn llama() {
    check("llama", &plain(), SIZES, &[1, 2, 7, 1, 40, 1]);
    // More keys than a block, more rows than a task.
    check("long", &Config { layers: 1, ..plain() }, SIZES, &[300, 1, 70, 2]);
}

#[test]
fn heads_alone_and_heads_shared_by_all() {
    check("no sharing", &Config { kv_heads: 6, layers: 1, ..plain() }, SIZES, &[5, 1, 40]);
    check("one head of keys", &Config { kv_heads: 1, layers: 1, ..plain() }, SIZES, &[5, 1, 40]);
}

#[test]
fn mistral_and_qwen2() {
    let window = Some(Window { size: 9, period: 0 });
    check("mistral", &Config { window, ..plain() }, Sizes { tied: false, ..SIZES }, &[30, 1, 5, 1]);
    let rope = Rope { interleaved: false, ..plain().rope };
    check("qwen2", &Config { rope, ..plain() }, Sizes { biases: true, ..SIZES }, &[6, 1, 3]);
}

#[test]
fn qwen3_and_gemma3() {
    let rope = Rope { interleaved: false, theta: 1e6, ..plain().rope };
    check("qwen3", &Config { rope: rope.clone(), ..plain() }, Sizes { norms: 1, ..SIZES }, &[6, 1, 3]);
    let gemma = Config {
        local_rope: Some(Rope { theta: 1e4, ..rope.clone() }),
        rope: Rope { scaling: Scaling::Linear(8.0), ..rope },
        window: Some(Window { size: 6, period: 2 }),
        gate: Gate::Gelu,
        embedding_scale: 6.6,
        scale: Some(0.3),
        ..plain()
    };
    check("gemma3", &gemma, Sizes { norms: 2, ..SIZES }, &[12, 1, 3, 1]);
}

/// A part of a head turns, and frequencies and magnitude are YaRN's.
#[test]
fn partial_and_stretched_rotation() {
    let rope = Rope { dims: 12, scaling: Scaling::Yarn { factor: 4.0, original: 32.0 }, ..plain().rope };
    check("yarn", &Config { rope, ..plain() }, SIZES, &[40, 1]);
}

/// The seed is fixed: a value between two codes may go either way by the last bit of what came before.
#[test]
fn fewer_bits() {
    let eight: [reference::Keep; 2] = [reference::q8; 2];
    for (kind, keep) in [(KvKind::Q8, eight), (KvKind::Q4, [reference::keys4, reference::values4])] {
        check_kept("ragged", &plain(), SIZES, &[6, 1, 30, 1], (kind, keep), 1);
        // More than a block, the last of which is short.
        let rope = Rope { dims: 70, ..plain().rope };
        let wide = Config { heads: 2, kv_heads: 1, layers: 2, rope, ..plain() };
        check_kept("wide", &wide, Sizes { head: 70, ..SIZES }, &[6, 1, 3], (kind, keep), 2);
    }
}

/// Of `distance`: what comes of values that lie between two codes.
const LIMIT: f64 = 3e-4;

/// The last tokens are seen in half precision, those before in 8 bits: fed one by one, in pieces longer than what is kept of
/// them, and after going back, by little and by much. The seed is fixed as above.
#[test]
fn recent_tokens_are_exact() {
    let rope = Rope { dims: 70, ..plain().rope };
    let all = Config { heads: 2, kv_heads: 1, layers: 2, rope, scale: Some(0.5), ..plain() };
    let window = Some(Window { size: 140, period: 2 });
    for (config, seed) in [(Config { window, ..all }, 5)] {
        let sizes = Sizes { head: 70, ..SIZES };
        let mut random = StdRng::seed_from_u64(seed);
        let weights = random_weights(&config, &sizes, &mut random);
        let graph = llama::build(&config, llama::gguf_names, weights.clone()).unwrap();
        let model = Model { graph, ..Model::default() };
        let runs =
            [(0, 150), (150, 1), (151, 20), (165, 8), (130, 2), (132, 300), (428, 1), (90, 1), (91, 60), (0, 170)];
        let mut ring = Ring::default();
        let mut ids: Vec<i64> = Vec::new();
        let (mut wanted, mut off) = (Vec::new(), Vec::new());
        for (first, count) in runs {
            ids.truncate(first);
            ids.extend((0..count).map(|_| random.random_range(0..sizes.vocabulary as i64)));
            ring.run(first, count);
            let logits = |from: &[usize]| {
                let kept = ([reference::q8 as reference::Keep; 2], from);
                forward(&config, &sizes, &weights, kept, &ids).split_off(first * sizes.vocabulary)
            };
            let shifted = |by: usize| logits(&ring.from.iter().map(|from| from + by).collect::<Vec<_>>());
            let want = logits(&ring.from);
            let wrong = [logits(&[]), logits(&vec![0; ids.len()]), shifted(1)].map(|wrong| distance(&wrong, &want));
            off.push(wrong);
            wanted.push((ids[first..].to_vec(), first, want));
        }
        // What would be seen of tokens that are all in 8 bits, all in half precision, or one fewer so than there are.
        for i in 0..3 {
            assert!(
                off.iter().filter(|wrong| wrong[i] > 1.5 * LIMIT).count() >= runs.len() / 2,
                "the test sees nothing"
            );
        }
        for device in devices() {
            let mut session = Session::new(&model, &device).unwrap();
            session.set_kv(KvKind::Q8);
            for (ids, first, want) in &wanted {
                let keep: Vec<i64> = (0..ids.len() as i64).collect();
                let got = logits(&mut session, ids, *first, &keep);
                let got: Vec<f64> = got.into_iter().map(f64::from).collect();
                let error = distance(&got, want);
                assert!(error < LIMIT, "{first} + {} on {}: {error}", ids.len(), device.describe());
            }
        }
    }
}

/// The root of the mean squared difference, relative to the largest of `b`.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(0f64, |m, v| m.max(v.abs()));
    (a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / b.len() as f64).sqrt() / largest
}

/// Sequences side by side, of which some go on twice and some end, at every number of bits.
#[test]
fn sequences_side_by_side() {
    let kinds: [(KvKind, [reference::Keep; 2]); 3] = [
        (KvKind::F16, [reference::f16; 2]),
        (KvKind::Q8, [reference::q8; 2]),
        (KvKind::Q4, [reference::keys4, reference::values4]),
    ];
    let mut random = StdRng::seed_from_u64(3);
    let config = Config { window: Some(Window { size: 6, period: 2 }), layers: 2, ..plain() };
    let weights = random_weights(&config, &SIZES, &mut random);
    let graph = llama::build(&config, llama::gguf_names, weights.clone()).unwrap();
    let model = Model { graph, ..Model::default() };
    // Before each step, which of the sequences so far go on, and then so many tokens of each.
    let steps: [(&[usize], usize); 5] =
        [(&[0, 0, 0], 5), (&[2, 0, 0, 1], 1), (&[0, 1, 2, 3], 1), (&[3, 1], 3), (&[1, 1, 0, 1, 0], 1)];
    for ((kind, keep), device) in kinds.into_iter().flat_map(|kind| devices().into_iter().map(move |d| (kind, d))) {
        let mut session = Session::new(&model, &device).unwrap();
        session.set_kv(kind);
        let mut all = vec![Vec::new()];
        let mut ring = Ring::default();
        for (order, count) in steps {
            let first = all[0].len();
            // Of 8 bits more than has recent tokens alone.
            let count = if kind == KvKind::Q8 && first == 0 { 170 } else { count };
            if kind == KvKind::Q8 {
                ring.run(first, count);
            }
            if first > 0 {
                session.reorder_caches(order).unwrap();
            }
            let new: Vec<i64> =
                (0..order.len() * count).map(|_| random.random_range(0..SIZES.vocabulary as i64)).collect();
            let longer = |(new, &from): (&[i64], &usize)| [&all[from], new].concat();
            all = new.chunks_exact(count).zip(order).map(longer).collect();
            let ids = Tensor::new([order.len(), count], &new).unwrap();
            let positions: Vec<i64> = (first..first + count).map(|p| p as i64).collect();
            let positions = Tensor::new([1, count], &positions).unwrap();
            let last = Tensor::new([1], &[count as i64 - 1]).unwrap();
            let inputs = [("input_ids", &ids), ("position_ids", &positions), ("logits_to_keep", &last)];
            let got = session.run(&inputs).unwrap()[0].1.to_f32().unwrap();
            assert_eq!(got.len(), order.len() * SIZES.vocabulary);
            for (row, ids) in got.chunks_exact(SIZES.vocabulary).zip(&all) {
                let want = forward(&config, &SIZES, &weights, (keep, &ring.from), ids);
                let want = &want[want.len() - SIZES.vocabulary..];
                let scale = want.iter().fold(0f64, |m, v| m.max(v.abs()));
                let error = row.iter().zip(want).map(|(g, w)| (f64::from(*g) - w).abs()).fold(0f64, f64::max) / scale;
                assert!(error < 1e-3, "{kind:?} on {}, {order:?}: {error}", device.describe());
            }
        }
        let error = session.reorder_caches(&[5]).unwrap_err().to_string();
        assert!(error.contains("sequence 5 cannot go on"), "{error}");
        let (one, at) = (Tensor::new([1, 1], &[0i64]).unwrap(), Tensor::new([1, 1], &[all[0].len() as i64]).unwrap());
        let keep = Tensor::new([1], &[0i64]).unwrap();
        let inputs = [("input_ids", &one), ("position_ids", &at), ("logits_to_keep", &keep)];
        assert!(session.run(&inputs).unwrap_err().to_string().contains("as many sequences"));
    }
}

/// What was never fed cannot be attended to, and positions do not jump.
#[test]
fn holes_are_refused() {
    let mut random = StdRng::seed_from_u64(1);
    let weights = random_weights(&plain(), &SIZES, &mut random);
    let graph = llama::build(&plain(), llama::gguf_names, weights).unwrap();
    let model = Model { graph, ..Model::default() };
    let mut session = Session::new(&model, &devices()[0]).unwrap();
    let mut run = |positions: &[i64]| {
        let row = Tensor::new([1, positions.len()], positions).unwrap();
        let ids = Tensor::new([1, positions.len()], &vec![0i64; positions.len()]).unwrap();
        let keep = Tensor::new([1], &[0i64]).unwrap();
        session.run(&[("input_ids", &ids), ("position_ids", &row), ("logits_to_keep", &keep)]).map(|_| ())
    };
    for (positions, words) in [
        (&[3, 4][..], "position 3: keys and values before it are missing"),
        (&[0, 2], "count up by one"),
        (&[-1, 0], "negative"),
        (&[i64::MAX, i64::MIN], "count up by one"),
    ] {
        let error = run(positions).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    run(&[0, 1, 2]).unwrap();
    run(&[2, 3]).unwrap();
    assert!(run(&[5]).is_err());
}
