//! Pooling and Resize: the GPU equals the CPU.
#![cfg(feature = "gpu")]

#[path = "gpu/harness.rs"]
#[allow(dead_code)]
mod harness;
#[path = "gpu/twin.rs"]
mod twin;

use fewbit::graph::Attr;
use fewbit::tensor::Tensor;
use harness::{In, tensor};
use twin::agree;

#[test]
fn pools() {
    for op in ["MaxPool", "AveragePool", "LpPool"] {
        for (shape, kernel, stride, pads, ceil) in [
            (&[2usize, 3, 9, 11][..], &[3i64, 3][..], &[2i64, 2][..], &[1i64, 1, 1, 1][..], 0),
            (&[1, 5, 7, 4], &[2, 3], &[3, 1], &[0, 1, 1, 0], 1),
            (&[2, 2, 13], &[4], &[3], &[0, 2], 1),
            (&[1, 2, 5, 4, 6], &[2, 3, 2], &[1, 2, 2], &[1, 0, 1, 0, 1, 0], 0),
        ] {
            for padded in [0, 1] {
                let attrs = [
                    ("kernel_shape", Attr::Ints(kernel.to_vec())),
                    ("strides", Attr::Ints(stride.to_vec())),
                    ("pads", Attr::Ints(pads.to_vec())),
                    ("ceil_mode", Attr::Int(ceil)),
                    ("count_include_pad", Attr::Int(padded)),
                ];
                agree(op, &attrs, &[In::Run(tensor(shape, 3))], 1, 1e-5);
            }
        }
    }
}

#[test]
fn whole_planes() {
    for op in ["GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool"] {
        for shape in [&[2usize, 3, 7, 7][..], &[1, 5, 1, 1], &[3, 2, 300]] {
            agree(op, &[], &[In::Run(tensor(shape, 9))], 1, 1e-5);
        }
    }
}

#[test]
fn resizes() {
    for mode in ["nearest", "linear", "cubic"] {
        for coordinate in ["half_pixel", "align_corners", "asymmetric"] {
            for scale in [[1.0f32, 1.0, 2.0, 2.0], [1.0, 1.0, 0.6, 1.7], [1.0; 4]] {
                for antialias in [0, i64::from(mode != "nearest")] {
                    let attrs = [
                        ("mode", Attr::String(mode.into())),
                        ("coordinate_transformation_mode", Attr::String(coordinate.into())),
                        ("antialias", Attr::Int(antialias)),
                    ];
                    let scales = In::Weight(Tensor::new([4], &scale).unwrap());
                    let inputs = [In::Run(tensor(&[2, 3, 7, 10], 4)), In::Absent, scales];
                    agree("Resize", &attrs, &inputs, 1, 1e-5);
                }
            }
        }
    }
}
