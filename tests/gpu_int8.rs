//! Activations of 8 bits on the GPU: every encoding that has bytes, against decode-then-multiply in f64.
#![cfg(feature = "gpu")]
#![allow(clippy::unwrap_used)]

#[path = "gpu/harness.rs"]
#[allow(dead_code)]
mod harness;
mod ops;

use fewbit::gpu::program::Placement;
use fewbit::graph::Attr;
use fewbit::tensor::{DType, Tensor, TensorType};
use fewbit::weights::Encoded;
use harness::In;
use ops::Random;
use ops::few_bit::{Reference, integers, palettes};

/// Largest relative error of a whole product, as Euclidean lengths.
const TOLERANCE: f64 = 1e-2;

/// Whether the kernels can take it: one table of values, or integers, with a scale for whole blocks of 32.
fn has_bytes(weight: &Encoded) -> bool {
    let (rows, cols) = (weight.rows(), weight.cols());
    let blocks = |group: usize| group >= cols || (group.is_power_of_two() && group >= 32);
    match weight {
        Encoded::Palette(w) => {
            w.dim() == 1 && w.rows_per_table() >= rows && w.scale().is_none_or(|scale| blocks(scale.group))
        }
        Encoded::Affine(w) => blocks(w.group()),
        Encoded::KQuant(w) => blocks(w.group()),
        Encoded::Dual(w) => blocks(w.group()),
        _ => false,
    }
}

/// Runs a product with kernels of the last variant, which are those of 8 bits where there are any.
fn run(weight: &Encoded, x: &Tensor) -> (Vec<f32>, Vec<&'static str>) {
    let attrs = ops::attrs(&[("transposed", Attr::Int(1)), ("activations", Attr::String("int8".into()))]);
    let inputs = [In::Run(x.clone()), In::Encoded(weight.clone().into())];
    let output = TensorType::new(DType::F32, vec![x.shape()[0], weight.rows()]);
    let (mut program, given) = harness::node_program("fewbit.Linear", attrs, &inputs, &[output]);
    let Placement::Gpu(shaders) = program.placement()[0].clone() else { panic!("{:?}", program.placement()) };
    let outputs = pollster::block_on(program.run(&given.iter().collect::<Vec<_>>())).unwrap();
    (outputs[0].to_f32().unwrap(), shaders)
}

fn check(weight: &Encoded, m: usize) {
    let x = Random::new((m + weight.cols()) as u64).tensor(&[m, weight.cols()]);
    let reference = Reference::new(&x.to_f32().unwrap(), weight);
    let (got, shaders) = run(weight, &x);
    let name = format!("{} {m}×{}×{}", weight.as_encoding().name(), weight.cols(), weight.rows());
    let kernel = if m <= 8 { "matvec_int8" } else { "gemm_int8" };
    assert!(shaders[0] == "quantize_blocks" && shaders[1].starts_with(kernel), "{name}: {shaders:?}");
    let (mut error, mut size) = (0.0, 0.0);
    for (i, ((&got, want), bound)) in got.iter().zip(&reference.product).zip(&reference.rounded).enumerate() {
        let off = (f64::from(got) - want).abs();
        assert!(off <= *bound, "{name}: element {i} is {got}, expected {want}, off by {off:.1e}, not {bound:.1e}");
        error += off * off;
        size += want * want;
    }
    assert!(error.sqrt() <= TOLERANCE * size.sqrt(), "{name}: relative error {:.1e}", (error / size).sqrt());
}

/// One test, because trials are the device's.
#[test]
fn products_with_bytes() {
    let choices = harness::device();
    choices.choices().set_trial(Some(usize::MAX));
    let mut checked = std::collections::BTreeSet::new();
    for (n, k) in [(67, 352), (37, 75)] {
        for weight in palettes(n, k).into_iter().chain(integers(n, k)).filter(has_bytes) {
            // Kernels for one row and for many meet every kind of code, scale and zero point.
            let kind = match &weight {
                Encoded::Palette(w) => format!("palette {} {}", w.bits(), w.scale().is_some()),
                Encoded::Affine(w) => format!(
                    "affine {} {}",
                    w.bits(),
                    std::mem::discriminant(w.zero()) == std::mem::discriminant(&fewbit::weights::Zero::Middle)
                ),
                other => other.as_encoding().name(),
            };
            if checked.insert(format!("{kind} {k}")) {
                check(&weight, 1);
                check(&weight, 33);
                if kind.contains('4') {
                    check(&weight, 3);
                }
            }
        }
    }
    assert!(checked.len() >= 2 * (6 * 2 + 6 * 2 + 2), "{checked:?}");
    values_that_are_not_finite_show();
    choices.choices().set_trial(None);
}

/// A block with NaN or infinity gives NaN, not a number that looks right.
fn values_that_are_not_finite_show() {
    let weight = ops::encodings::affine(40, 96, 4, 32, true, 1);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = Random::new(5).values(2 * 96);
        x[100] = bad;
        let (got, _) = run(&weight, &Tensor::new([2, 96], &x).unwrap());
        assert!(got[..40].iter().all(|v| v.is_finite()) && got[40..].iter().all(|v| v.is_nan()), "{bad}: {got:?}");
    }
}
