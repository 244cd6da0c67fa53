//! How much memory a native run on the CPU takes: few-bit weights stay few-bit. From opening the file to the outputs, the
//! heap holds the weights as the file packs them, the activations, and at most a tenth of the weights more.

#[path = "hostile/heap.rs"]
mod heap;

use fewbit::graph::{Attr, Attrs, Dim, Graph, Model, ValueId, Weight};
use fewbit::runtime::{Device, Session};
use fewbit::tensor::{DType, Tensor, TensorType};
use fewbit::weights::{Affine, Encoded, Palette, Zero};

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

/// Channels of every layer: 4 Mi weights each, 16 MiB as f32.
const WIDE: usize = 2048;
/// Convolutions, and as many linear layers: 256 MiB as f32. Buffers of the kernels take about a MiB, whatever the weights.
const LAYERS: u32 = 8;
/// Pixels along each side of the image.
const SIDE: usize = 8;

fn codes(bits: usize, seed: u32) -> Tensor {
    let mut state = seed;
    let bytes: Vec<u8> = (0..WIDE * WIDE * bits / 8)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    Tensor::from_bytes(TensorType::new(DType::U8, vec![WIDE, WIDE * bits / 8]), &bytes).unwrap()
}

/// One table for the tensor, a factor per row.
fn palette(shape: &[usize], bits: usize, seed: u32) -> Encoded {
    let table: Vec<f32> = (0..1 << bits).map(|i| (i as f32 + 0.5) / (1 << bits) as f32 - 0.5).collect();
    let table = Tensor::new([1, 1 << bits], &table).unwrap();
    let scale = Tensor::new([WIDE], &[1.0f32 / 16.0; WIDE]).unwrap();
    Palette::new(shape.to_vec(), bits as u32, WIDE, codes(bits, seed), table, Some(scale)).unwrap().into()
}

fn affine(shape: &[usize], bits: usize, seed: u32) -> Encoded {
    let groups = WIDE / 64;
    let scales = Tensor::new([WIDE, groups], &vec![half::f16::from_f32(1.0 / 256.0); WIDE * groups]).unwrap();
    Affine::new(shape.to_vec(), bits as u32, 64, codes(bits, seed), scales, Zero::Middle).unwrap().into()
}

/// 1×1 convolutions, the mean over the image, linear layers.
fn model(weight: fn(&[usize], usize, u32) -> Encoded, bits: usize) -> Model {
    let mut graph = Graph::default();
    let dims = [1, WIDE, SIDE, SIDE].map(Dim::Known).to_vec();
    let mut value = graph.add_input("x", DType::F32, dims);
    let add = |graph: &mut Graph, shape: &[usize], op: &str, value: ValueId, seed: u32| {
        let weight = Weight::Encoded(std::sync::Arc::new(weight(shape, bits, seed)));
        let weight = graph.add_weight(format!("weight{seed}"), weight);
        let mut attrs = Attrs::default();
        if op == "fewbit.Linear" {
            attrs.set("transposed", Attr::Int(1));
        }
        graph.add_node(op, &format!("y{seed}"), &[value, weight], attrs)
    };
    for seed in 0..LAYERS {
        value = add(&mut graph, &[WIDE, WIDE, 1, 1], "Conv", value, seed);
    }
    value = graph.add_node("GlobalAveragePool", "mean", &[value], Attrs::default());
    value = graph.add_node("Flatten", "flat", &[value], Attrs::default());
    for seed in LAYERS..2 * LAYERS {
        value = add(&mut graph, &[WIDE, WIDE], "fewbit.Linear", value, seed);
    }
    graph.outputs.push(value);
    Model { graph, ..Model::default() }
}

/// One test, because the count is of the whole process.
#[test]
fn a_run_keeps_few_bit_weights_few_bit() {
    let pixels: Vec<f32> = (0..WIDE * SIDE * SIDE).map(|i| (i * 31 % 101) as f32 / 50.0 - 1.0).collect();
    let x = Tensor::new([1, WIDE, SIDE, SIDE], &pixels).unwrap();
    let path = std::env::temp_dir().join(format!("fewbit-peak-{}.fewbit", std::process::id()));
    let mut broken = Vec::new();
    for (name, weight, bits) in [
        ("palette:4:scale", palette as fn(&[usize], usize, u32) -> Encoded, 4),
        ("palette:2:scale", palette, 2),
        ("affine:4:group=64:sym", affine, 4),
        ("affine:3:group=64:sym", affine, 3),
    ] {
        model(weight, bits).save(&path).unwrap();
        for threads in [1, 2] {
            let device = Device::cpu(threads).unwrap();
            let ((packed, activations, y), peak) = heap::peak(|| {
                let model = Model::open(&path).unwrap();
                let packed: usize = model.graph.weights.values().map(Weight::bytes).sum();
                let mut session = Session::new(&model, &device).unwrap();
                let y = session.run(&[("x", &x)]).unwrap().remove(0).1;
                let report = session.report().unwrap();
                assert_eq!(report.decoded, [""; 0]);
                (packed, report.arena_bytes + y.bytes().len(), y)
            });
            assert!(y.to_f32().unwrap().iter().any(|v| *v != 0.0), "{name}");
            let allowed = packed + activations + packed / 10;
            println!("{name}, {threads} threads: packed {packed}, activations {activations}, peak {peak}");
            if peak > allowed {
                broken.push(format!("{name}, {threads} threads: {peak} bytes of {allowed}"));
            }
        }
    }
    std::fs::remove_file(&path).unwrap();
    assert!(broken.is_empty(), "{broken:#?}");
}
