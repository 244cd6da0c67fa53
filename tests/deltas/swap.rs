//! Deltas in a session: what it computes with them, in which order they come, and that the base comes back to the bit.

use std::collections::BTreeMap;

use fewbit::compress::{Rules, compress};
use fewbit::deltas::{Base, Change, Delta, LowRank, Rows, Sparse, Ternary, make};
use fewbit::graph::{Dim, Graph, Model, Weight};
use fewbit::runtime::{Device, Session};
use fewbit::tensor::{DType, Tensor};
use fewbit::weights::Encoded;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::models::*;

const TOLERANCE: f64 = 1e-4;

fn delta(changes: impl IntoIterator<Item = (&'static str, Change)>) -> Delta {
    let changes: BTreeMap<_, _> = changes.into_iter().map(|(name, change)| (name.to_string(), change)).collect();
    Delta { base: None, changes }
}

fn apply(base: &Graph, deltas: &[&Delta]) -> Graph {
    Base::new(base).apply(deltas, device().threads()).unwrap()
}

fn lora(shape: [usize; 2], rank: usize, scale: f32, rng: &mut StdRng) -> LowRank {
    let (up, down) = (random(&[shape[0], rank], rng), random(&[rank, shape[1]], rng));
    LowRank::new(shape.to_vec(), up, down, scale).unwrap()
}

/// `ΔW` of a low-rank update in f64.
fn product(lora: &LowRank) -> Vec<f64> {
    let wide = |tensor: &Tensor| tensor.to_f32().unwrap().into_iter().map(f64::from).collect::<Vec<_>>();
    let (up, down) = (wide(&lora.scaled_up().unwrap()), wide(lora.down()));
    let (rank, cols) = (lora.down().shape()[0], lora.down().shape()[1]);
    let turned: Vec<f64> = (0..cols).flat_map(|c| (0..rank).map(|r| down[r * cols + c]).collect::<Vec<_>>()).collect();
    times(&up, &turned, rank)
}

fn sum(one: &[f64], other: &[f64]) -> Vec<f64> {
    one.iter().zip(other).map(|(one, other)| one + other).collect()
}

fn run(session: &mut Session, x: &Tensor) -> Tensor {
    session.run(&[("x", x)]).unwrap().remove(0).1
}

fn session(graph: &Graph) -> Session {
    Session::new(&Model { graph: graph.clone(), ..Model::default() }, &device()).unwrap()
}

/// Of dense weights low rank is fused; beside weights in halves and in four bits it stays a branch. All compute what f64 does.
#[test]
fn fused_and_unfused_low_rank_are_one() {
    let mut rng = StdRng::seed_from_u64(4);
    for (rows, rank) in [(1, 1), (5, 3), (70, 8)] {
        let dense = dense_layers(&mut rng);
        let mut half = dense.clone();
        for name in ["first.weight", "second.weight"] {
            let id = half.find(name).unwrap();
            let Weight::Dense(tensor) = &dense.weights[&id] else { panic!() };
            half.weights.insert(id, halves(tensor));
        }
        let mut few = Model { graph: dense.clone(), ..Model::default() };
        let rules = Rules::parse(&["affine:4:group=16".into()], None, None).unwrap();
        compress(&mut few, &rules, &[], &Device::cpu(1).unwrap(), |_| ()).unwrap();
        let (one, two) = (lora([37, 29], rank, 1.5, &mut rng), lora([37, 29], rank + 1, -0.5, &mut rng));
        let second = lora([11, 37], rank, 0.7, &mut rng);
        let deltas = [
            delta([("first.weight", Change::LowRank(one.clone())), ("second.weight", Change::LowRank(second.clone()))]),
            delta([("first.weight", Change::LowRank(two.clone()))]),
        ];
        let x = random(&[rows, 29], &mut rng);
        let wide: Vec<f64> = x.to_f32().unwrap().into_iter().map(f64::from).collect();
        for (base, is_branch) in [(&dense, false), (&half, true), (&few.graph, true)] {
            let first = sum(&sum(&named(base, "first.weight"), &product(&one)), &product(&two));
            let second = sum(&named(base, "second.weight"), &product(&second));
            let expected = reference(&wide, &first, &named(base, "first.bias"), &second);
            let graph = apply(base, &[&deltas[0], &deltas[1]]);
            assert_eq!(graph.nodes.len(), base.nodes.len() + if is_branch { 9 } else { 0 });
            let id = base.find("first.weight").unwrap();
            assert_eq!(matches!(graph.weights[&id], Weight::Encoded(_)), is_branch);
            let mut session = session(base);
            session.swap(&graph).unwrap();
            assert_close(&run(&mut session, &x), &expected, TOLERANCE);
        }
    }
}

/// One delta of every kind.
fn kinds(rng: &mut StdRng) -> Vec<Delta> {
    let positions: Vec<u32> = (0..37 * 29).filter(|_| rng.random::<f64>() < 0.1).collect();
    let negative: Vec<bool> = positions.iter().map(|_| rng.random()).collect();
    let values = normal(positions.len(), 0.2, rng);
    vec![
        delta([("first.weight", Change::Ternary(Ternary::new(vec![37, 29], 0.25, &positions, &negative).unwrap()))]),
        delta([("first.weight", Change::Sparse(Sparse::new(vec![37, 29], &positions, &values).unwrap()))]),
        delta([
            ("second.weight", {
                let values = normal(3 * 37, 0.2, rng);
                Change::Rows(Rows::new(vec![11, 37], &[0, 4, 10], &values).unwrap())
            }),
            ("first.bias", Change::Whole(random(&[37], rng))),
        ]),
        delta([("first.weight", Change::LowRank(lora([37, 29], 2, 1.0, rng)))]),
    ]
}

/// A session goes through all deltas and pairs of them and back. The base's bytes are what they were, and so is what it
/// computes, to the bit.
#[test]
fn the_base_comes_back_to_the_bit() {
    let mut rng = StdRng::seed_from_u64(5);
    let base = dense_layers(&mut rng);
    let bytes = |graph: &Graph| -> Vec<Vec<u8>> {
        let tensor = |weight: &Weight| weight.dense().unwrap().bytes().to_vec();
        graph.weights.values().map(tensor).collect()
    };
    let before = bytes(&base);
    let deltas = kinds(&mut rng);
    let inputs = [random(&[3, 29], &mut rng), random(&[9, 29], &mut rng)];
    let mut session = session(&base);
    let own: Vec<Tensor> = inputs.iter().map(|x| run(&mut session, x)).collect();
    for i in 0..deltas.len() {
        for j in 0..=i {
            let graph = apply(&base, &[&deltas[i], &deltas[j]][..if i == j { 1 } else { 2 }]);
            let changed = |name: &str| i == j && deltas[i].changes.contains_key(name);
            for (id, weight) in &base.weights {
                let shares = weight.dense().unwrap().shares(graph.weights[id].dense().unwrap());
                assert!(shares || i != j || changed(&base.value(*id).name));
            }
            session.swap(&graph).unwrap();
            for (x, own) in inputs.iter().zip(&own) {
                let wide: Vec<f64> = x.to_f32().unwrap().into_iter().map(f64::from).collect();
                let [first, bias, second] = ["first.weight", "first.bias", "second.weight"].map(|n| named(&graph, n));
                let found = run(&mut session, x);
                assert_close(&found, &reference(&wide, &first, &bias, &second), TOLERANCE);
                assert_ne!(found.bytes(), own.bytes());
            }
            // Sometimes from one to the next, sometimes over the base.
            if (i + j) % 2 == 0 {
                session.revert();
                for (x, own) in inputs.iter().zip(&own) {
                    assert_eq!(run(&mut session, x).bytes(), own.bytes());
                }
            }
        }
    }
    session.revert();
    session.revert();
    assert_eq!(bytes(session.graph()), before);
    assert_eq!(bytes(&base), before);
}

#[test]
fn deltas_commute() {
    let mut rng = StdRng::seed_from_u64(6);
    let base = dense_layers(&mut rng);
    let deltas = kinds(&mut rng);
    for i in 0..deltas.len() {
        for j in 0..i {
            let (one, other) = (apply(&base, &[&deltas[i], &deltas[j]]), apply(&base, &[&deltas[j], &deltas[i]]));
            for (id, from) in &base.weights {
                let pick = |graph: &Graph| graph.weights[id].dense().unwrap().clone();
                let (one, other) = (pick(&one), pick(&other));
                if from.ty().dtype != DType::F32 {
                    assert_eq!(one.bytes(), other.bytes());
                    continue;
                }
                // Sums in f32 differ in how they were rounded.
                for (one, other) in one.to_f32().unwrap().iter().zip(other.to_f32().unwrap()) {
                    assert!((one - other).abs() <= 4.0 * f32::EPSILON * one.abs().max(1.0));
                }
            }
        }
    }
    // What does not overlap commutes exactly.
    let evens = Sparse::new(vec![37, 29], &[0, 2, 1072], &[0.1, 0.2, 0.3]).unwrap();
    let odds = Sparse::new(vec![37, 29], &[1, 3, 1071], &[0.7, 0.8, 0.9]).unwrap();
    let [evens, odds] = [evens, odds].map(|sparse| delta([("first.weight", Change::Sparse(sparse))]));
    let id = base.find("first.weight").unwrap();
    let bytes = |deltas: &[&Delta]| apply(&base, deltas).weights[&id].dense().unwrap().bytes().to_vec();
    assert_eq!(bytes(&[&evens, &odds]), bytes(&[&odds, &evens]));
    // Of two replacements the last counts, and what is added comes on top of it, whatever the order.
    let whole = |value: f32| delta([("first.weight", Change::Whole(tensor(&[37, 29], &[value; 1073])))]);
    let (one, two) = (whole(1.0), whole(2.0));
    assert_eq!(bytes(&[&one, &evens, &two]), bytes(&[&evens, &one, &two]));
    assert_ne!(bytes(&[&one, &two]), bytes(&[&two, &one]));
}

/// Weights in f16 keep their type while they have room for the sums, and few-bit ones that something else than low rank changes
/// become f32.
#[test]
fn types_of_changed_weights() {
    let mut rng = StdRng::seed_from_u64(7);
    let mut base = dense_layers(&mut rng);
    let (first, second) = (base.find("first.weight").unwrap(), base.find("second.weight").unwrap());
    let Weight::Dense(matrix) = &base.weights[&second] else { panic!() };
    let encoded = halves(matrix);
    base.weights.insert(second, encoded);
    let half: Vec<half::f16> = named(&base, "first.weight").iter().map(|&v| half::f16::from_f64(v)).collect();
    base.weights.insert(first, Weight::Dense(Tensor::new([37, 29], &half).unwrap()));
    let sparse = |shape: [usize; 2], v: f32| Change::Sparse(Sparse::new(shape.to_vec(), &[7], &[v]).unwrap());
    let deltas = [delta([("first.weight", sparse([37, 29], 0.5)), ("second.weight", sparse([11, 37], 0.5))])];
    let graph = apply(&base, &[&deltas[0]]);
    let changed = graph.weights[&first].dense().unwrap().slice::<half::f16>().unwrap().to_vec();
    for (i, (changed, half)) in changed.iter().zip(&half).enumerate() {
        let expected = if i == 7 { half::f16::from_f32(half.to_f32() + 0.5) } else { *half };
        assert_eq!(*changed, expected);
    }
    let before = named(&base, "second.weight");
    let sum = |i: usize, v: f32| before[i] as f32 + if i == 7 { v } else { 0.0 };
    assert!(matches!(&graph.weights[&second], Weight::Encoded(encoded) if matches!(**encoded, Encoded::HalfFloat(_))));
    for (i, value) in named(&graph, "second.weight").into_iter().enumerate() {
        assert_eq!(value, half::f16::from_f32(sum(i, 0.5)).to_f64());
    }

    let is_dense = |graph: &Graph, v: f32| {
        let dense = graph.weights[&second].dense().unwrap();
        assert_eq!((dense.dtype(), dense.len()), (DType::F32, 11 * 37));
        named(graph, "second.weight")
            .into_iter()
            .enumerate()
            .for_each(|(i, value)| assert_eq!(value as f32, sum(i, v)));
    };
    is_dense(&apply(&base, &[&delta([("second.weight", sparse([11, 37], 1e5))])]), 1e5);
    let mut few = Model { graph: base.clone(), ..Model::default() };
    let rules = Rules::parse(&["affine:4:group=16".into()], None, None).unwrap();
    compress(&mut few, &rules, &[], &Device::cpu(1).unwrap(), |_| ()).unwrap();
    let graph = apply(&few.graph, &[&deltas[0]]);
    assert_eq!(graph.weights[&second].dense().unwrap().dtype(), DType::F32);
    assert!((named(&graph, "second.weight")[7] - named(&few.graph, "second.weight")[7] - 0.5).abs() < 1e-6);
}

#[test]
fn deltas_of_other_models_are_refused() {
    let mut rng = StdRng::seed_from_u64(8);
    let base = dense_layers(&mut rng);
    let other = tuned(&base, 0.1, &mut rng);
    let made = make(&base, &other, "sparse:0.1".parse().unwrap()).unwrap().delta;
    let refuses = |graph: &Graph, delta: &Delta, words: &str| {
        let error = Base::new(graph).apply(&[delta], device().threads()).err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
    };
    apply(&base, &[&made]);
    refuses(&other, &made, "made for another model");
    refuses(&apply(&base, &[&made]), &made, "made for another model");
    let sparse = || Sparse::new(vec![29, 37], &[0], &[1.0]).unwrap();
    refuses(&base, &delta([("first.weight", Change::Sparse(sparse()))]), "`first.weight`");
    refuses(&base, &delta([("third.weight", Change::Sparse(sparse()))]), "`third.weight`");
    refuses(&base, &delta([("index", Change::Rows(Rows::new(vec![2, 1], &[0], &[1.0]).unwrap()))]), "`index`");
    // Another order of nodes and numbers is the same base.
    let mut renumbered = Graph::default();
    for (id, weight) in base.weights.iter().rev() {
        renumbered.add_weight(base.value(*id).name.clone(), weight.clone());
    }
    apply(&renumbered, &[&made]);
}

#[test]
fn a_graph_of_another_face_is_refused() {
    let mut rng = StdRng::seed_from_u64(9);
    let base = dense_layers(&mut rng);
    let x = random(&[2, 29], &mut rng);
    let mut session = session(&base);
    let own = run(&mut session, &x);
    let mut other = base.clone();
    other.values[base.inputs[0].0 as usize].dims = Some(vec![Dim::Known(1), Dim::Known(29)]);
    assert!(session.swap(&other).is_err());
    let mut broken = base.clone();
    broken.outputs = vec![fewbit::graph::ValueId(1000)];
    assert!(session.swap(&broken).is_err());
    assert_eq!(run(&mut session, &x).bytes(), own.bytes());
}
