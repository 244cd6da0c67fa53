//! Operators that move elements: the GPU equals the CPU, for elements of one and two words.
#![cfg(feature = "gpu")]

#[path = "gpu/harness.rs"]
#[allow(dead_code)]
mod harness;
#[path = "gpu/twin.rs"]
mod twin;

use fewbit::graph::Attr;
use fewbit::ops::next_token::Draw;
use fewbit::tensor::Tensor;
use harness::{In, tensor};
use twin::agree;

fn ints(values: &[i64]) -> In {
    In::Weight(Tensor::new([values.len()], values).unwrap())
}

/// The same shape as f32, i64 and u8.
fn each(shape: &[usize]) -> [Tensor; 3] {
    let len = shape.iter().product::<usize>();
    let long: Vec<i64> = (0..len as i64).map(|i| i * 0x1_0000_0001 - 77).collect();
    let byte: Vec<u8> = (0..len).map(|i| (i * 37 % 251) as u8).collect();
    [tensor(shape, 5), Tensor::new(shape, &long).unwrap(), Tensor::new(shape, &byte).unwrap()]
}

#[test]
fn transposes() {
    for (shape, perm) in [
        (&[2usize, 3, 5, 7][..], &[0i64, 2, 1, 3][..]),
        (&[2, 3, 17, 19], &[0, 2, 3, 1]),
        (&[33, 65], &[1, 0]),
        (&[1, 1], &[1, 0]),
        (&[3, 0, 2], &[2, 1, 0]),
        (&[2, 3, 4, 2, 3], &[4, 2, 0, 3, 1]),
        (&[], &[]),
    ] {
        for x in each(shape) {
            agree("Transpose", &[("perm", Attr::Ints(perm.to_vec()))], &[In::Run(x)], 1, 0.0);
        }
    }
}

#[test]
fn slices_and_repeats() {
    for x in each(&[4, 9, 6]) {
        let slice = [In::Run(x.clone()), ints(&[-1, 1]), ints(&[-100, 8]), ints(&[1, 2]), ints(&[-2, 3])];
        agree("Slice", &[], &slice, 1, 0.0);
        agree("Tile", &[], &[In::Run(x.clone()), ints(&[2, 1, 3])], 1, 0.0);
        agree("Expand", &[], &[In::Run(x.clone()), ints(&[5, 1, 1, 6])], 1, 0.0);
    }
    for x in each(&[3, 1]) {
        agree("Expand", &[], &[In::Run(x), ints(&[2, 3, 70])], 1, 0.0);
    }
}

#[test]
fn blocks_and_triangles() {
    for x in each(&[2, 8, 3, 5]) {
        for mode in ["DCR", "CRD"] {
            let attrs = [("blocksize", Attr::Int(2)), ("mode", Attr::String(mode.into()))];
            agree("DepthToSpace", &attrs, &[In::Run(x.clone())], 1, 0.0);
        }
        for (upper, k) in [(1, 0), (0, 0), (1, -2), (0, 1), (1, 100)] {
            let k = In::Weight(Tensor::scalar(k as i64));
            agree("Trilu", &[("upper", Attr::Int(upper))], &[In::Run(x.clone()), k], 1, 0.0);
        }
    }
    for x in each(&[2, 3, 4, 6]) {
        agree("SpaceToDepth", &[("blocksize", Attr::Int(2))], &[In::Run(x)], 1, 0.0);
    }
}

#[test]
fn joins_and_parts() {
    let axis = [("axis", Attr::Int(1))];
    for ((a, b), c) in each(&[2, 3, 5]).into_iter().zip(each(&[2, 0, 5])).zip(each(&[2, 7, 5])) {
        agree("Concat", &axis, &[In::Run(a), In::Weight(b), In::Run(c)], 1, 0.0);
    }
    for x in each(&[2, 10, 3]) {
        agree("Split", &axis, &[In::Run(x), ints(&[3, 0, 7])], 3, 0.0);
    }
}

#[test]
fn padding() {
    for x in each(&[2, 4, 5]) {
        for mode in ["constant", "edge", "wrap", "reflect"] {
            let attrs = [("mode", Attr::String(mode.into()))];
            let pads = ints(&[1, 2, -1, 0, 3, 3]);
            agree("Pad", &attrs, &[In::Run(x.clone()), pads, In::Absent], 1, 0.0);
        }
    }
    let fill = In::Weight(Tensor::scalar(2.5f32));
    agree("Pad", &[], &[In::Run(tensor(&[3, 4], 1)), ints(&[0, 1, 0, 1]), fill], 1, 0.0);
}

#[test]
fn gathers_and_scatters() {
    let rows = Tensor::new([2, 3], &[0i64, -1, 4, 2, -6, 5]).unwrap();
    let narrow = Tensor::new([3], &[1i32, -2, 0]).unwrap();
    for x in each(&[6, 4, 3]) {
        for indices in [In::Run(rows.clone()), In::Weight(rows.clone()), In::Run(narrow.clone())] {
            agree("Gather", &[], &[In::Run(x.clone()), indices], 1, 0.0);
        }
        agree("Gather", &[("axis", Attr::Int(-1))], &[In::Run(x), In::Run(narrow.clone())], 1, 0.0);
    }
    let places = Tensor::new([2, 2], &[3i64, -1, 0, 2]).unwrap();
    for (x, updates) in each(&[3, 4]).into_iter().zip(each(&[2, 2])) {
        let axis = [("axis", Attr::Int(1))];
        agree("GatherElements", &axis, &[In::Run(x.clone()), In::Run(places.clone())], 1, 0.0);
        agree("ScatterElements", &axis, &[In::Run(x), In::Run(places.clone()), In::Run(updates)], 1, 0.0);
    }
}

#[test]
fn tuples_name_slices() {
    let tuples = Tensor::new([2, 2, 2], &[0i64, -1, 1, 2, -2, 0, 1, 1]).unwrap();
    for (x, updates) in each(&[2, 3, 5]).into_iter().zip(each(&[2, 2, 5])) {
        agree("GatherND", &[], &[In::Run(x.clone()), In::Run(tuples.clone())], 1, 0.0);
        let batch = [("batch_dims", Attr::Int(1))];
        agree("GatherND", &batch, &[In::Run(x.clone()), In::Run(tuples.clone())], 1, 0.0);
        agree("ScatterND", &[], &[In::Run(x), In::Weight(tuples.clone()), In::Run(updates)], 1, 0.0);
    }
}

/// The lowest index of equals, wherever they lie; −1 for rows with a number that is not finite.
#[test]
fn next_tokens() {
    for width in [1, 3, 255, 256, 257, 5000] {
        let rows = 7;
        let mut logits = harness::random(rows * width, width as u64);
        for (row, logits) in logits.chunks_exact_mut(width).enumerate() {
            let equal = [width - 1, width / 2, width * row / rows];
            match row {
                0..=2 => equal.iter().for_each(|&i| logits[i] = 9.0),
                3 => logits.fill(f32::MIN),
                4 => logits[width - 1] = f32::INFINITY,
                5 => logits[width / 2] = f32::NAN,
                _ => logits[0] = f32::NEG_INFINITY,
            }
        }
        let x = Tensor::new([1, rows, width], &logits).unwrap();
        let found = twin::on_cpu("fewbit.NextToken", &twin::attrs(&[]), &[In::Run(x.clone())], 1);
        let found = found[0].slice::<i64>().unwrap();
        assert_eq!((found[0], found[3]), (0, 0));
        assert_eq!(found[1], (width / 7) as i64);
        assert_eq!(found[4..], [-1; 3]);
        agree("fewbit.NextToken", &[], &[In::Run(x)], 1, 0.0);
    }
}

/// Far from the borders between tokens; equals stay together.
#[test]
fn drawn_tokens() {
    for width in [1, 3, 255, 257, 5000] {
        let rows = 4;
        let mut logits: Vec<f32> = harness::random(rows * width, width as u64).iter().map(|v| 4.0 * v).collect();
        logits[width - 1] = logits[0];
        logits[3 * width] = f32::NAN;
        let x = Tensor::new([1, rows, width], &logits).unwrap();
        for (top_k, top_p, min_p) in
            [(0, 1.0, 0.0), (7, 1.0, 0.0), (9000, 0.9, 0.0), (0, 0.3, 0.0), (0, 1.0, 0.2), (40, 0.7, 0.05)]
        {
            for uniform in [0.0, 0.2137, 0.6841, 0.99] {
                let draw = Draw { inverse_temperature: 1.3, top_k, top_p, min_p, uniform }.tensor().unwrap();
                let found = twin::on_cpu(
                    "fewbit.DrawToken",
                    &twin::attrs(&[]),
                    &[In::Run(x.clone()), In::Run(draw.clone())],
                    1,
                );
                assert_eq!(found[0].slice::<i64>().unwrap()[3], -1);
                agree("fewbit.DrawToken", &[], &[In::Run(x.clone()), In::Run(draw)], 1, 0.0);
            }
        }
    }
}

#[test]
fn marks_and_ranks() {
    let indices = Tensor::new([2, 3], &[0i64, -1, 4, 9, -9, 2]).unwrap();
    let depth = In::Weight(Tensor::scalar(5i64));
    for values in each(&[2]) {
        for axis in [-1, 1] {
            let inputs = [In::Run(indices.clone()), depth.clone(), In::Run(values.clone())];
            agree("OneHot", &[("axis", Attr::Int(axis))], &inputs, 1, 0.0);
        }
    }
    let mut data = harness::random(2 * 9 * 4, 8);
    (data[3], data[11], data[40], data[44]) = (-0.0, 0.0, f32::INFINITY, data[48]);
    let x = Tensor::new([2, 9, 4], &data).unwrap();
    for (axis, k) in [(1, 4i64), (-1, 4), (0, 1)] {
        for largest in [0, 1] {
            let attrs = [("axis", Attr::Int(axis)), ("largest", Attr::Int(largest))];
            agree("TopK", &attrs, &[In::Run(x.clone()), In::Weight(Tensor::scalar(k))], 2, 0.0);
        }
    }
}

/// Heads before or behind tokens, angles by token or by place, all of a head or a part of it.
#[test]
fn rotary_embedding() {
    let angles = |rows: &[usize]| [In::Run(tensor(rows, 11)), In::Run(tensor(rows, 12))];
    for (x, heads) in [(&[2usize, 5, 9, 14][..], 5i64), (&[2, 9, 70], 5), (&[1, 33, 14], 1), (&[1, 3, 0, 14], 3)] {
        let [batch, tokens] = if x.len() == 4 { [x[0], x[2]] } else { [x[0], x[1]] };
        for (turned, adjoining) in [(14usize, 0i64), (14, 1), (6, 0), (6, 1)] {
            let options = [
                ("num_heads", Attr::Int(heads)),
                ("rotary_embedding_dim", Attr::Int(if turned == 14 { 0 } else { turned as i64 })),
                ("interleaved", Attr::Int(adjoining)),
            ];
            let x = In::Run(tensor(x, 13));
            let [cos, sin] = angles(&[batch, tokens, turned / 2]);
            if tokens > 0 {
                agree("RotaryEmbedding", &options, &[x.clone(), cos, sin], 1, 3e-6);
            }
            let places: Vec<i64> = (0..batch * tokens).map(|i| (i * 7 % 31) as i64).collect();
            let places = In::Run(Tensor::new([batch, tokens], &places).unwrap());
            let [cos, sin] = angles(&[31, turned / 2]);
            agree("RotaryEmbedding", &options, &[x, cos, sin, places], 1, 3e-6);
        }
    }
}
