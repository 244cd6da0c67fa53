//! `fewbit.Linear`: ragged sizes, every encoding, every epilogue.

use super::*;

/// `(m, k, n)`.
const SIZES: &[(usize, usize, usize)] = &[
    (1, 1, 1),
    (1, 5, 7),
    (2, 64, 33),
    (3, 0, 5),
    (0, 8, 8),
    (4, 8, 0),
    (5, 31, 129),
    (13, 513, 47),
    (257, 40, 96),
    (500, 1030, 3),
    (1, 1000, 301),
    (7, 1537, 65),
    (1, 352, 46),
];

/// Of the kernels for one row, for few and for many, with rows of x at whole vectors and not: the five pipelines of an
/// encoding. A software adapter compiles each for half a second.
const FIVE: &[(usize, usize, usize)] = &[(1, 523, 37), (3, 301, 29), (6, 332, 37), (13, 523, 69), (75, 300, 37)];

fn reference(x: &[f64], w: &[f64], m: usize, k: usize, n: usize) -> Vec<f64> {
    let product = |i: usize, j: usize| (0..k).map(|l| x[i * k + l] * w[j * k + l]).sum();
    (0..m * n).map(|i| product(i / n, i % n)).collect()
}

/// Dense weights stored either way round.
pub fn dense_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (seed, &(m, k, n)) in SIZES.iter().enumerate() {
        let mut random = Random::new(seed as u64);
        let (x, w, bias) = (random.tensor(&[m, k]), random.tensor(&[n, k]), random.tensor(&[n]));
        let mut expected = reference(&wide(&x), &wide(&w), m, k, n);
        expected.iter_mut().enumerate().for_each(|(i, v)| *v += wide(&bias)[i % n]);
        let flat = w.to_f32().unwrap();
        let turned: Vec<f32> = (0..k * n).map(|i| flat[i % n * k + i / n]).collect();
        for (flag, w) in [(1, w), (0, Tensor::new([k, n], &turned).unwrap())] {
            cases.push(Case {
                name: format!("linear {m}×{k}×{n} transposed={flag}"),
                op: "fewbit.Linear",
                attrs: attrs(&[("transposed", Attr::Int(flag))]),
                inputs: vec![dense(&x), dense(&w), dense(&bias)],
                expected: expected.clone(),
            });
        }
    }
    cases
}

/// Every encoding on all of the sizes, without bias.
pub fn encoded_cases() -> Vec<Case> {
    cases_of(SIZES, encodings)
}

/// Every encoding and every form of it that kernels tell apart, on few sizes.
pub fn form_cases() -> Vec<Case> {
    cases_of(FIVE, |rows, cols, seed| [encodings(rows, cols, seed), rare_encodings(rows, cols, seed)].concat())
}

/// The encodings that only the CPU computes with.
pub fn odd_cases() -> Vec<Case> {
    cases_of(SIZES, odd_encodings)
}

fn cases_of(
    sizes: &[(usize, usize, usize)],
    encodings: impl Fn(usize, usize, u64) -> Vec<(String, Encoded)>,
) -> Vec<Case> {
    let mut cases = Vec::new();
    for (seed, &(m, k, n)) in sizes.iter().enumerate() {
        let mut random = Random::new(seed as u64 + 100);
        let x = random.tensor(&[m, k]);
        for (name, weight) in encodings(n, k, seed as u64) {
            let w = wide(&weight.to_dense().unwrap());
            cases.push(Case {
                name: format!("linear {m}×{k}×{n} {name}"),
                op: "fewbit.Linear",
                attrs: attrs(&[("transposed", Attr::Int(1))]),
                expected: reference(&wide(&x), &w, m, k, n),
                inputs: vec![dense(&x), encoded(weight)],
            });
        }
    }
    cases
}

/// One row and sparse weights, with a bias; more columns than kernels take at a time, and words of a mask that are not whole.
pub fn sparse_row_cases() -> Vec<Case> {
    let mut cases = cases_of(&[(1, 4, 3), (1, 1000, 301), (1, 4180, 70)], encodings::sparse_encodings);
    for (seed, case) in cases.iter_mut().enumerate() {
        let bias = Random::new(seed as u64 + 300).tensor(&[case.expected.len()]);
        case.expected.iter_mut().zip(wide(&bias)).for_each(|(sum, bias)| *sum += bias);
        case.inputs.push(dense(&bias));
    }
    cases
}

/// Every activation, with a residual on either side of it.
pub fn fused_cases() -> Vec<Case> {
    let (m, k, n) = (19, 37, 45);
    let mut random = Random::new(7);
    let (x, w, bias) = (random.tensor(&[m, k]), random.tensor(&[n, k]), random.tensor(&[n]));
    let residual = random.tensor(&[m, n]);
    let sums = reference(&wide(&x), &wide(&w), m, k, n);
    let (wide_bias, wide_residual) = (wide(&bias), wide(&residual));
    let mut cases = Vec::new();
    for (name, function) in activations() {
        for order in [None, Some("before"), Some("after")] {
            let mut attrs = attrs(&[("transposed", Attr::Int(1))]);
            activation_attrs(&mut attrs, name);
            let mut inputs = vec![dense(&x), dense(&w), dense(&bias)];
            if let Some(order) = order {
                attrs.set("fewbit.residual", Attr::String(order.into()));
                inputs.push(dense(&residual));
            }
            let value = |(i, sum): (usize, &f64)| {
                let (v, r) = (sum + wide_bias[i % n], wide_residual[i]);
                match order {
                    None => function(v),
                    Some("before") => function(v + r),
                    Some(_) => function(v) + r,
                }
            };
            let expected = sums.iter().enumerate().map(value).collect();
            cases.push(Case { name: format!("linear {name} {order:?}"), op: "fewbit.Linear", attrs, inputs, expected });
        }
    }
    cases
}
