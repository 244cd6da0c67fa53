//! File formats: what they read, and that nothing is lost.

use std::path::PathBuf;
use std::sync::Arc;

use fewbit::formats::{container, gguf, onnx, safetensors};
use fewbit::graph::{Attr, Attrs, Dim, Model, Weight};
use fewbit::tensor::{DType, Tensor, TensorType};
use fewbit::weights::{Affine, Encoded, HalfFloat, Palette, Zero};

/// The fetched models; tests that need them pass over machines without.
fn models() -> PathBuf {
    let cache = std::env::var_os("FEWBIT_CACHE").map(PathBuf::from);
    let cache =
        cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/fewbit"));
    cache.join("models")
}

#[test]
fn every_fetched_onnx_model_opens() {
    let Ok(folder) = std::fs::read_dir(models()) else {
        eprintln!("skipped: no fetched models");
        return;
    };
    for entry in folder.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "onnx") {
            let model = Model::open(&path).unwrap();
            let graph = &model.graph;
            let bytes: usize = graph.weights.values().map(|w| w.bytes()).sum();
            let file = entry.metadata().unwrap().len() as usize;
            println!("{path:?}: {} nodes, {bytes} of {file} bytes are weights", graph.nodes.len());
            assert!(!graph.nodes.is_empty() && bytes * 10 > file * 8);
        }
    }
}

/// The public operator cases: each model and tensor is read, or names what is not supported.
#[test]
fn every_public_onnx_case_opens_or_is_unsupported() {
    let Ok(folder) = std::fs::read_dir(models().join("../onnx-cases")) else {
        eprintln!("skipped: no ONNX cases");
        return;
    };
    let (mut read, mut unsupported) = (0, 0);
    for case in folder.flatten().map(|e| e.path()).filter(|p| p.is_dir()) {
        match Model::open(case.join("model.onnx")) {
            Ok(_) => read += 1,
            Err(fewbit::Error::Unsupported(what)) => {
                println!("{}: {what}", case.display());
                unsupported += 1;
                continue;
            }
            Err(error) => panic!("{}: {error}", case.display()),
        }
        // Sequences and optionals lie in the same file names as tensors.
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        if ["sequence", "_seq", "_opt", "optional"].iter().any(|kind| name.contains(kind)) {
            continue;
        }
        for file in std::fs::read_dir(case.join("test_data_set_0")).unwrap().flatten() {
            let bytes = std::fs::read(file.path()).unwrap();
            match onnx::read_tensor(&bytes) {
                Ok(_) | Err(fewbit::Error::Unsupported(_)) => {}
                Err(error) => panic!("{}: {error}", file.path().display()),
            }
        }
    }
    println!("{read} read, {unsupported} unsupported");
    assert!(read > 8 * unsupported);
}

/// A model with every kind of attribute, weight and value.
fn everything() -> Model {
    let mut model = Model::default();
    let graph = &mut model.graph;
    graph.name = "all kinds".into();
    let input = graph.add_input("x", DType::F32, vec![Dim::Symbol("batch".into()), Dim::Known(3)]);
    let mut operands = vec![input];
    for (i, dtype) in [DType::F64, DType::BF16, DType::I8, DType::U16, DType::Bool].into_iter().enumerate() {
        let bytes: Vec<u8> = (0..3 * dtype.size()).map(|b| (b % 2) as u8).collect();
        let tensor = Tensor::from_bytes(TensorType::new(dtype, [3, 1]), &bytes).unwrap();
        // Names may repeat.
        operands.push(graph.add_weight(format!("w{}", i / 2), Weight::Dense(tensor)));
    }
    let codes = Tensor::new([2, 4], &[1u8, 2, 3, 0, 4, 5, 6, 0]).unwrap();
    let table = Tensor::new([1, 16], &[0.5f32; 16]).unwrap();
    let scale = Tensor::new([2], &[1.0f32, -2.0]).unwrap();
    let palette = Palette::new(vec![2, 3, 2], 4, 2, codes.clone(), table, Some(scale)).unwrap();
    let scales = Tensor::new([2, 1], &[half::f16::ONE; 2]).unwrap();
    let affine = Affine::new(vec![2, 3, 2], 4, 32, codes, scales, Zero::Middle).unwrap();
    let halves = HalfFloat::new(vec![1, 3], Tensor::new([1, 4], &[half::f16::ONE; 4]).unwrap()).unwrap();
    for encoded in [Encoded::Palette(palette), Encoded::Affine(affine), Encoded::HalfFloat(halves)] {
        operands.push(graph.add_weight("few", Weight::Encoded(Arc::new(encoded))));
    }
    let mut attrs = Attrs::default();
    let odd = vec![f32::NAN, f32::NEG_INFINITY, -0.0, f32::MIN_POSITIVE, 0.1, f32::MAX, f32::from_bits(1)];
    attrs.set("int", Attr::Int(i64::MIN));
    attrs.set("float", Attr::Float(0.1));
    attrs.set("string", Attr::String("\"quoted\" ✓".into()));
    attrs.set("ints", Attr::Ints(vec![-1, i64::MAX]));
    attrs.set("floats", Attr::Floats(odd));
    attrs.set("strings", Attr::Strings(vec!["a".into(), String::new()]));
    attrs.set("tensor", Attr::Tensor(Tensor::scalar(7u64)));
    let y = graph.add_node("Custom", "y", &operands, attrs);
    graph.nodes[0].inputs.insert(1, None);
    graph.nodes[0].outputs.insert(0, None);
    graph.outputs = vec![y, input];
    model.manifest.labels = vec!["cat".into(), "dog".into()];
    model.manifest.extra.insert("newer".into(), serde_json::json!({ "field": [1, null] }));
    model
}

/// Everything a model holds, as text: tensors by their bytes.
fn text(model: &Model) -> String {
    let weights = model.graph.weights.iter().map(|(id, weight)| match weight {
        Weight::Dense(t) => format!("{id:?} {:?} {:?}", t.ty(), t.bytes()),
        Weight::Encoded(e) => {
            let parts = e.as_encoding().parts().into_iter().map(|(p, t)| format!("{p} {:?} {:?}", t.ty(), t.bytes()));
            format!("{id:?} {} {:?} {:?}", e.as_encoding().name(), e.shape(), parts.collect::<Vec<_>>())
        }
    });
    let weights: Vec<String> = weights.collect();
    let graph = &model.graph;
    let manifest = serde_json::to_string(&model.manifest).unwrap();
    format!(
        "{} {:?} {:?} {:?} {:?} {weights:?} {manifest}",
        graph.name, graph.values, graph.inputs, graph.outputs, graph.nodes
    )
}

fn bytes(model: &Model) -> Vec<u8> {
    let mut bytes = Vec::new();
    container::write("test", model, &mut bytes).unwrap();
    bytes
}

#[test]
fn container_keeps_everything() {
    let model = everything();
    let back = Model::from_bytes("test", &bytes(&model)).unwrap();
    assert_eq!(text(&back), text(&model));
}

#[test]
fn container_streams_tensor_by_tensor() {
    let model = everything();
    let bytes = bytes(&model);
    let header_len = safetensors::header_len("test", &bytes).unwrap() as usize;
    let header = container::parse_header("test", &bytes[..header_len]).unwrap();
    assert_eq!(header.file_len(), bytes.len() as u64);
    let mut builder = container::Builder::new(header);
    let tensors = builder.header().tensors().to_vec();
    for (i, tensor) in tensors.iter().enumerate().rev() {
        assert_eq!(tensor.range.start % tensor.ty.dtype.size() as u64, 0, "{tensor:?}");
        builder.put_bytes(i, &bytes[tensor.range.start as usize..tensor.range.end as usize]).unwrap();
    }
    assert_eq!(text(&builder.finish().unwrap()), text(&model));
}

/// Whatever its pieces, the model is the one read at once; with more behind it too, but not without its last bytes (of which
/// up to 31 only fill up).
#[test]
fn gguf_streams_tensor_by_tensor() {
    for name in ["types", "grids"] {
        let path = format!("{}/tests/data/encodings/gguf/{name}.gguf", env!("CARGO_MANIFEST_DIR"));
        let file = std::fs::read(path).unwrap();
        let read = |file: &[u8], pieces: usize| {
            let mut incoming = gguf::Incoming::new("test");
            file.chunks(pieces).try_for_each(|piece| incoming.push(piece))?;
            incoming.finish()
        };
        let want = bytes(&Model::from_bytes("test", &file).unwrap());
        for pieces in [1, 2, 31, 500, 1024, 3000, file.len()] {
            assert!(bytes(&read(&file, pieces).unwrap()) == want, "{name} in pieces of {pieces}");
            assert!(bytes(&read(&[&file[..], &[7; 100]].concat(), pieces).unwrap()) == want);
            let cut = read(&file[..file.len() - 32], pieces).unwrap_err().to_string();
            assert!(cut.contains("lies beyond the end"), "{cut}");
        }
    }
}

/// A flipped bit anywhere is found, by the hashes or because the header no longer parses.
#[test]
fn container_refuses_damage() {
    let bytes = bytes(&everything());
    for at in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        if let Ok(model) = Model::from_bytes("test", &damaged) {
            // Padding spaces, and the letters of a hash that is not there any more, say nothing about the model.
            assert_eq!(text(&model), text(&everything()), "byte {at}");
        }
    }
}

#[test]
fn fetched_models_survive_the_container() {
    let folder = std::env::temp_dir().join(format!("fewbit-formats-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["efficientnet_lite0", "ppocrv4_det"] {
        let Ok(model) = Model::open(models().join(name).with_extension("onnx")) else { continue };
        let path = folder.join("model.fewbit");
        model.save(&path).unwrap();
        assert_eq!(text(&Model::open(&path).unwrap()), text(&model), "{name}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn plain_safetensors_opens_as_weights() {
    let Ok(model) = Model::open(models().join("minilm/model.safetensors")) else {
        eprintln!("skipped: no fetched models");
        return;
    };
    let id = model.graph.find("embeddings.word_embeddings.weight").unwrap();
    assert_eq!(model.graph.weights[&id].ty(), TensorType::new(DType::F32, [30522, 384]));
}

/// The builder's graph against the reference ONNX file of the same weights: same convolutions, same shapes.
#[test]
fn efficientnet_is_built_from_its_torch_file() {
    let (Ok(torch), Ok(onnx)) =
        (Model::open(models().join("efficientnet_lite0.pth")), Model::open(models().join("efficientnet_lite0.onnx")))
    else {
        eprintln!("skipped: no fetched models");
        return;
    };
    let count = |model: &Model, op: &str| model.graph.nodes.iter().filter(|n| n.op == op).count();
    for op in ["Conv", "Clip", "Add", "GlobalAveragePool", "Flatten", "Gemm"] {
        assert_eq!(count(&torch, op), count(&onnx, op), "{op}");
    }
    let weight = |model: &Model, name: &str| match &model.graph.weights[&model.graph.find(name).unwrap()] {
        Weight::Dense(t) => t.clone(),
        Weight::Encoded(_) => panic!("{name} is encoded"),
    };
    // Not folded, so equal bit for bit.
    assert_eq!(weight(&torch, "_fc.weight").bytes(), weight(&onnx, "_fc.weight").bytes());
    // Strided in the torch file: 1 × 1 filters scaled by the normalisation, checked by hand.
    let name = "_blocks.3._expand_conv.weight";
    let norm = |part: &str| weight(&onnx, &format!("_blocks.3._bn0.{part}")).to_f32().unwrap();
    let (gamma, variance) = (norm("weight"), norm("running_var"));
    let (folded, plain) = (weight(&torch, name), weight(&onnx, name));
    assert_eq!(folded.shape(), plain.shape());
    let cols = plain.len() / gamma.len();
    for (i, (a, b)) in folded.to_f32().unwrap().iter().zip(plain.to_f32().unwrap()).enumerate() {
        let expected = b * gamma[i / cols] / (variance[i / cols] + 1e-3).sqrt();
        assert!((a - expected).abs() <= 1e-6 * expected.abs().max(1e-6), "{a} {expected}");
    }
    assert_eq!(torch.manifest.labels.len(), 1000);
}
