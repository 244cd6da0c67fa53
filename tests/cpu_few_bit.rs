//! Products with few-bit weights on every instruction set: the shared cases, and sizes around the kernels' steps. Outputs
//! start as NaN.
#![allow(clippy::unwrap_used)]

mod ops;

use fewbit::cpu::Threads;
use fewbit::cpu::simd::Level;
use fewbit::graph::Attr;
use fewbit::tensor::Tensor;
use fewbit::weights::HalfFloat;
use half::f16;
use ops::direct::COUNTS;
use ops::encodings::{affine, palette};
use ops::few_bit::{Reference, check, integers, palettes};
use ops::{Case, Random, attrs, dense, encoded};

#[test]
fn every_encoding() {
    for (n, k) in [(37, 33), (50, 1100)] {
        for weight in palettes(n, k).into_iter().chain(integers(n, k)) {
            for m in [1, 3, 4, 17] {
                check(&weight, m, COUNTS);
            }
        }
    }
}

/// Around units, steps and blocks of every width of code.
#[test]
fn sizes_around_the_steps() {
    for k in [1, 4, 7, 8, 15, 16, 31, 32, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 512, 513, 1024, 1536, 2560] {
        for (i, n) in [1, 2, 15, 16, 17, 33].into_iter().enumerate() {
            for bits in [1, 2, 3, 4, 6] {
                let weight = palette(n, k, bits, n, true, i as u64);
                check(&weight, [1, 2, 5, 8, 65][(i + bits as usize) % 5], COUNTS);
            }
            for bits in [2, 3, 4, 5, 6, 8] {
                let weight = affine(n, k, bits, 32, true, i as u64);
                check(&weight, [1, 2, 5, 8, 65][(i + bits as usize) % 5], COUNTS);
            }
        }
    }
}

/// Weights in half precision: rows of x around tiles, columns around vectors, rows of the weight around blocks.
#[test]
fn half_precision() {
    for (n, k) in [(1, 1usize), (3, 15), (4, 16), (5, 31), (31, 32), (33, 33), (37, 64), (65, 97), (130, 1030)] {
        let padded = k.next_multiple_of(2);
        let values: Vec<f16> = Random::new(k as u64).values(n * padded).into_iter().map(f16::from_f32).collect();
        let values = Tensor::new([n, padded], &values).unwrap();
        let weight = HalfFloat::new(vec![n, k], values).unwrap().into();
        for m in [1, 2, 3, 4, 5, 7, 8, 9, 16, 17] {
            check(&weight, m, COUNTS);
        }
    }
}

/// Activations of 8 bits are used where asked for, and nowhere else: the results differ by the rounding, which is below
/// 1 % of the outputs.
#[test]
fn int8_activations() {
    let (m, n, k) = (3, 40, 1024);
    let x = Random::new(5).tensor(&[m, k]);
    for weight in [affine(n, k, 4, 32, true, 1), palette(n, k, 3, n, true, 2), affine(n, k, 8, k, true, 3)] {
        let reference = Reference::new(&x.to_f32().unwrap(), &weight);
        let case = |name: &str, value: &str| Case {
            name: weight.as_encoding().name(),
            op: "fewbit.Linear",
            attrs: attrs(&[("transposed", Attr::Int(1)), (name, Attr::String(value.into()))]),
            inputs: vec![dense(&x), encoded(weight.clone())],
            expected: vec![],
        };
        let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
        for level in Level::available() {
            let threads = Threads::single().with_level(level).unwrap();
            let error = |case: Case| {
                let got = ops::direct::run(&case, &threads, false);
                let mut errors = got.iter().zip(&reference.product).map(|(&got, want)| f64::from(got) - want);
                norm(&mut errors) / norm(&mut reference.product.iter().copied())
            };
            let (exact, rounded) = (error(case("other", "int8")), error(case("activations", "int8")));
            assert!(
                exact < 1e-6 && rounded < 1e-2,
                "{} on {}: {exact}, {rounded}",
                weight.as_encoding().name(),
                level.name()
            );
            if matches!(level, Level::Avx2 | Level::Avx512 | Level::Neon) {
                assert!(rounded > 1e-4, "{} on {}: {rounded}", weight.as_encoding().name(), level.name());
            }
        }
    }
}
