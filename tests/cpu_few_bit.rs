//! Products with few-bit weights on every instruction set: the shared cases, and sizes around the kernels' steps. Outputs
//! start as NaN.
#![allow(clippy::unwrap_used)]

mod ops;

use std::sync::Arc;

use fewbit::cpu::Threads;
use fewbit::cpu::simd::Level;
use fewbit::graph::Attr;
use fewbit::tensor::Tensor;
use fewbit::weights::{Blocks, Encoded, HalfFloat};
use half::f16;
use ops::direct::COUNTS;
use ops::encodings::{affine, blocks, halves, palette, sparse_rows};
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

/// Rows that are empty, full and in between, around the kernels' steps, with values in half precision and in codes.
#[test]
fn sparse() {
    let sizes = [(1, 1), (3, 31), (5, 64), (16, 65), (17, 127), (33, 128), (40, 200), (9, 1030), (70, 520)];
    for (i, (n, k)) in sizes.into_iter().enumerate() {
        for shares in [&[4][..], &[0, 16, 8, 1, 15], &[0], &[16]] {
            let seed = (i + shares.len()) as u64;
            for m in [1, 2, 4, 5, 8, 9, 65] {
                check(&sparse_rows([n, k], shares, seed, |width| halves(n, width, seed)), m, COUNTS);
            }
            for m in [1, 3, 65] {
                check(&sparse_rows([n, k], shares, seed, |width| affine(n, width, 8, 32, true, seed)), m, COUNTS);
                check(&sparse_rows([n, k], shares, seed, |width| palette(n, width, 4, n, true, seed)), m, COUNTS);
            }
        }
    }
}

/// Blocks of one row and of several, of columns around whole vectors and beyond the weight's; none of them and all.
#[test]
fn block_sparse() {
    for (i, (n, k)) in [(1, 1), (5, 64), (17, 130), (33, 300), (70, 1030)].into_iter().enumerate() {
        for (size, count) in [([1, 16], 3), ([16, 16], 2), ([4, 4], 1000), ([3, 5], 7), ([2, 33], 0), ([100, 2000], 1)]
        {
            let seed = i as u64;
            for m in [1, 3, 16, 17] {
                check(&blocks([n, k], size, count, seed, |width| halves(n, width, seed)), m, COUNTS);
                check(&blocks([n, k], size, count, seed, |width| affine(n, width, 4, 32, true, seed)), m, COUNTS);
            }
        }
    }
}

/// What a block-sparse weight stands for, and stored forms that are none.
#[test]
fn blocks_decode_to_their_places() {
    let values =
        Tensor::new([3, 4], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0].map(f16::from_f32));
    let values: Arc<Encoded> = Arc::new(HalfFloat::new(vec![3, 4], values.unwrap()).unwrap().into());
    let index = |of: &[u16]| Tensor::new([2, of.len() / 2], of).unwrap();
    let blocks = |size, of: &[u16]| Blocks::new(vec![3, 5], size, index(of), values.clone());
    let weight = Encoded::from(blocks([2, 2], &[0, 2, 1, 2]).unwrap());
    let dense = weight.to_dense().unwrap().to_f32().unwrap();
    assert_eq!(dense, [1.0, 2.0, 0.0, 0.0, 3.0, 5.0, 6.0, 0.0, 0.0, 7.0, 0.0, 0.0, 9.0, 10.0, 11.0]);
    for (size, of, says) in [
        ([2, 2], &[0, 3, 1, 2][..], "beyond 5 columns"),
        ([2, 2], &[2, 0, 1, 2], "does not ascend"),
        ([2, 2], &[1, 1, 1, 2], "does not ascend"),
        ([2, 2], &[0, 1], "index"),
        ([1, 2], &[0, 1, 0, 1], "index"),
        ([2, 3], &[0, 1], "no blocks"),
        ([0, 2], &[0, 1, 0, 1], "1 to 65535"),
        ([2, 1 << 20], &[0, 1, 0, 1], "1 to 65535"),
    ] {
        let error = blocks(size, of).err().map(|e| e.to_string()).unwrap();
        assert!(error.contains(says), "{error}");
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
