//! Products of 8-bit integers with zero points.

use super::*;

/// Shapes of A and B.
const SHAPES: &[(&[usize], &[usize])] =
    &[(&[1, 1], &[1, 1]), (&[13, 7], &[7, 33]), (&[2, 5, 64], &[64, 40]), (&[3, 4, 9], &[3, 9, 5]), (&[4, 0], &[0, 3])];

fn bytes(random: &mut Random, shape: &[usize], signed: bool) -> (Tensor, Vec<f64>) {
    let values: Vec<u8> = (0..shape.iter().product()).map(|_| random.below(256) as u8).collect();
    if signed {
        let values: Vec<i8> = values.into_iter().map(|v| v as i8).collect();
        (Tensor::new(shape, &values).unwrap(), values.into_iter().map(f64::from).collect())
    } else {
        (Tensor::new(shape, &values).unwrap(), values.into_iter().map(f64::from).collect())
    }
}

pub fn matmul_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (seed, &(a_shape, b_shape)) in SHAPES.iter().enumerate() {
        for (signed_a, signed_b, zeros) in
            [(false, true, "one"), (true, true, "none"), (false, false, "many"), (true, false, "one")]
        {
            let mut random = Random::new(seed as u64);
            let (m, k) = (a_shape[a_shape.len() - 2], a_shape[a_shape.len() - 1]);
            let n = b_shape[b_shape.len() - 1];
            let (a, wa) = bytes(&mut random, a_shape, signed_a);
            let (b, wb) = bytes(&mut random, b_shape, signed_b);
            let shape = |size: usize| if zeros == "many" { vec![size] } else { vec![] };
            let (a_zero, za) = bytes(&mut random, &shape(m), signed_a);
            let (b_zero, zb) = bytes(&mut random, &shape(n), signed_b);
            let at = |z: &[f64], i: usize| if zeros == "none" { 0.0 } else { z[i % z.len()] };
            let batches: usize = a_shape[..a_shape.len() - 2].iter().product();
            let mut expected = Vec::new();
            for (i, row, col) in (0..batches * m * n).map(|i| (i / (m * n), i / n % m, i % n)) {
                let b_start = if b_shape.len() > 2 { i * k * n } else { 0 };
                let term =
                    |l: usize| (wa[(i * m + row) * k + l] - at(&za, row)) * (wb[b_start + l * n + col] - at(&zb, col));
                expected.push((0..k).map(term).sum());
            }
            let mut inputs = vec![dense(&a), dense(&b)];
            if zeros != "none" {
                inputs.extend([dense(&a_zero), dense(&b_zero)]);
            }
            cases.push(Case {
                name: format!("matmul_integer {a_shape:?} {b_shape:?} {signed_a} {signed_b} {zeros}"),
                op: "MatMulInteger",
                attrs: Attrs::default(),
                inputs,
                expected,
            });
        }
    }
    cases
}
