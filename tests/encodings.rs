//! Weights in the layouts of public formats decode to what their reference implementations decode, bit for bit, and keep
//! their size. The files come from `pkg-scripts/encoding_cases.py` and `encoding_cases_torch.py`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fewbit::formats::safetensors;
use fewbit::graph::{Model, Weight};
use fewbit::runtime::{Device, Session};
use fewbit::tensor::{Tensor, bits};
use fewbit::weights::{Encoded, Palette, Scale};

fn data(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data/encodings", name].iter().collect()
}

fn open(name: &str) -> Model {
    Model::open(data(name)).unwrap()
}

/// Every weight of a model in f32, with its shape.
fn decoded(model: &Model) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let dense = |weight: &Weight| match weight {
        Weight::Dense(tensor) => tensor.to_f32().unwrap(),
        Weight::Encoded(encoded) => encoded.to_dense().unwrap().to_f32().unwrap(),
    };
    let entry = |(&id, weight): (_, &Weight)| (model.graph.value(id).name.clone(), (weight.ty().shape, dense(weight)));
    model.graph.weights.iter().map(entry).collect()
}

/// Each expected tensor is there, of the same shape, and equal in every value.
fn assert_decodes(model: &Model, expected: &str) {
    let (found, expected) = (decoded(model), decoded(&open(expected)));
    assert!(!expected.is_empty());
    for (name, (shape, values)) in &expected {
        let (found_shape, found) = found.get(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(found_shape, shape, "{name}");
        let differ = found.iter().zip(values).position(|(a, b)| a != b);
        assert_eq!(differ.map(|i| (i, found[i], values[i])), None, "{name}: index, ours, reference");
    }
}

/// The encoding of a weight.
fn encoding(model: &Model, name: &str) -> (String, f64) {
    match &model.graph.weights[&model.graph.find(name).unwrap()] {
        Weight::Encoded(encoded) => (encoded.as_encoding().name(), encoded.bits_per_weight()),
        Weight::Dense(tensor) => (tensor.dtype().name().into(), 8.0 * tensor.dtype().size() as f64),
    }
}

#[test]
fn every_ggml_type_decodes_as_the_gguf_package_does() {
    let model = open("gguf/types.gguf");
    assert_decodes(&model, "gguf/expected.safetensors");
    // The same codes and scales at the same size: Q4_0 has 18 bytes per 32 weights, Q6_K 210 per 256.
    for (name, encoded, bits) in [
        ("Q4_0", "affine:4:group=32:sym", 4.5),
        ("Q4_1", "affine:4:group=32:offset", 5.0),
        ("Q8_0", "affine:8:group=32:sym", 8.5),
        ("IQ4_NL", "iq4_nl:group=32", 4.5),
        ("MXFP4", "mxfp4:group=32", 4.25),
        ("Q2_K", "q2_k", 2.625),
        ("Q3_K", "q3_k", 3.4375),
        ("Q4_K", "q4_k", 4.5),
        ("Q5_K", "q5_k", 5.5),
        ("Q6_K", "q6_k", 6.5625),
    ] {
        let (name_found, found) = encoding(&model, name);
        assert_eq!(name_found, encoded);
        // Two rows of 96 weights carry a table of 16 f32.
        let table = if name_found.ends_with(":group=32") { 512.0 / 192.0 } else { 0.0 };
        assert!((found - bits - table).abs() < 1e-9, "{name}: {found} bits");
    }
    let metadata = &model.manifest.extra["gguf_metadata"];
    assert_eq!(metadata["general.architecture"], "llama");
    assert_eq!(metadata["llama.block_count"], 2);
    assert_eq!(metadata["test.words"]["values"], 3);
}

#[test]
fn arrays_of_metadata_are_read_when_asked_for() {
    let bytes = std::fs::read(data("gguf/types.gguf")).unwrap().into();
    let metadata = fewbit::formats::gguf::read("types", &bytes).unwrap().metadata;
    assert_eq!(metadata.array("test.words").unwrap().texts().unwrap(), ["a", "bc", "déf"]);
    assert_eq!(metadata.array("test.numbers").unwrap().values().unwrap().len(), 3);
    assert_eq!(metadata.float("llama.rope.freq_base"), Some(10000.0));
}

/// Of a vector of a grid, its coordinates are stored.
#[test]
fn ggml_types_with_grids_decode_as_the_gguf_package_does() {
    let model = open("gguf/grids.gguf");
    assert_decodes(&model, "gguf/grids-expected.safetensors");
    for (name, bits) in [("IQ1_S", 5.0), ("IQ1_M", 6.0), ("IQ2_XS", 6.0), ("IQ3_S", 5.0)] {
        // Three rows of 512 weights carry a table of 16 f32.
        let found = encoding(&model, name).1;
        assert!((found - bits - 512.0 / 1536.0).abs() < 1e-9, "{name}: {found} bits");
    }
}

/// coremltools packs indices without rows: a vector of `dim` outputs a code.
#[test]
fn palettes_decode_as_coremltools_decodes_them() {
    let file = open("coremltools.safetensors");
    let cases: serde_json::Value =
        serde_json::from_str(file.manifest.extra["safetensors_metadata"]["cases"].as_str().unwrap()).unwrap();
    let tensor = |name: String| file.graph.find(&name).map(|id| file.graph.weights[&id].dense().unwrap().clone());
    for case in cases.as_array().unwrap() {
        let (name, number) = (case["name"].as_str().unwrap(), |key: &str| case[key].as_u64().unwrap() as usize);
        let (bits, dim, tables) = (number("bits"), number("dim"), number("tables"));
        let [rows, cols] = [0, 1].map(|i| case["shape"][i].as_u64().unwrap() as usize);
        let part = |part: &str| tensor(format!("{name}.{part}"));
        let packed = part("codes").unwrap();
        let lines = (0..rows / dim).flat_map(|line| {
            let codes = (0..cols).map(|col| bits::get(packed.bytes(), line * cols + col, bits as u32));
            let mut row = bits::pack(&codes.collect::<Vec<_>>(), bits as u32);
            row.resize((cols * bits).div_ceil(32) * 4, 0);
            row
        });
        let codes: Vec<u8> = lines.collect();
        let codes = Tensor::new([rows / dim, codes.len() / (rows / dim)], &codes).unwrap();
        let shape = if dim == 1 { vec![tables, 1 << bits] } else { vec![tables, 1 << bits, dim] };
        let table = part("table").unwrap().reshaped(shape).unwrap();
        let scale = part("scale").map(|values| Scale { group: cols, values });
        let palette = Palette::with(vec![rows, cols], bits as u32, rows / tables, dim, codes, table, scale).unwrap();
        let decoded = Encoded::from(palette).to_dense().unwrap();
        assert_eq!(decoded.to_f32().unwrap(), part("expected").unwrap().to_f32().unwrap(), "{name}");
    }
}

fn folders(prefix: &str) -> Vec<String> {
    let entries = std::fs::read_dir(data("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let found: Vec<String> = entries.filter(|name| name.starts_with(prefix)).collect();
    assert!(!found.is_empty(), "{prefix}");
    found
}

#[test]
fn folders_of_hugging_faces_layout_decode_as_their_references_do() {
    for prefix in ["awq", "compressed-", "aqlm-", "mlx-"] {
        for name in folders(prefix).iter().filter(|name| !name.contains("rows-2")) {
            println!("{name}");
            assert_decodes(&open(name), &format!("{name}/expected.safetensors"));
        }
    }
    assert_eq!(encoding(&open("awq"), "layer.weight").0, "affine:4:group=32");
    assert_eq!(encoding(&open("mlx-3"), "layer.weight").0, "affine:3:group=64:offset");
    assert_eq!(encoding(&open("compressed-0.12.2-3-group"), "layer.weight").0, "affine:3:group=16:sym");
    assert_eq!(encoding(&open("compressed-0.20.0-3-channel"), "layer.weight").0, "affine:3:group=48:sym");
    assert_eq!(encoding(&open("aqlm-2x8"), "layer.weight").0, "codebook:2x8:group=8");
    assert_eq!(open("awq").manifest.extra["config"]["model_type"], "test");
}

/// Vectors over several outputs have no encoding: they are stored as f16, and the listing says so.
#[test]
fn what_no_encoding_holds_is_decoded_to_f16() {
    let model = open("aqlm-1x8-rows-2");
    assert_eq!(encoding(&model, "layer.weight").0, "f16");
    let (found, expected) = (decoded(&model), decoded(&open("aqlm-1x8-rows-2/expected.safetensors")));
    for (a, b) in found["layer.weight"].1.iter().zip(&expected["layer.weight"].1) {
        assert_eq!(*a, half::f16::from_f32(*b).to_f32());
    }
}

#[test]
fn gptq_decodes_as_autogptq_does_also_with_columns_in_another_order() {
    for bits in [2, 3, 4, 8] {
        let (model, expected) =
            (open(&format!("gptq-{bits}")), decoded(&open(&format!("gptq-{bits}/expected.safetensors"))));
        let found = decoded(&model);
        for name in ["plain.weight", "symmetric.weight"] {
            assert_eq!(found[name], expected[name], "{bits} bits, {name}");
        }
        assert_eq!(encoding(&model, "plain.weight").0, format!("affine:{bits}:group=32"));
        assert_eq!(encoding(&model, "symmetric.weight").0, format!("affine:{bits}:group=32:sym"));
        let (shape, sorted) = &found["ordered.weight_sorted"];
        let order = &found["ordered.weight_order"].1;
        let weight = &expected["ordered.weight"].1;
        for (i, value) in sorted.iter().enumerate() {
            let (row, column) = (i / shape[1], i % shape[1]);
            assert_eq!(*value, weight[row * shape[1] + order[column] as usize], "{bits} bits, [{row}, {column}]");
        }
    }
}

/// Every one-node model gives what onnxruntime computed, from a weight that is still encoded.
#[test]
fn onnx_operators_over_few_bit_weights_agree_with_onnxruntime() {
    let mut names: Vec<String> = std::fs::read_dir(data("onnx"))
        .unwrap()
        .filter_map(|e| Some(e.unwrap().file_name().into_string().unwrap().strip_suffix(".onnx")?.to_string()))
        .collect();
    names.sort();
    assert!(names.len() >= 18);
    for name in names {
        let model = open(&format!("onnx/{name}.onnx"));
        let encoded = model.graph.weights.values().filter(|w| matches!(w, Weight::Encoded(_))).count();
        assert_eq!(encoded, 1, "{name}");
        let dense = |name: &str, weight: &Weight| (name.to_string(), weight.dense().unwrap().clone());
        let case = open(&format!("onnx/{name}.safetensors"));
        let case: BTreeMap<String, Tensor> =
            case.graph.weights.iter().map(|(&id, w)| dense(&case.graph.value(id).name, w)).collect();
        let inputs: Vec<(&str, &Tensor)> =
            case.iter().filter(|(n, _)| *n != "y").map(|(n, t)| (n.as_str(), t)).collect();
        let mut session = Session::new(&model, &Device::cpu(1).unwrap()).unwrap();
        let outputs = session.run(&inputs).unwrap();
        let (_, y) = &outputs[0];
        assert_eq!((y.shape(), y.dtype()), (case["y"].shape(), case["y"].dtype()), "{name}");
        // onnxruntime sums in f32 in another order; the f16 model is rounded to f16 at the end.
        let tolerance = if name.ends_with("f16") { 2e-3 } else { 1e-5 };
        let (found, expected) = (y.to_f32().unwrap(), case["y"].to_f32().unwrap());
        let largest = expected.iter().fold(0f32, |m, v| m.max(v.abs()));
        for (a, b) in found.iter().zip(&expected) {
            assert!((a - b).abs() <= tolerance * largest, "{name}: {a} for {b}");
        }
    }
}

/// The same weights from one file, from shards with an index, and from an index that lies.
#[test]
fn shards_are_found_by_their_index_and_nowhere_else() {
    let folder = std::env::temp_dir().join(format!("fewbit-shards-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let whole = std::fs::read(data("gptq-4/model.safetensors")).unwrap();
    let header = safetensors::parse_header("whole", &whole).unwrap();
    let (first, second) = header.tensors.split_at(header.tensors.len() / 2);
    let mut map = serde_json::Map::new();
    for (file, tensors) in [("a.safetensors", first), ("b.safetensors", second)] {
        let types: Vec<_> = tensors.iter().map(|t| (t.name.clone(), t.ty.clone())).collect();
        let mut bytes = safetensors::write_header(&types, &BTreeMap::new()).unwrap();
        for tensor in tensors {
            bytes.extend(&whole[tensor.range.start as usize..tensor.range.end as usize]);
            map.insert(tensor.name.clone(), file.into());
        }
        std::fs::write(folder.join(file), bytes).unwrap();
    }
    std::fs::copy(data("gptq-4/config.json"), folder.join("config.json")).unwrap();
    let index = |map: &serde_json::Map<String, serde_json::Value>| {
        let json = serde_json::json!({ "weight_map": map }).to_string();
        std::fs::write(folder.join("model.safetensors.index.json"), json).unwrap();
    };
    index(&map);
    assert_eq!(decoded(&Model::open(&folder).unwrap()), decoded(&open("gptq-4")));
    // A layer without its scales.
    std::fs::write(folder.join("model.safetensors.index.json"), r#"{"weight_map":{"x":"a.safetensors"}}"#).unwrap();
    assert!(Model::open(&folder).unwrap_err().to_string().contains("lacks its"));
    for outside in ["../a.safetensors", "/a.safetensors", "", "."] {
        map.insert("x".into(), outside.into());
        index(&map);
        assert!(Model::open(&folder).unwrap_err().to_string().contains("names the file"), "{outside}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A published model; `pkg-scripts/fetch smollm2` fetches it.
#[test]
fn a_real_gguf_keeps_its_size() {
    let cache = std::env::var("FEWBIT_CACHE").unwrap_or(format!("{}/.cache/fewbit", std::env::var("HOME").unwrap()));
    let path = PathBuf::from(cache).join("models/smollm2_135m_q4_1.gguf");
    if !path.exists() {
        eprintln!("skipped: {} is not there", path.display());
        return;
    }
    let model = Model::open(&path).unwrap();
    assert_eq!(model.graph.weights.len(), 272);
    assert_eq!(model.graph.weights.values().map(|w| w.ty().len()).sum::<usize>(), 134_515_008);
    assert_eq!(encoding(&model, "blk.29.ffn_down.weight"), ("affine:4:group=32:offset".into(), 5.0));
    assert_eq!(encoding(&model, "token_embd.weight"), ("affine:8:group=32:sym".into(), 8.5));
    let bytes: usize = model.graph.weights.values().map(Weight::bytes).sum();
    let file = std::fs::metadata(&path).unwrap().len() as usize;
    assert!(bytes < file && bytes * 100 > file * 98, "{bytes} of {file} bytes");
    assert_eq!(model.manifest.extra["gguf_metadata"]["llama.block_count"], 30);
}
