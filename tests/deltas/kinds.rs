//! What `make` keeps, read back from its file, beside a reference that sorts all values.

use fewbit::deltas::{Change, Delta, Kind, Made, make};
use fewbit::formats::delta;
use fewbit::graph::{Graph, Weight};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::models::{dense_layers, named, normal, tensor, tuned, two_layers};

const NAMES: [&str; 3] = ["first.bias", "first.weight", "second.weight"];

fn kind(text: &str) -> Kind {
    text.parse().unwrap()
}

/// Made, and read back.
fn made(base: &Graph, tuned: &Graph, text: &str) -> (Made, Delta) {
    let made = make(base, tuned, kind(text)).unwrap();
    let file = delta::write(&made.delta).unwrap();
    let read = delta::read("delta", file.len() as u64, &mut file.as_slice()).unwrap();
    (made, read)
}

/// The difference of a tensor as the kernels of `make` have it, in f32.
fn difference(base: &Graph, tuned: &Graph, name: &str) -> Vec<f32> {
    named(tuned, name).iter().zip(named(base, name)).map(|(to, from)| *to as f32 - from as f32).collect()
}

/// What a change adds to zeros.
fn added(delta: &Delta, name: &str, len: usize) -> Vec<f32> {
    // What is not written to stays visible: adding to a number is not setting one.
    let mut values = vec![1000f32; len];
    if let Some(change) = delta.changes.get(name) {
        change.add(&mut values);
    }
    values.iter().map(|value| value - 1000.0).collect()
}

/// The size of the last of the `count` largest, by sorting all.
fn threshold(all: &[f32], count: usize) -> f32 {
    let mut sizes: Vec<f32> = all.iter().map(|value| value.abs()).collect();
    sizes.sort_by(|a, b| b.total_cmp(a));
    sizes[count - 1]
}

fn models() -> (Graph, Graph, Vec<f32>) {
    let mut rng = StdRng::seed_from_u64(1);
    let base = dense_layers(&mut rng);
    let tuned = tuned(&base, 0.01, &mut rng);
    let all = NAMES.iter().flat_map(|name| difference(&base, &tuned, name)).collect();
    (base, tuned, all)
}

#[test]
fn ternary_values_are_the_signs_of_the_largest() {
    let (base, tuned, all) = models();
    let mean = all.iter().map(|&v| f64::from(v)).sum::<f64>() / all.len() as f64;
    let variance = all.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / (all.len() - 1) as f64;
    for density in [0.01, 0.05, 0.2, 1.0] {
        let least = threshold(&all, (density * all.len() as f64).round() as usize);
        let kept: Vec<f64> = all.iter().map(|v| f64::from(v.abs())).filter(|v| *v >= f64::from(least)).collect();
        let mean_kept = kept.iter().sum::<f64>() / kept.len() as f64;
        for (text, size) in
            [(format!("compeft:{density}:alpha=2.5"), 2.5 * variance.sqrt()), (format!("compeft:{density}"), mean_kept)]
        {
            let (made, read) = made(&base, &tuned, &text);
            assert_eq!(read.changes.values().map(Change::count).sum::<usize>(), kept.len());
            let mut left = 0.0;
            for name in NAMES {
                let tau = difference(&base, &tuned, name);
                for (tau, added) in tau.iter().zip(added(&read, name, tau.len())) {
                    let expected = if tau.abs() >= least { size * f64::from(tau.signum()) } else { 0.0 };
                    // Half a unit in the last place of the thousand that it was added to.
                    assert!((f64::from(added) - expected).abs() < 4e-5, "{text}: {added} for {expected}");
                    left += (f64::from(*tau) - expected).powi(2);
                }
            }
            let all: f64 = all.iter().map(|&v| f64::from(v).powi(2)).sum();
            assert!((made.explained - (1.0 - left / all)).abs() < 1e-5);
        }
    }
}

/// 0.05 of 100,003 normal numbers in two ragged matrices: at most 0.025 of their bytes in f16, as the paper's 47 times smaller
/// is 0.021.
#[test]
fn a_ternary_file_is_small() {
    let mut rng = StdRng::seed_from_u64(2);
    let base = {
        let first = tensor(&[401, 307], &normal(401 * 307, 0.1, &mut rng));
        let second = tensor(&[503, 401], &normal(503 * 401, 0.1, &mut rng));
        two_layers(Weight::Dense(first), &tensor(&[401], &normal(401, 0.1, &mut rng)), Weight::Dense(second))
    };
    let tuned = tuned(&base, 0.001, &mut rng);
    for (density, share) in [(0.05, 0.025), (0.1, 1.0 / 25.0), (0.2, 1.0 / 15.0)] {
        let made = make(&base, &tuned, kind(&format!("compeft:{density}"))).unwrap();
        let halves = 2 * (401 * 307 + 503 * 401 + 401);
        assert_eq!(2 * made.values, halves);
        let bytes = delta::write(&made.delta).unwrap().len() as f64 / halves as f64;
        println!("compeft:{density}: {bytes:.4} of f16");
        assert!(bytes <= share, "{density}: {bytes} of f16");
    }
}

#[test]
fn sparse_values_are_the_largest_exactly() {
    let (base, tuned, all) = models();
    let least = threshold(&all, (0.1 * all.len() as f64).round() as usize);
    let (_, read) = made(&base, &tuned, "sparse:0.1");
    for name in NAMES {
        let tau = difference(&base, &tuned, name);
        let mut found = vec![0f32; tau.len()];
        read.changes[name].add(&mut found);
        let expected: Vec<f32> = tau.iter().map(|&tau| if tau.abs() >= least { tau } else { 0.0 }).collect();
        assert_eq!(found, expected, "{name}");
    }
    assert!(matches!(read.changes["first.weight"], Change::Sparse(_)));
}

/// With all values kept, whole tensors are smaller than gaps and values; and integers are stored whole by every kind.
#[test]
fn what_changes_altogether_is_stored_whole() {
    let (base, mut tuned, _) = models();
    let index = tuned.find("index").unwrap();
    let replaced = fewbit::Tensor::new([2], &[3i64, 4]).unwrap();
    tuned.weights.insert(index, Weight::Dense(replaced.clone()));
    let (_, read) = made(&base, &tuned, "sparse:1");
    for name in NAMES {
        let Change::Whole(tensor) = &read.changes[name] else { panic!("{name} is not whole") };
        assert_eq!(tensor.to_f32().unwrap(), named(&tuned, name).iter().map(|&v| v as f32).collect::<Vec<_>>());
    }
    for text in ["sparse:0.1", "compeft:0.1", "rows:2"] {
        let (_, read) = made(&base, &tuned, text);
        let Change::Whole(tensor) = &read.changes["index"] else { panic!("the index is not whole") };
        assert_eq!(tensor.bytes(), replaced.bytes());
    }
}

#[test]
fn rows_are_those_that_changed_most() {
    let (base, tuned, _) = models();
    let (_, read) = made(&base, &tuned, "rows:5");
    assert!(!read.changes.contains_key("first.bias"));
    for (name, cols) in [("first.weight", 29), ("second.weight", 37)] {
        let tau = difference(&base, &tuned, name);
        let energy = |row: &[f32]| row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
        let mut energies: Vec<f64> = tau.chunks(cols).map(energy).collect();
        energies.sort_by(|a, b| b.total_cmp(a));
        let least = energies[4];
        let mut found = vec![0f32; tau.len()];
        read.changes[name].add(&mut found);
        let rows = tau.chunks(cols).map(|row| if energy(row) >= least { row.to_vec() } else { vec![0.0; cols] });
        assert_eq!(found, rows.flatten().collect::<Vec<_>>(), "{name}");
    }
}

/// Of equal sizes as many are kept as were asked for, and zeros never.
#[test]
fn ties_and_zeros() {
    let mut rng = StdRng::seed_from_u64(3);
    let base = dense_layers(&mut rng);
    let mut tuned = base.clone();
    let id = base.find("second.weight").unwrap();
    let weights: Vec<f32> = vec![0.5; 11 * 37];
    let mut base = base;
    base.weights.insert(id, Weight::Dense(tensor(&[11, 37], &weights)));
    let raised: Vec<f32> = (0..11 * 37).map(|i| if i % 4 == 0 { 0.75 } else { 0.5 }).collect();
    tuned.weights.insert(id, Weight::Dense(tensor(&[11, 37], &raised)));
    let count = |text: &str| made(&base, &tuned, text).1.changes.values().map(Change::count).sum::<usize>();
    assert_eq!(count("compeft:0.1"), 41);
    assert_eq!(count("sparse:0.1"), 41);
    let changed = (11usize * 37).div_ceil(4);
    assert_eq!(count("compeft:0.9"), changed);
    assert_eq!(count("rows:50"), 11 * 37);
}

#[test]
fn words_that_are_no_kind_are_refused() {
    for text in ["", "compeft", "compeft:0", "compeft:1.5", "compeft:nan", "compeft:0.1:alpha=0", "compeft:0.1:beta=1"]
    {
        assert!(text.parse::<Kind>().is_err(), "{text}");
    }
    for text in ["sparse:-1", "sparse:0.1:0.2", "rows:0", "rows:1.5", "rows:-1", "lora:4"] {
        assert!(text.parse::<Kind>().is_err(), "{text}");
    }
}

#[test]
fn models_that_have_no_delta_are_refused() {
    let (base, tuned, _) = models();
    let fails = |other: &Graph, words: &str| {
        let error = make(&base, other, kind("sparse:0.1")).err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
    };
    fails(&base, "same weights");
    let id = base.find("second.weight").unwrap();
    let with = |weight: Weight| {
        let mut graph = tuned.clone();
        graph.weights.insert(id, weight);
        graph
    };
    fails(&with(Weight::Dense(tensor(&[37, 11], &[0.0; 407]))), "`second.weight`");
    fails(&with(Weight::Dense(tensor(&[11, 37], &[f32::NAN; 407]))), "no finite number");
    let mut other = tuned.clone();
    other.values[id.0 as usize].name = "third.weight".into();
    fails(&other, "only one of the models has a tensor");
}
