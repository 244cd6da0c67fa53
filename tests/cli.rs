//! The command line as a program: JSON of each command, messages and exit statuses.

#![cfg(feature = "cli")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fewbit::formats::npy;
use fewbit::graph::{Attrs, Dim, Graph, Model, Weight};
use fewbit::tensor::{DType, Tensor};
use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A folder that goes away again.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fewbit-cli-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn fewbit(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fewbit")).args(args).output().unwrap()
}

/// The JSON lines of a command that must succeed, on the CPU.
fn json(args: &[&str]) -> Vec<Value> {
    let output = fewbit(&[args, &["--json", "--device", "cpu"]].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A command that must fail with this status and a message that contains `words`.
fn fails(args: &[&str], status: i32, words: &str) {
    let output = fewbit(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{args:?}: {stderr}");
    assert!(stderr.starts_with("error: ") && stderr.contains(words), "{args:?}: {stderr}");
    assert!(!stderr.contains("panicked") && output.stdout.is_empty(), "{args:?}: {stderr}");
}

fn cat() -> String {
    Path::new(ROOT).join("tests/data/chelsea.png").display().to_string()
}

fn shipped() -> String {
    Path::new(ROOT).join("www/models/efficientnet-lite0-4bit.fewbit").display().to_string()
}

/// `y = relu(x · W)` with W `[64, 32]`.
fn small_model(folder: &Folder) -> String {
    let mut graph = Graph { name: "small".into(), ..Graph::default() };
    let x = graph.add_input("x", DType::F32, vec![Dim::Symbol("batch".into()), Dim::Known(64)]);
    let values: Vec<f32> = (0..64 * 32).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
    let w = graph.add_weight("w", Weight::Dense(Tensor::new([64, 32], &values).unwrap()));
    let product = graph.add_node("MatMul", "product", &[x, w], Attrs::default());
    let y = graph.add_node("Relu", "y", &[product], Attrs::default());
    graph.outputs.push(y);
    let path = folder.file("small.fewbit");
    Model { graph, ..Model::default() }.save(&path).unwrap();
    path
}

#[test]
fn classify_labels_each_image() {
    let results = json(&["classify", &cat(), &cat(), "--top-k", "3"]);
    assert_eq!(results.len(), 2);
    assert_eq!(results[0]["image"], cat());
    assert!(results[0]["device"].as_str().unwrap().starts_with("cpu"));
    assert!(results[0]["time_ms"].as_f64().unwrap() > 0.0);
    let predictions = results[0]["predictions"].as_array().unwrap();
    assert_eq!(predictions.len(), 3);
    assert!(predictions[0]["index"].is_u64() && predictions[0]["label"].is_string());
    assert!(predictions[0]["score"].as_f64().unwrap() >= predictions[1]["score"].as_f64().unwrap());
}

#[test]
fn run_writes_the_outputs() {
    let folder = Folder::new("run");
    let model = small_model(&folder);
    let x: Vec<f32> = (0..128).map(|i| (i % 7) as f32).collect();
    npy::save(folder.file("x.npy"), &Tensor::new([2, 64], &x).unwrap()).unwrap();
    let input = format!("x={}", folder.file("x.npy"));
    let result = &json(&["run", &model, "--input", &input, "--output", &folder.file("out")])[0];
    assert_eq!(result["outputs"]["y"]["shape"], serde_json::json!([2, 32]));
    assert_eq!(result["outputs"]["y"]["dtype"], "float32");
    let y = npy::open(folder.0.join("out/y.npy")).unwrap();
    assert_eq!(y.shape(), [2, 32]);
    assert!(y.slice::<f32>().unwrap().iter().all(|v| *v >= 0.0));

    fails(&["run", &model, "--input", &format!("z={}", folder.file("x.npy")), "--output", "o"], 2, "no input `z`");
    fails(&["run", &model, "--input", "x", "--output", "o"], 2, "NAME=FILE.npy");
    fails(&["run", &model, "--input", &format!("x={model}"), "--output", "o"], 1, ".npy");
}

#[test]
fn convert_loses_nothing() {
    let folder = Folder::new("convert");
    let model = small_model(&folder);
    let manifest = folder.file("manifest.json");
    std::fs::write(&manifest, r#"{"task": "image-classification", "license": "MIT"}"#).unwrap();
    let out = folder.file("out.fewbit");
    let result = &json(&["convert", &model, "--output", &out, "--manifest", &manifest])[0];
    assert_eq!(result["bytes"], std::fs::metadata(&out).unwrap().len());
    assert_eq!(result["tensors"], 1);
    assert_eq!(result["parameters"], 64 * 32);
    let back = Model::open(&out).unwrap();
    assert_eq!(back.manifest.license.as_deref(), Some("MIT"));
    assert_eq!(back.graph.nodes.len(), 2);
    std::fs::write(&manifest, "[1").unwrap();
    fails(&["convert", &model, "--output", &out, "--manifest", &manifest], 1, "not a manifest");
}

#[test]
fn compress_reports_each_tensor() {
    let folder = Folder::new("compress");
    let (model, out) = (small_model(&folder), folder.file("out.fewbit"));
    for (encoding, bits) in [
        ("palette:4", 4.25),
        ("palette:8:scale", 12.25),
        ("affine:4:group=32", 4.75),
        ("affine:2:group=32:sym", 2.5),
        ("f16", 16.0),
    ] {
        let result = &json(&["compress", &model, "--output", &out, "--weights", encoding])[0];
        let tensor = &result["tensors"][0];
        assert_eq!(tensor["encoding"], encoding);
        assert!((tensor["bits_per_weight"].as_f64().unwrap() - bits).abs() < 0.51, "{encoding}: {tensor}");
        assert!(tensor["error"].as_f64().unwrap() < 0.5, "{encoding}: {tensor}");
        assert_eq!(result["bytes"], std::fs::metadata(&out).unwrap().len());
        let inspected = &json(&["inspect", &out])[0];
        assert_eq!(inspected["bits_per_weight"], result["bits_per_weight"]);
        assert_eq!(inspected["graph"]["operators"]["fewbit.Linear"], 1);
    }
    let same = |encoding: &str| fewbit(&["compress", &model, "--output", &out, "--weights", encoding]).status.code();
    assert_eq!(same("nowhere=palette:4"), Some(2));
    fails(&["compress", &model, "--output", &out, "--weights", "palette:5"], 2, "palette:5");
    fails(&["compress", &model, "--output", &out, "--weights", "nf4"], 2, "group=G");
    fails(&["compress", &model, "--output", &out, "--weights", "auto:1.01"], 2, "cannot be reached");
    fails(&["compress", &model, "--output", &out, "--weights", "f16", "--exclude", "("], 2, "regular expression");
    fails(&["compress", &model, "--output", &out], 2, "--weights");
}

#[test]
fn calibration_shrinks_the_error_of_the_outputs() {
    let folder = Folder::new("calibrate");
    let (model, out) = (small_model(&folder), folder.file("out.fewbit"));
    std::fs::create_dir_all(folder.file("samples")).unwrap();
    // Correlated inputs, as activations are.
    let x: Vec<f32> =
        (0..256 * 64).map(|i| ((i / 64 * 7919 % 97) as f32 / 97.0) + ((i * 31 % 13) as f32 / 130.0)).collect();
    npy::save(folder.file("samples/x.npy"), &Tensor::new([256, 64], &x).unwrap()).unwrap();
    let input = format!("x={}", folder.file("samples/x.npy"));
    let outputs = |model: &str| {
        json(&["run", model, "--input", &input, "--output", &folder.file("out")]);
        npy::open(folder.0.join("out/y.npy")).unwrap().to_f32().unwrap()
    };
    let exact = outputs(&model);
    let error = |calibrate: &[&str]| {
        json(&[&["compress", &model, "--output", &out, "--weights", "affine:2:group=64"], calibrate].concat());
        outputs(&out).iter().zip(&exact).map(|(a, b)| (a - b).powi(2)).sum::<f32>()
    };
    let plain = error(&[]);
    let calibrated = error(&["--calibrate", &folder.file("samples")]);
    assert!(calibrated < 0.5 * plain, "{calibrated} against {plain}");
    let samples = folder.file("samples");
    let trained = ["compress", &model, "--output", &out, "--weights", "palette:4", "--train", "1"];
    fails(&trained, 2, "--calibrate");
    fails(&[&trained[..], &["--calibrate", &samples]].concat(), 2, "--train trains language models");
}

#[test]
fn elastic_weights_are_served_at_the_precision_asked_for() {
    let folder = Folder::new("elastic");
    let (model, out) = (small_model(&folder), folder.file("out.fewbit"));
    json(&["compress", &model, "--output", &out, "--weights", "elastic"]);
    let inspected = &json(&["inspect", &out])[0];
    assert_eq!(inspected["tensors"][0]["encoding"], "elastic");
    // Half precision, and for each of 32 rows and for all of them 14 pairs of f32.
    assert_eq!(inspected["tensors"][0]["bytes"], 64 * 32 * 2 + 33 * 14 * 8);
    let x: Vec<f32> = (0..64).map(|i| (i % 7) as f32).collect();
    npy::save(folder.file("x.npy"), &Tensor::new([1, 64], &x).unwrap()).unwrap();
    let input = format!("x={}", folder.file("x.npy"));
    let outputs = |precision: &[&str]| {
        json(&[&["run", &out, "--input", &input, "--output", &folder.file("out")], precision].concat());
        npy::open(folder.0.join("out/y.npy")).unwrap().to_f32().unwrap()
    };
    let (default, finest, crude) = (outputs(&[]), outputs(&["--precision", "8"]), outputs(&["--precision", "2:sym"]));
    assert_eq!(default, finest);
    assert_ne!(default, crude);
    let bytes =
        |precision: &str| json(&["bench", &out, "--repeat", "1", "--precision", precision])[0]["weight_bytes"].clone();
    assert!(bytes("2:layer").as_u64() < bytes("4").as_u64() && bytes("4").as_u64() < bytes("8").as_u64());
    fails(&["run", &out, "--input", &input, "--output", "o", "--precision", "9"], 2, "2 to 8 bits");
    fails(&["bench", &model, "--precision", "4"], 2, "no elastic weights");
    fails(&["classify", &cat(), "--precision", "4"], 2, "no elastic weights");
}

/// Numbers in −1..1 without order (multiplicative hashing, Knuth 1998, section 6.4).
fn random(count: usize) -> Vec<f32> {
    let mixed = |i: usize| (i as u32 + 1).wrapping_mul(0x9e37_79b9).rotate_left(15).wrapping_mul(0x85eb_ca6b) >> 8;
    (0..count).map(|i| mixed(i) as f32 / (1 << 23) as f32 - 1.0).collect()
}

/// Two few-bit layers with sums of 256 and 64.
fn few_bit_model(folder: &Folder) -> String {
    let mut graph = Graph { name: "layers".into(), ..Graph::default() };
    let mut value = graph.add_input("x", DType::F32, vec![Dim::Symbol("batch".into()), Dim::Known(256)]);
    for (name, k, n) in [("first", 256, 64), ("second", 64, 48)] {
        let weights = Tensor::new([k, n], &random(k * n)).unwrap();
        let weight = graph.add_weight(format!("{name} weight"), Weight::Dense(weights));
        value = graph.add_node("MatMul", name, &[value, weight], Attrs::default());
        value = graph.add_node("Relu", &format!("{name} relu"), &[value], Attrs::default());
    }
    graph.outputs.push(value);
    let (dense, out) = (folder.file("dense.fewbit"), folder.file("layers.fewbit"));
    Model { graph, ..Model::default() }.save(&dense).unwrap();
    json(&["compress", &dense, "--output", &out, "--weights", "affine:4:group=32"]);
    out
}

#[test]
fn activations_of_8_bits_are_close_to_floats() {
    let folder = Folder::new("activations");
    let model = few_bit_model(&folder);
    npy::save(folder.file("x.npy"), &Tensor::new([5, 256], &random(5 * 256)).unwrap()).unwrap();
    let input = format!("x={}", folder.file("x.npy"));
    let outputs = |options: &[&str]| {
        json(&[&["run", &model, "--input", &input, "--output", &folder.file("out")], options].concat());
        npy::open(folder.0.join("out/second relu.npy")).unwrap().to_f32().unwrap()
    };
    let (default, floats, bytes) =
        (outputs(&[]), outputs(&["--activations", "f32"]), outputs(&["--activations", "int8"]));
    assert_eq!(default, floats);
    let largest = floats.iter().fold(0f32, |most, v| most.max(v.abs()));
    let squares = floats.iter().zip(&bytes).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
    let error = (squares / floats.len() as f32).sqrt();
    assert!(largest > 1.0 && error <= 1e-2 * largest, "{error} of {largest}");
    #[cfg(target_arch = "x86_64")]
    assert_eq!(error > 0.0, is_x86_feature_detected!("avx2"));
    json(&["bench", &model, "--repeat", "1", "--activations", "int8"]);
    let product = ["bench", "matmul", "--m", "2", "--k", "64", "--n", "32", "--weights", "palette:4", "--alone"];
    json(&[&product[..], &["--repeat", "1", "--activations", "int8"]].concat());
    let labels = |activations| json(&["classify", &cat(), "--activations", activations])[0]["predictions"].clone();
    assert_eq!(labels("int8")[0]["index"], labels("f32")[0]["index"]);
    fails(&["run", &model, "--input", &input, "--output", "o", "--activations", "int4"], 2, "`f32` or `int8`");
}

#[test]
fn inspect_lists_what_is_inside() {
    let result = &json(&["inspect", &shipped()])[0];
    assert_eq!(result["task"], "image-classification");
    assert_eq!(result["bytes"], std::fs::metadata(shipped()).unwrap().len());
    assert!(result["bytes"].as_u64().unwrap() <= 3_500_000);
    assert!(result["bits_per_weight"].as_f64().unwrap() <= 4.5);
    assert!(result["parameters"].as_u64().unwrap() > 4_600_000);
    assert_eq!(result["graph"]["operators"]["Conv"], 49);
    assert_eq!(result["graph"]["inputs"][0]["shape"], serde_json::json!(["batch", 3, 224, 224]));
    assert!(result["arena_bytes"].as_u64().unwrap() > 0);
    let tensors = result["tensors"].as_array().unwrap();
    assert!(tensors.iter().any(|t| t["encoding"].as_str().unwrap().starts_with("palette:4")));
}

#[test]
fn bench_times_products_and_models() {
    let product = ["bench", "matmul", "--m", "2", "--k", "64", "--n", "32", "--weights", "palette:4", "--repeat", "3"];
    let result = &json(&product)[0];
    for field in ["median_ms", "min_ms", "gflops", "gbytes_per_second"] {
        assert!(result[field].as_f64().unwrap() > 0.0, "{field}: {result}");
    }
    assert!(result["device"].is_string());
    let folder = Folder::new("bench");
    let model = small_model(&folder);
    let result = &json(&["bench", &model, "--dim", "batch=3", "--repeat", "2", "--profile"])[0];
    assert_eq!(result["inputs"]["x"], serde_json::json!([3, 64]));
    assert!(result["median_ms"].as_f64().unwrap() >= result["min_ms"].as_f64().unwrap());
    assert!(!result["operators"].as_array().unwrap().is_empty());
    fails(&["bench", "matmul", "--m", "2"], 2, "--k");
    fails(&["bench", &model, "--dim", "width=3"], 2, "width");
    fails(&["bench", &model, "--m", "3"], 2, "bench matmul");
}

/// Every encoding, M and shape, each beside the ceilings and the dense products.
#[test]
fn bench_matmul_goes_over_shapes_and_encodings() {
    let sizes = ["--m", "1,5", "--k", "64,100", "--n", "32,40", "--repeat", "2"];
    let encodings = ["--weights", "palette:4", "--weights", "affine:4:group=32,f32"];
    let rows = json(&[&["bench", "matmul"], &sizes[..], &encodings[..]].concat());
    let of = |row: &Value| [row["m"].clone(), row["k"].clone(), row["n"].clone(), row["weights"].clone()];
    let mut expected: Vec<[Value; 4]> = Vec::new();
    for (k, n) in [(64, 32), (100, 40)] {
        for m in [1, 5] {
            expected
                .extend(["palette:4", "affine:4:group=32", "f32"].map(|w| [m.into(), k.into(), n.into(), w.into()]));
        }
    }
    assert_eq!(rows.iter().map(of).collect::<Vec<_>>(), expected);
    for row in &rows {
        let number = |field: &str| row[field].as_f64().filter(|v| *v > 0.0).unwrap_or_else(|| panic!("{field}: {row}"));
        let (m, k, n) = (number("m"), number("k"), number("n"));
        let seconds = number("median_ms") / 1e3;
        let close = |a: f64, b: f64| assert!((a / b - 1.0).abs() < 1e-9, "{a} instead of {b}: {row}");
        close(number("gflops"), 2.0 * m * k * n / seconds / 1e9);
        close(number("gbytes_per_second"), (4.0 * (m * k + m * n) + number("weight_bytes")) / seconds / 1e9);
        close(number("of_fma"), number("gflops") / number("fma_gflops"));
        close(number("of_copy"), number("gbytes_per_second") / number("copy_gbytes_per_second"));
        // Arithmetic stays below its ceiling; bytes need not, as these weights fit the caches.
        assert!(number("of_fma") < 1.0, "{row}");
        number("times_f16");
        if row["weights"] == "f32" {
            close(number("times_f32"), 1.0);
            close(number("weight_bytes"), 4.0 * k * n);
        }
    }
    let product = ["bench", "matmul", "--m", "1", "--k", "64", "--n", "32", "--weights", "f16", "--repeat", "1"];
    let alone = &json(&[&product[..], &["--alone"]].concat())[0];
    assert!(alone["of_copy"].is_null() && alone["times_f32"].is_null(), "{alone}");
    let table = fewbit(&[&product[..], &["--device", "cpu"]].concat());
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.lines().count() == 4 && table.contains("% of copy") && table.contains("f32"), "{table}");
    fails(&["bench", "matmul", "--m", "1", "--k", "64,32,16", "--n", "8,9", "--weights", "f16"], 2, "pair up");
}

#[test]
fn devices_are_listed() {
    let devices = json(&["devices"]);
    assert_eq!(devices[0]["kind"], "cpu");
}

#[cfg(feature = "audio")]
#[test]
fn caption_describes_photos() {
    let data = |name: &str| Path::new(ROOT).join("tests/data").join(name).display().to_string();
    let (model, photo) = (data("vision_language/smolvlm"), data("vision_language/wide.png"));
    let result = &json(&["caption", &model, &photo, "--prompt", "What is it?", "--max-tokens", "3"])[0];
    assert_eq!((&result["tokens"], &result["prompt_tokens"]), (&3.into(), &94.into()));
    assert!(result["time_ms"].as_f64().unwrap() > 0.0 && !result["text"].as_str().unwrap().is_empty());
    fails(&["caption", &model, &data("speech/tone.flac")], 2, "is sound, and the model sees");
    fails(&["caption", &model, &photo, "--timestamps"], 2, "the model sees");
    fails(&["caption", &data("decoders/llama"), &photo, "--prompt", "What?"], 2, "does not see");
    let folder = Folder::new("caption");
    let cut = folder.file("cut.png");
    std::fs::write(&cut, &std::fs::read(&photo).unwrap()[..3000]).unwrap();
    fails(&["caption", &model, &cut], 1, "cut.png");
}

#[test]
fn bad_usage_is_status_2() {
    fails(&["classify"], 2, "IMAGE");
    fails(&["classify", &cat(), "--top-k", "0"], 2, "top-k");
    fails(&["classify", &cat(), "--device", "tpu"], 2, "tpu");
    fails(&["fly"], 2, "fly");
    fails(&["conformance", ROOT], 2, "no case");
}

#[test]
fn broken_files_are_status_1() {
    let folder = Folder::new("broken");
    let cut = folder.file("cut.fewbit");
    let whole = std::fs::read(shipped()).unwrap();
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    fails(&["inspect", &cut], 1, "cut.fewbit");
    fails(&["inspect", &cat()], 1, "chelsea.png");
    fails(&["classify", &cat(), "--model", &folder.file("nowhere.fewbit")], 1, "nowhere.fewbit");
    fails(&["classify", &shipped(), "--device", "cpu"], 1, "not an image");
    let picture = folder.file("cut.png");
    std::fs::write(&picture, &std::fs::read(cat()).unwrap()[..5000]).unwrap();
    fails(&["classify", &picture, "--device", "cpu"], 1, "cut.png");
}

#[test]
fn a_failing_case_is_told_apart_from_a_missing_operator() {
    let folder = Folder::new("conformance");
    std::fs::create_dir_all(folder.file("test_broken")).unwrap();
    std::fs::write(folder.file("test_broken/model.onnx"), b"\x08\x07nonsense").unwrap();
    let result = &json(&["conformance", &folder.file("")])[0];
    assert_eq!(result["failed"][0]["case"], "test_broken");
    assert!(result["failed"][0]["why"].is_string());
    assert_eq!((result["passed"].as_array().unwrap().len(), result["unsupported"].as_array().unwrap().len()), (0, 0));
}
