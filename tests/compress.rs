//! Every encoding of the contract on layers of ragged sizes: what a run multiplies by is what the file stores, and what
//! is stored is near the weight it came from.

#![cfg(feature = "cli")]

#[path = "compress/onnx.rs"]
mod onnx;
#[path = "compress/pruning.rs"]
mod pruning;

use std::path::PathBuf;

use fewbit::compress::{Rules, Sample, compress};
use fewbit::graph::{Attr, Attrs, Dim, Graph, Model, ValueId, Weight};
use fewbit::runtime::{Device, Session};
use fewbit::tensor::{DType, Tensor};

/// Encodings, and the largest `‖W − Ŵ‖ / ‖W‖` of normal weights that is no mistake: the error of the best quantiser of so
/// many levels for normal numbers (Max 1960) and a quarter more.
const ENCODINGS: &[(&str, f64)] = &[
    ("f32", 0.0),
    ("f16", 1e-3),
    ("palette:1", 0.76),
    ("palette:2", 0.43),
    ("palette:3", 0.24),
    ("palette:4", 0.13),
    ("palette:6", 0.04),
    ("palette:8", 0.012),
    ("palette:4:rows=8", 0.13),
    ("palette:4:scale", 0.13),
    ("palette:3:group=32", 0.24),
    ("palette:4:dim=2", 0.43),
    ("palette:8:dim=4", 0.43),
    ("palette:8:dim=2:rows=16", 0.15),
    ("affine:2:group=32", 0.5),
    ("affine:3:group=64", 0.25),
    ("affine:4:group=32:sym", 0.13),
    ("affine:5:group=16", 0.06),
    ("affine:6:group=200", 0.04),
    ("affine:8:group=128", 0.02),
    ("nf4:group=64", 0.13),
    ("fp4:group=64", 0.15),
    ("mxfp4", 0.18),
    ("codebook:1x8:group=8", 0.76),
    ("codebook:2x8:group=8", 0.55),
    ("codebook:1x12:group=4", 0.3),
    ("dual:group=32", 0.13),
    ("sparse:2of4", 0.4),
    ("sparse:2of4+affine:4:group=32", 0.42),
    ("sparse:0.75", 0.6),
    ("sparse:0.5+palette:4", 0.35),
    ("sparse:0.5+nf4:group=32", 0.35),
    ("sparse:block=1x4:0.5", 0.6),
    ("sparse:block=2x4:0.5+affine:4:group=32", 0.66),
    ("lowrank:0.25", 0.95),
    ("lowrank:0.25+palette:8:scale", 0.95),
    ("auto:5", 0.13),
];

/// Rows and columns: smaller than a group or a word, odd, larger than a tile.
const SIZES: &[(usize, usize)] = &[(7, 5), (33, 100), (64, 129), (7, 129)];

/// Normal numbers (Irwin–Hall), the same on every run.
fn normal(count: usize) -> Vec<f32> {
    let mut state = count as u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..count).map(|_| (0..12).map(|_| next()).sum()).collect()
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fewbit-compress-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// The layer in an encoding, written and read again. `None` if the encoding says that it needs more bits than allowed.
fn encoded(folder: &Folder, gemm: bool, (rows, cols): (usize, usize), w: &[f32], encoding: &str) -> Option<Model> {
    let (source, target) = (folder.0.join("one.onnx"), folder.0.join("one.fewbit"));
    onnx::linear(&source, gemm, cols, rows, w);
    let mut model = Model::open(&source).unwrap();
    let rules = Rules::parse(&[encoding.to_string()], None, None).unwrap();
    match compress(&mut model, &rules, &[], &Device::cpu(1).unwrap(), |_| ()) {
        Err(error) if encoding.starts_with("auto") && error.to_string().contains("cannot be reached") => return None,
        done => done.unwrap(),
    };
    model.save(&target).unwrap();
    Some(Model::open(&target).unwrap())
}

/// The matrix `[rows, cols]` that input 1 of node `index` stores.
fn stored(model: &Model, index: usize) -> (usize, Vec<f32>) {
    let id: ValueId = model.graph.nodes[index].input(1).unwrap();
    let dense = match &model.graph.weights[&id] {
        Weight::Dense(tensor) => tensor.clone(),
        Weight::Encoded(encoded) => encoded.to_dense().unwrap(),
    };
    (dense.shape()[1], dense.to_f32().unwrap())
}

/// `W` as a run sees it: the columns of the output for the identity matrix.
fn multiplied(model: &Model, (rows, cols): (usize, usize)) -> Vec<f32> {
    let identity: Vec<f32> = (0..cols * cols).map(|i| f32::from(i % (cols + 1) == 0)).collect();
    let mut session = Session::new(model, &Device::cpu(1).unwrap()).unwrap();
    let outputs = session.run(&[("x", &Tensor::new([cols, cols], &identity).unwrap())]).unwrap();
    let y = outputs[0].1.to_f32().unwrap();
    (0..rows * cols).map(|i| y[i % cols * rows + i / cols]).collect()
}

fn check(gemm: bool) {
    let folder = Folder::new(if gemm { "gemm" } else { "matmul" });
    for &size in SIZES {
        let (rows, cols) = size;
        // What is expected is `[rows, cols]`; MatMul holds it transposed.
        let w = normal(rows * cols);
        let held = if gemm { w.clone() } else { (0..w.len()).map(|i| w[i % rows * cols + i / rows]).collect() };
        for &(encoding, limit) in ENCODINGS {
            let at = format!("{encoding} {rows}×{cols}");
            let Some(model) = encoded(&folder, gemm, size, &held, encoding) else { continue };
            let found = multiplied(&model, size);
            let nodes = model.graph.nodes.len();
            if nodes == 1 {
                assert_eq!(found, stored(&model, 0).1, "{at}");
            } else {
                let ((_, right), (rank, left)) = (stored(&model, 0), stored(&model, 1));
                for (i, found) in found.iter().enumerate() {
                    let (row, col) = (i / cols, i % cols);
                    let each = (0..rank).map(|k| f64::from(left[row * rank + k]) * f64::from(right[k * cols + col]));
                    assert!((each.sum::<f64>() - f64::from(*found)).abs() < 1e-5, "{at} [{row}, {col}]");
                }
            }
            let square = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>();
            let error = square(&mut w.iter().zip(&found).map(|(a, b)| a - b)) / square(&mut w.iter().copied());
            // Of a row of five, a quarter is a fifth.
            assert!(error.sqrt() <= limit || cols < 8, "{at}: error {:.4}", error.sqrt());
        }
    }
}

#[test]
fn a_matmul_multiplies_by_what_is_stored() {
    check(false);
}

#[test]
fn a_gemm_multiplies_by_what_is_stored() {
    check(true);
}

#[test]
fn files_are_as_large_as_their_weights() {
    let folder = Folder::new("bytes");
    let size = (640, 1024);
    let w = normal(size.0 * size.1);
    for (encoding, bits) in [
        ("palette:4", 4.0),
        ("palette:4:dim=2", 2.0),
        ("affine:3:group=64", 3.375),
        ("nf4:group=64", 4.25),
        ("mxfp4", 4.25),
        ("dual:group=128", 4.156),
        ("sparse:2of4", 9.0),
        // 0.3125 of f16.
        ("sparse:0.75", 5.0),
        ("sparse:0.75+affine:4:group=64", 2.094),
        ("sparse:block=1x16:0.75", 4.25),
        ("codebook:2x8:group=8", 2.15),
    ] {
        let model = encoded(&folder, true, size, &w, encoding).unwrap();
        let file = std::fs::metadata(folder.0.join("one.fewbit")).unwrap().len() as f64;
        let weights: usize = model.graph.weights.values().map(Weight::bytes).sum();
        assert!((file / weights as f64 - 1.0).abs() < 0.02, "{encoding}: {file} bytes for {weights}");
        let found = 8.0 * weights as f64 / w.len() as f64;
        assert!((found / bits - 1.0).abs() < 0.02, "{encoding}: {found} bits");
    }
}

/// The least `Σ (value − centre)²` of `k` centres, by a dynamic program over all last boundaries.
fn optimum(values: &[f32], k: usize) -> f64 {
    let mut sorted: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    let (mut sums, mut squares) = (vec![0f64; n + 1], vec![0f64; n + 1]);
    for (i, v) in sorted.iter().enumerate() {
        (sums[i + 1], squares[i + 1]) = (sums[i] + v, squares[i] + v * v);
    }
    let cost = |a: usize, b: usize| squares[b] - squares[a] - (sums[b] - sums[a]).powi(2) / (b - a) as f64;
    let mut best: Vec<f64> = (0..=n).map(|i| if i == 0 { 0.0 } else { cost(0, i) }).collect();
    for _ in 1..k {
        best = (0..=n).map(|i| (0..i).map(|j| best[j] + cost(j, i)).fold(best[i], f64::min)).collect();
    }
    best[n]
}

#[test]
fn palettes_are_within_a_hundredth_of_the_best() {
    let folder = Folder::new("palette");
    // Few enough values to be exact, and enough to be gathered first.
    for size in [(17, 33), (60, 100)] {
        let w: Vec<f32> = normal(size.0 * size.1).iter().map(|v| v * v * v).collect();
        for (bits, k) in [(1, 2), (2, 4), (3, 8)] {
            let model = encoded(&folder, true, size, &w, &format!("palette:{bits}")).unwrap();
            let found = stored(&model, 0).1;
            let error: f64 = w.iter().zip(&found).map(|(a, b)| f64::from(a - b).powi(2)).sum();
            let best = optimum(&w, k);
            assert!(error <= 1.01 * best, "{size:?} {bits} bits: {error} against {best}");
        }
    }
}

#[test]
fn a_weight_that_is_not_finite_is_named() {
    let folder = Folder::new("finite");
    let path = folder.0.join("one.onnx");
    onnx::linear(&path, true, 2, 2, &[1.0, f32::NAN, 2.0, 3.0]);
    for encoding in ["palette:4", "lowrank:0.25", "auto:8", "sparse:0.5"] {
        let rules = Rules::parse(&[encoding.to_string()], None, None).unwrap();
        let error = compress(&mut Model::open(&path).unwrap(), &rules, &[], &Device::cpu(1).unwrap(), |_| ());
        assert!(error.is_err_and(|e| e.to_string().contains("`w`")), "{encoding}");
    }
}

/// A layer of rank 3 and one whose values are all about as large: the first alone is smaller as two.
#[test]
fn a_threshold_splits_what_is_thin() {
    let (rows, cols) = (40, 32);
    let (left, right, full) = (normal(rows * 3), normal(3 * cols + 1), normal(rows * cols + 2));
    let thin = |i: usize| (0..3).map(|k| left[i / cols * 3 + k] * right[k * cols + i % cols]).sum::<f32>();
    let mut graph = Graph::default();
    let x = graph.add_input("x", DType::F32, [5, cols].map(Dim::Known).to_vec());
    for (name, w) in [("thin", (0..rows * cols).map(thin).collect()), ("full", full[..rows * cols].to_vec())] {
        let weight = graph.add_weight(name, Weight::Dense(Tensor::new([rows, cols], &w).unwrap()));
        let y =
            graph.add_node("fewbit.Linear", &format!("{name}.y"), &[x, weight], [("transposed", Attr::Int(1))].into());
        graph.outputs.push(y);
    }
    let model = Model { graph, ..Model::default() };
    let split = calibrated(&model, "lowrank:threshold=0.01+f32", &[]);
    let shapes = |name: &str| {
        let found = split.graph.weights.iter().find(|(id, _)| split.graph.value(**id).name == name);
        found.map(|(_, weight)| weight.ty().shape)
    };
    assert_eq!(shapes("thin"), Some(vec![rows, 3]));
    assert_eq!(shapes("thin.right"), Some(vec![3, cols]));
    assert_eq!((shapes("full"), shapes("full.right")), (Some(vec![rows, cols]), None));
    let x = Tensor::new([5, cols], &normal(5 * cols)).unwrap();
    let (before, after) = (outputs(&model, std::slice::from_ref(&x)), outputs(&split, &[x]));
    for (a, b) in before[0].iter().zip(&after[0]) {
        assert!((a - b).abs() < 1e-3, "{a} became {b}");
    }
}

fn add_weight(graph: &mut Graph, name: &str, shape: &[usize], scale: f32) -> ValueId {
    let values: Vec<f32> = normal(shape.iter().product()).iter().map(|v| scale * v).collect();
    graph.add_weight(name, Weight::Dense(Tensor::new(shape, &values).unwrap()))
}

/// The first output for each sample.
fn outputs(model: &Model, samples: &[Tensor]) -> Vec<Vec<f32>> {
    let mut session = Session::new(model, &Device::cpu(1).unwrap()).unwrap();
    samples.iter().map(|x| session.run(&[("x", x)]).unwrap()[0].1.to_f32().unwrap()).collect()
}

fn calibrated(model: &Model, encoding: &str, samples: &[Tensor]) -> Model {
    let mut model = model.clone();
    let samples: Vec<Sample> = samples.iter().map(|x| vec![x.clone()]).collect();
    let rules = Rules::parse(&[encoding.to_string()], None, None).unwrap();
    compress(&mut model, &rules, &samples, &Device::cpu(1).unwrap(), |_| ()).unwrap();
    model
}

/// A stream that six layers read and add to: what calibration leaves of its output on samples it has not seen.
#[test]
fn calibrated_layers_take_back_errors() {
    const WIDE: usize = 24;
    let mut graph = Graph::default();
    let mut stream = graph.add_input("x", DType::F32, [64, WIDE].map(Dim::Known).to_vec());
    for layer in 0..6 {
        let weight = add_weight(&mut graph, &format!("w{layer}"), &[WIDE + layer, WIDE], 0.2);
        let bias = add_weight(&mut graph, &format!("b{layer}"), &[WIDE + layer], 0.1);
        let back = add_weight(&mut graph, &format!("back{layer}"), &[WIDE, WIDE + layer], 0.2);
        let mut attrs = Attrs::default();
        attrs.set("transposed", Attr::Int(1));
        let inner = graph.add_node("fewbit.Linear", &format!("in{layer}"), &[stream, weight, bias], attrs.clone());
        let inner = graph.add_node("Relu", &format!("relu{layer}"), &[inner], Attrs::default());
        let inner = graph.add_node("fewbit.Linear", &format!("out{layer}"), &[inner, back], attrs);
        stream = graph.add_node("Add", &format!("sum{layer}"), &[inner, stream], Attrs::default());
    }
    graph.outputs.push(stream);
    let model = Model { graph, ..Model::default() };
    // Inputs that go together, as activations do.
    let mixing = normal(WIDE * 6);
    let samples: Vec<Tensor> = (0..24)
        .map(|sample| {
            let few = normal(64 * 6 + sample);
            let at =
                |i: usize| -> f32 { (0..6).map(|k| few[sample + i / WIDE * 6 + k] * mixing[i % WIDE * 6 + k]).sum() };
            Tensor::new([64, WIDE], &(0..64 * WIDE).map(at).collect::<Vec<f32>>()).unwrap()
        })
        .collect();
    let (seen, unseen) = samples.split_at(16);
    let exact = outputs(&model, unseen);
    let error = |samples: &[Tensor]| -> f64 {
        let found = outputs(&calibrated(&model, "palette:2:scale", samples), unseen);
        let pairs = exact.iter().flatten().zip(found.iter().flatten());
        pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum()
    };
    let (plain, guided) = (error(&[]), error(seen));
    println!("squared error {plain:.3} without samples, {guided:.3} with them");
    assert!(guided < 0.2 * plain, "{guided} against {plain}");
}

/// Where inputs do not tell the mean of an output, the output does.
#[test]
fn calibrated_convolutions_keep_the_means_of_channels() {
    let mut graph = Graph::default();
    let x = graph.add_input("x", DType::F32, [1, 6, 9, 9].map(Dim::Known).to_vec());
    let (weight, bias) = (add_weight(&mut graph, "w", &[6, 1, 3, 3], 1.0), add_weight(&mut graph, "b", &[6], 1.0));
    let mut attrs = Attrs::default();
    attrs.set("group", Attr::Int(6));
    let inner = graph.add_node("Conv", "depthwise", &[x, weight, bias], attrs);
    let inner = graph.add_node("Relu", "relu", &[inner], Attrs::default());
    let (weight, bias) = (add_weight(&mut graph, "up", &[6, 5, 2, 2], 1.0), add_weight(&mut graph, "c", &[5], 1.0));
    let up = graph.add_node("ConvTranspose", "up", &[inner, weight, bias], Attrs::default());
    graph.outputs.push(up);
    let model = Model { graph, ..Model::default() };
    let samples: Vec<Tensor> = (0..4).map(|i| Tensor::new([1, 6, 9, 9], &normal(486 + i)[i..]).unwrap()).collect();
    let means = |model: &Model| -> Vec<f64> {
        let outputs = outputs(model, &samples);
        let each = |channel: usize| outputs.iter().flat_map(move |y| &y[channel * 64..][..64]);
        (0..5).map(|channel| each(channel).map(|&v| f64::from(v)).sum::<f64>() / 256.0).collect()
    };
    let exact = means(&model);
    let far = |model: &Model| means(model).iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let (plain, guided) = (far(&calibrated(&model, "palette:2", &[])), far(&calibrated(&model, "palette:2", &samples)));
    assert!(plain > 0.01 && guided < 1e-4, "{guided} against {plain}");
}
