//! Models between models, beside f64.

use fewbit::deltas::{blend, mean};
use fewbit::graph::{Graph, Weight};
use fewbit::tensor::Tensor;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::models::*;

/// All bytes, of parts of encodings too.
fn bytes(graph: &Graph) -> Vec<Vec<u8>> {
    let of = |weight: &Weight| match weight {
        Weight::Dense(tensor) => vec![tensor.bytes().to_vec()],
        Weight::Encoded(encoded) => encoded.stored_parts().iter().map(|(_, part)| part.bytes().to_vec()).collect(),
    };
    graph.weights.values().flat_map(of).collect()
}

/// With a matrix in halves, and numbers that arithmetic would spoil.
fn three() -> [Graph; 3] {
    let mut rng = StdRng::seed_from_u64(11);
    let base = dense_layers(&mut rng);
    let mut graphs = [0; 3].map(|_| tuned(&base, 0.1, &mut rng));
    for (i, graph) in graphs.iter_mut().enumerate() {
        let id = graph.find("second.weight").unwrap();
        let Weight::Dense(matrix) = &graph.weights[&id] else { panic!() };
        let encoded = halves(matrix);
        graph.weights.insert(id, encoded);
        let id = graph.find("first.bias").unwrap();
        let Weight::Dense(bias) = graph.weights.get_mut(&id).unwrap() else { panic!() };
        let odd = [[-0.0, f32::INFINITY, f32::NAN, 1e-42], [0.0, -1.0, f32::NEG_INFINITY, f32::NAN], [1.0; 4]][i];
        bias.slice_mut::<f32>().unwrap()[..4].copy_from_slice(&odd);
    }
    graphs
}

#[test]
fn the_ends_are_the_models_to_the_bit() {
    let [one, two, _] = three();
    assert_eq!(bytes(&blend(&one, &two, 0.0).unwrap()), bytes(&one));
    assert_eq!(bytes(&blend(&one, &two, 1.0).unwrap()), bytes(&two));
    assert_eq!(bytes(&mean(&[&two]).unwrap()), bytes(&two));
    assert_eq!(bytes(&blend(&one, &one, 0.3).unwrap()), bytes(&one));
    assert_eq!(bytes(&mean(&[&one, &one, &one]).unwrap()), bytes(&one));
}

#[test]
fn means_and_lines_are_those_of_f64() {
    let [one, two, three] = three();
    let check = |found: &Graph, terms: &[(&Graph, f64)]| {
        for name in ["first.weight", "first.bias", "second.weight"] {
            let values: Vec<Vec<f64>> = terms.iter().map(|(graph, _)| named(graph, name)).collect();
            for (i, found) in named(found, name).iter().enumerate().skip(4) {
                let expected: f64 = values.iter().zip(terms).map(|(values, (_, factor))| factor * values[i]).sum();
                // Half a unit in the last place of an f32, or of a half.
                let rounding = if name == "second.weight" { 1.0 / 2048.0 } else { 1.0 / 16_777_216.0 };
                assert!(
                    (found - expected).abs() <= 1.0001 * rounding * expected.abs() + 3e-8,
                    "{name}: {found} for {expected}"
                );
            }
        }
    };
    for alpha in [0.3, 0.5, 1.7, -0.25] {
        check(&blend(&one, &two, alpha).unwrap(), &[(&one, 1.0 - alpha), (&two, alpha)]);
    }
    let third = 1.0 / 3.0;
    check(&mean(&[&one, &two, &three]).unwrap(), &[(&one, third), (&two, third), (&three, third)]);
}

#[test]
fn what_has_no_mean_is_refused() {
    let [one, two, _] = three();
    let fails = |other: &Graph, words: &str| {
        let error = blend(&one, other, 0.5).err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
    };
    let with = |name: &str, tensor: Tensor| {
        let mut graph = two.clone();
        graph.weights.insert(two.find(name).unwrap(), Weight::Dense(tensor));
        graph
    };
    fails(&with("index", Tensor::new([2], &[1i64, 3]).unwrap()), "`index`");
    fails(&with("first.bias", tensor(&[36], &[0.0; 36])), "`first.bias`");
    assert!(blend(&one, &two, f64::NAN).is_err());
    assert!(mean(&[]).is_err());
}
