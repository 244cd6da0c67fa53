//! MatMul with numpy's broadcasting, and Gemm.

use super::*;

const SHAPES: &[(&[usize], &[usize])] = &[
    (&[3], &[3]),
    (&[3, 4], &[4]),
    (&[4], &[4, 5]),
    (&[33, 17], &[17, 65]),
    (&[2, 1, 9, 8], &[3, 8, 7]),
    (&[6, 5, 4], &[4, 11]),
    (&[5, 4], &[7, 4, 3]),
    (&[0, 4], &[4, 3]),
    (&[2, 3, 0], &[2, 0, 3]),
    (&[2, 300, 20], &[2, 20, 40]),
];

fn matmul_case(seed: u64, a_shape: &[usize], b_shape: &[usize]) -> Case {
    let mut random = Random::new(seed);
    let (a, b) = (random.tensor(a_shape), random.tensor(b_shape));
    let (wa, wb) = (wide(&a), wide(&b));
    let (m, k) = (if a_shape.len() > 1 { a_shape[a_shape.len() - 2] } else { 1 }, a_shape[a_shape.len() - 1]);
    let n = if b_shape.len() > 1 { b_shape[b_shape.len() - 1] } else { 1 };
    let batch = |s: &[usize]| s[..s.len().saturating_sub(2)].to_vec();
    let (ba, bb) = (batch(a_shape), batch(b_shape));
    let out = fewbit::tensor::broadcast(&[&ba, &bb]).unwrap();
    let (sa, sb) = (fewbit::tensor::broadcast_strides(&ba, &out), fewbit::tensor::broadcast_strides(&bb, &out));
    let mut expected = Vec::new();
    for i in 0..out.iter().product() {
        let (mut rest, mut ia, mut ib) = (i, 0, 0);
        for axis in (0..out.len()).rev() {
            ia += rest % out[axis] * sa[axis];
            ib += rest % out[axis] * sb[axis];
            rest /= out[axis];
        }
        let (wa, wb) = (&wa[ia * m * k..], &wb[ib * k * n..]);
        for (row, col) in (0..m * n).map(|j| (j / n, j % n)) {
            expected.push((0..k).map(|l| wa[row * k + l] * wb[l * n + col]).sum());
        }
    }
    Case {
        name: format!("matmul {a_shape:?} {b_shape:?}"),
        op: "MatMul",
        attrs: Attrs::default(),
        inputs: vec![dense(&a), dense(&b)],
        expected,
    }
}

pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = SHAPES.iter().enumerate().map(|(i, (a, b))| matmul_case(i as u64, a, b)).collect();
    for (ta, tb) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        for c_shape in [None, Some(vec![]), Some(vec![23]), Some(vec![19, 1]), Some(vec![19, 23])] {
            cases.push(gemm_case(ta, tb, c_shape));
        }
    }
    cases
}

fn gemm_case(ta: i64, tb: i64, c_shape: Option<Vec<usize>>) -> Case {
    let (m, k, n) = (19, 30, 23);
    let mut random = Random::new(5);
    let a = random.tensor(&if ta == 1 { [k, m] } else { [m, k] });
    let b = random.tensor(&if tb == 1 { [n, k] } else { [k, n] });
    let c = c_shape.as_ref().map(|s| random.tensor(s));
    let (wa, wb) = (wide(&a), wide(&b));
    let wc = c.as_ref().map(wide);
    let mut expected = Vec::new();
    for (i, j) in (0..m * n).map(|i| (i / n, i % n)) {
        let at = |l: usize| if ta == 1 { wa[l * m + i] } else { wa[i * k + l] };
        let bt = |l: usize| if tb == 1 { wb[j * k + l] } else { wb[l * n + j] };
        let sum: f64 = (0..k).map(|l| at(l) * bt(l)).sum();
        let c = match (&wc, c_shape.as_deref()) {
            (Some(c), Some([])) => c[0],
            (Some(c), Some([_])) => c[j],
            (Some(c), Some([_, 1])) => c[i],
            (Some(c), _) => c[i * n + j],
            (None, _) => 0.0,
        };
        expected.push(0.5 * sum + 2.0 * c);
    }
    let attrs = attrs(&[
        ("transA", Attr::Int(ta)),
        ("transB", Attr::Int(tb)),
        ("alpha", Attr::Float(0.5)),
        ("beta", Attr::Float(2.0)),
    ]);
    let inputs = vec![dense(&a), dense(&b), c.as_ref().and_then(dense)];
    Case { name: format!("gemm {ta} {tb} {c_shape:?}"), op: "Gemm", attrs, inputs, expected }
}
