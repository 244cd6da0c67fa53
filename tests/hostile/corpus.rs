//! Small valid files of every format, written here byte by byte.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use fewbit::deltas::{Change, Delta, LowRank, Rows, Sparse, Ternary};
use fewbit::formats::{container, delta, npy, safetensors};
use fewbit::graph::{Attr, Attrs, Dim, Graph, Model, Weight};
use fewbit::tensor::{DType, Tensor, TensorType};
use fewbit::weights::{Affine, Encoded, Palette, Zero};

/// A protobuf message under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn int(mut self, field: u64, value: i64) -> Self {
        self.varint(field << 3);
        self.varint(value as u64);
        self
    }

    fn float(mut self, field: u64, value: f32) -> Self {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    fn message(self, field: u64, message: Message) -> Self {
        self.bytes(field, &message.0)
    }
}

fn node(op: &str, inputs: &[&str], output: &str, attributes: Vec<Message>) -> Message {
    let mut node = Message::default();
    for input in inputs {
        node = node.text(1, input);
    }
    node = node.text(2, output).text(3, output).text(4, op);
    attributes.into_iter().fold(node, |node, attribute| node.message(5, attribute))
}

fn ints(name: &str, values: &[i64]) -> Message {
    values.iter().fold(Message::default().text(1, name).int(20, 7), |m, &v| m.int(8, v))
}

fn int(name: &str, value: i64) -> Message {
    Message::default().text(1, name).int(3, value).int(20, 2)
}

fn float(name: &str, value: f32) -> Message {
    Message::default().text(1, name).float(2, value).int(20, 1)
}

fn tensor(name: &str, dims: &[i64], data_type: i64) -> Message {
    dims.iter().fold(Message::default(), |m, &d| m.int(1, d)).int(2, data_type).text(8, name)
}

fn raw(name: &str, dims: &[i64], values: impl Iterator<Item = f32>) -> Message {
    let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
    tensor(name, dims, 1).bytes(9, &bytes)
}

fn value_info(name: &str, dims: &[Option<i64>]) -> Message {
    let shape = dims.iter().fold(Message::default(), |shape, dim| {
        let dim = match dim {
            Some(size) => Message::default().int(1, *size),
            None => Message::default().text(2, "batch"),
        };
        shape.message(1, dim)
    });
    let ty = Message::default().int(1, 1).message(2, shape);
    Message::default().text(1, name).message(2, Message::default().message(1, ty))
}

/// A small network of opset 9: raw and typed tensors, a constant, and operators whose form has changed since.
pub fn onnx() -> Vec<u8> {
    let wave = |n: usize| (0..n).map(|i| (i as f32).sin());
    let shape = tensor("shape", &[2], 7).int(7, 0).int(7, -1);
    let constant = Message::default().text(1, "value").message(5, tensor("", &[], 1).float(4, 0.5)).int(20, 4);
    let graph = Message::default()
        .message(1, node("Conv", &["x", "w", "b"], "conv", vec![ints("pads", &[1, 1, 1, 1]), ints("strides", &[2, 2])]))
        .message(1, node("Clip", &["conv"], "clip", vec![float("min", 0.0), float("max", 6.0)]))
        .message(1, node("Constant", &[], "half", vec![constant]))
        .message(1, node("Mul", &["clip", "half"], "scaled", vec![]))
        .message(
            1,
            node("MaxPool", &["scaled"], "pooled", vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])]),
        )
        .message(
            1,
            node("Slice", &["pooled"], "slice", vec![ints("starts", &[0]), ints("ends", &[1]), ints("axes", &[3])]),
        )
        .message(1, node("ReduceMean", &["slice"], "mean", vec![ints("axes", &[2]), int("keepdims", 1)]))
        .message(1, node("Reshape", &["mean", "shape"], "flat", vec![]))
        .message(1, node("Gemm", &["flat", "v"], "logits", vec![int("transB", 1)]))
        .message(1, node("Softmax", &["logits"], "y", vec![int("axis", 1)]))
        .text(2, "network")
        .message(5, raw("w", &[4, 3, 3, 3], wave(108)))
        .message(5, raw("b", &[4], wave(4)))
        .message(5, shape)
        .message(5, raw("v", &[5, 4], wave(20)))
        .message(11, value_info("x", &[None, Some(3), Some(8), Some(8)]))
        .message(12, value_info("y", &[None, Some(5)]));
    let opset = Message::default().text(1, "").int(2, 9);
    Message::default().int(1, 7).text(2, "test").message(7, graph).message(8, opset).0
}

/// A tensor as the public test layout stores it.
pub fn tensor_proto() -> Vec<u8> {
    raw("input", &[2, 3, 4], (0..24).map(|i| i as f32)).0
}

/// A few-bit linear layer, an activation and a lookup.
pub fn fewbit() -> Vec<u8> {
    let mut graph = Graph { name: "few".into(), ..Graph::default() };
    let x = graph.add_input("x", DType::F32, vec![Dim::Symbol("batch".into()), Dim::Known(16)]);
    let codes =
        |rows: usize| Tensor::new([rows, 8], &(0..rows * 8).map(|i| (i * 37) as u8).collect::<Vec<_>>()).unwrap();
    let table = Tensor::new([1, 16], &(0..16).map(|i| i as f32 * 0.1).collect::<Vec<_>>()).unwrap();
    let palette = Palette::new(vec![8, 16], 4, 8, codes(8), table, None).unwrap();
    let scales = Tensor::new([4, 1], &[half::f16::ONE; 4]).unwrap();
    let affine =
        Affine::new(vec![4, 8], 4, 32, Tensor::new([4, 4], &[0x73u8; 16]).unwrap(), scales, Zero::Middle).unwrap();
    let first = graph.add_weight("first", Weight::Encoded(Arc::new(Encoded::Palette(palette))));
    let second = graph.add_weight("second", Weight::Encoded(Arc::new(Encoded::Affine(affine))));
    let bias = graph.add_weight("bias", Weight::Dense(Tensor::new([4], &[0.5f32; 4]).unwrap()));
    let mut transposed = Attrs::default();
    transposed.set("transB", Attr::Int(1));
    transposed.set("alpha", Attr::Float(1.0));
    let hidden = graph.add_node("Gemm", "hidden", &[x, first], transposed.clone());
    let active = graph.add_node("Relu", "active", &[hidden], Attrs::default());
    let y = graph.add_node("Gemm", "y", &[active, second, bias], transposed);
    graph.outputs.push(y);
    let mut model = Model { graph, ..Model::default() };
    model.manifest.labels = vec!["a".into(), "b".into()];
    let mut bytes = Vec::new();
    container::write("test", &model, &mut bytes).unwrap();
    bytes
}

/// A container whose manifest was changed by `edit` and whose hashes fit again: what a malicious author would write.
pub fn resigned(file: &[u8], edit: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let header = safetensors::parse_header("test", file).unwrap();
    let json = String::from_utf8_lossy(&edit(header.metadata["fewbit"].as_bytes())).into_owned();
    let types: Vec<(String, TensorType)> = header.tensors.iter().map(|t| (t.name.clone(), t.ty.clone())).collect();
    let sha = container::digest(&json, types.iter().map(|(name, ty)| (name.as_str(), ty)));
    let metadata = BTreeMap::from([("fewbit".to_string(), json), ("fewbit_sha256".to_string(), sha)]);
    let mut bytes = safetensors::write_header(&types, &metadata).unwrap();
    bytes.extend(&file[header.data_start as usize..]);
    bytes
}

/// A change of every kind.
pub fn delta() -> Vec<u8> {
    let floats = |shape: [usize; 2]| Tensor::new(shape, &vec![0.5f32; shape[0] * shape[1]]).unwrap();
    let changes = [
        ("a", Change::Ternary(Ternary::new(vec![50, 7], 0.25, &[0, 1, 20, 340], &[true, false, true, true]).unwrap())),
        ("b", Change::Sparse(Sparse::new(vec![300], &[3, 299], &[1.5, -2.0]).unwrap())),
        ("c", Change::Rows(Rows::new(vec![4, 1, 3], &[1, 3], &[1.0; 6]).unwrap())),
        ("d", Change::LowRank(LowRank::new(vec![4, 3, 2], floats([4, 2]), floats([2, 6]), 0.5).unwrap())),
        ("e", Change::Whole(Tensor::new([3], &[1u8, 2, 3]).unwrap())),
    ];
    let changes = changes.into_iter().map(|(name, change)| (name.to_string(), change)).collect();
    delta::write(&Delta { base: Some("0123456789abcdef".into()), changes }).unwrap()
}

/// The same as `resigned`, of a delta.
pub fn resigned_delta(file: &[u8], edit: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let header = safetensors::parse_header("test", file).unwrap();
    let json = String::from_utf8_lossy(&edit(header.metadata[delta::MANIFEST].as_bytes())).into_owned();
    let tensors = header.tensors.iter().map(|entry| {
        let bytes = &file[entry.range.start as usize..entry.range.end as usize];
        (entry.name.clone(), Tensor::from_bytes(entry.ty.clone(), bytes).unwrap())
    });
    let tensors: Vec<(String, Tensor)> = tensors.collect();
    let types: Vec<_> = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.ty().clone())).collect();
    let sha = delta::digest(&json, &tensors);
    let metadata = BTreeMap::from([(delta::MANIFEST.to_string(), json), (format!("{}_sha256", delta::MANIFEST), sha)]);
    let mut bytes = safetensors::write_header(&types, &metadata).unwrap();
    bytes.extend(&file[header.data_start as usize..]);
    bytes
}

/// What `adapter` is for.
pub fn adapted() -> Graph {
    let mut graph = Graph::default();
    graph.add_weight("layer.weight", Weight::Dense(Tensor::new([6, 4], &[0.5f32; 24]).unwrap()));
    graph.add_weight("head.weight", Weight::Dense(Tensor::new([3], &[0.5f32; 3]).unwrap()));
    graph
}

/// A PEFT adapter: length and text of `adapter_config.json`, then the safetensors file.
pub fn adapter() -> Vec<u8> {
    let config = br#"{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "alpha_pattern": {"layer": 3}}"#;
    let tensors = [("layer.lora_A.weight", vec![2, 4]), ("layer.lora_B.weight", vec![6, 2]), ("head.weight", vec![3])];
    let types = tensors.map(|(name, shape)| (format!("base_model.model.{name}"), TensorType::new(DType::F32, shape)));
    let bytes: usize = types.iter().map(|(_, ty)| ty.bytes()).sum();
    let mut file = [&(config.len() as u32).to_le_bytes()[..], config].concat();
    file.extend(safetensors::write_header(&types, &BTreeMap::new()).unwrap());
    file.resize(file.len() + bytes, 1);
    file
}

pub fn plain_safetensors() -> Vec<u8> {
    let types =
        [("a".to_string(), TensorType::new(DType::F32, [2, 3])), ("b".to_string(), TensorType::new(DType::U8, [5]))];
    let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    let mut bytes = safetensors::write_header(&types, &metadata).unwrap();
    bytes.extend([1; 29]);
    bytes
}

pub fn npy() -> Vec<u8> {
    npy::write(&Tensor::new([3, 4], &[1.5f32; 12]).unwrap()).unwrap()
}

/// A state dictionary with one column-major matrix.
pub fn torch() -> Vec<u8> {
    let text = |s: &str| [b"X", &(s.len() as u32).to_le_bytes()[..], s.as_bytes()].concat();
    let dict: &[u8] = b"ccollections\nOrderedDict\n)R";
    let mut file = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}q\x00.\x80\x02".to_vec();
    file.extend(dict);
    file.extend(b"q\x01(");
    file.extend(text("layer.weight"));
    file.extend(b"ctorch._utils\n_rebuild_tensor_v2\nq\x02((");
    file.extend(text("storage"));
    file.extend(b"ctorch\nFloatStorage\nq\x03");
    file.extend([text("1"), text("cpu"), b"K\x06NtQK\x00K\x02K\x03\x86K\x01K\x02\x86\x89".to_vec()].concat());
    file.extend(dict);
    file.extend(b"tRu.\x80\x02](");
    file.extend(text("1"));
    file.extend(b"e.");
    file.extend(6u64.to_le_bytes());
    file.extend((0..6).flat_map(|i| (i as f32).to_le_bytes()));
    file
}

/// A small picture in each format; JPEG in each of its codings.
pub fn photos() -> Vec<(&'static str, Vec<u8>)> {
    use image::ImageFormat::{Bmp, Gif, Png, WebP};
    let picture = image::RgbImage::from_fn(24, 17, |x, y| image::Rgb([x as u8 * 9, y as u8 * 13, (x * y) as u8]));
    let encode = |format| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    let formats = [("png", Png), ("gif", Gif), ("bmp", Bmp), ("webp", WebP)];
    let mut photos: Vec<(&str, Vec<u8>)> = formats.map(|(name, format)| (name, encode(format))).into();
    for name in ["420", "420-restart", "420-progressive", "444-progressive", "440", "grey-progressive", "ycck"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/jpeg/{name}.jpg"));
        photos.push((name, std::fs::read(path).unwrap()));
    }
    photos
}

/// A file in the layout of a public format, written by its reference.
fn encodings(name: &str) -> Vec<u8> {
    data(&format!("encodings/{name}"))
}

fn data(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)).unwrap()
}

pub fn gguf() -> Vec<u8> {
    encodings("gguf/types.gguf")
}

/// An operator over few-bit weights.
pub fn nbits() -> Vec<u8> {
    encodings("onnx/matmulnbits-4-16-packed.onnx")
}

/// Names, and where they lie.
pub const FOLDERS: [(&str, &str); 8] = [
    ("gptq-3", "encodings"),
    ("awq", "encodings"),
    ("compressed-0.12.2-3-group", "encodings"),
    ("aqlm-1x8", "encodings"),
    ("mlx-4", "encodings"),
    ("siglip", "encoders"),
    ("dinov2", "encoders"),
    ("roberta", "encoders"),
];

/// The configuration and the weights of a folder, as `hf::from_bytes` takes them, in one: the length of the former first.
pub fn folder((name, parent): (&str, &str)) -> Vec<u8> {
    let file = |file: &str| data(&format!("{parent}/{name}/{file}"));
    let (config, weights) = (file("config.json"), file("model.safetensors"));
    [&(config.len() as u32).to_le_bytes()[..], &config, &weights].concat()
}

/// A Whisper of one layer each.
pub fn ct2() -> Vec<u8> {
    use fewbit::models::whisper::Config;
    let config =
        Config { file: "ct2".into(), encoder_layers: 1, encoder_heads: 2, decoder_layers: 1, decoder_heads: 2 };
    let mut weights = BTreeMap::new();
    let mut add = |name: String, shape: &[usize]| {
        let values: Vec<f32> = (0..shape.iter().product()).map(|i: usize| (i % 7) as f32 / 8.0 - 0.4).collect();
        weights.insert(name, Tensor::new(shape, &values).unwrap());
    };
    let mut both = |name: String, shape: &[usize]| {
        add(format!("{name}.weight"), shape);
        add(format!("{name}.bias"), &shape[..1]);
    };
    both("model.encoder.conv1".into(), &[4, 3, 3]);
    both("model.encoder.conv2".into(), &[4, 4, 3]);
    for part in ["encoder", "decoder"] {
        both(format!("model.{part}.embed_positions"), &[5, 4]);
        both(format!("model.{part}.layer_norm"), &[4]);
        both(format!("model.{part}.layers.0.final_layer_norm"), &[4]);
        both(format!("model.{part}.layers.0.fc1"), &[6, 4]);
        both(format!("model.{part}.layers.0.fc2"), &[4, 6]);
        for attention in ["self_attn", "encoder_attn"] {
            both(format!("model.{part}.layers.0.{attention}_layer_norm"), &[4]);
            for projection in ["q_proj", "k_proj", "v_proj", "out_proj"] {
                both(format!("model.{part}.layers.0.{attention}.{projection}"), &[4, 4]);
            }
        }
    }
    both("model.decoder.embed_tokens".into(), &[9, 4]);
    crate::whisper_ct2::model_bin(&config, &weights)
}

#[cfg(feature = "audio")]
pub const SOUNDS: [&str; 4] = ["wav", "flac", "mp3", "ogg"];

/// A short tone.
#[cfg(feature = "audio")]
pub fn sound(name: &str) -> Vec<u8> {
    if name == "wav" {
        let mut file =
            b"RIFF\x24\x10\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\0\x10\0\0"
                .to_vec();
        file.extend((0..4096).map(|i| (128.0 + 90.0 * (f64::from(i) / 3.0).sin()) as u8));
        return file;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/speech/tone").with_extension(name);
    std::fs::read(path).unwrap()
}
