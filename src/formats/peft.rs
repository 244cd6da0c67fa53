//! LoRA adapters in the folders that Hugging Face's `peft` writes: `adapter_config.json` and `adapter_model.safetensors`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde_json::Value;

use super::hf::folder;
use crate::deltas::{Change, Delta, LowRank, Names};
use crate::graph::{Graph, Weight};
use crate::tensor::{DType, Tensor, TensorType};
use crate::{Error, Result};

pub const CONFIG: &str = "adapter_config.json";

const WEIGHTS: &str = "adapter_model.safetensors";

/// What `peft` puts before the names that the model has.
const PREFIX: &str = "base_model.model.";

/// The adapter as a delta of `graph`, whose tensors it finds by name, or by what a name ends with where the adapter was
/// trained on a part of the model. LoRA of linear layers, convolutions and embeddings, scaled by `lora_alpha` over the rank
/// or, with `use_rslora`, its root (Kalajdzievski 2023), and tensors that were trained whole.
///
/// `Error::Unsupported` for other methods than LoRA, and for DoRA; `Error::Usage` for an adapter of another model.
pub fn open(path: &Path, graph: &Graph) -> Result<Delta> {
    let name = path.display().to_string();
    let missing = || Error::Usage(format!("{name} is no adapter: it has no {CONFIG}"));
    let config = folder::json(&path.join(CONFIG))?.ok_or_else(missing)?;
    let file = path.join(WEIGHTS);
    let io = |e| Error::io(file.display().to_string(), e);
    let source = File::open(&file).map_err(io)?;
    let len = source.metadata().map_err(io)?.len();
    let mut tensors = BTreeMap::new();
    folder::add(&file.display().to_string(), len, &mut BufReader::new(source), &mut tensors)?;
    build(&name, &config, tensors, graph)
}

/// The same from memory.
pub fn from_bytes(name: &str, config: &[u8], safetensors: &[u8], graph: &Graph) -> Result<Delta> {
    let config = folder::parse_json(name, config)?;
    let mut tensors = BTreeMap::new();
    folder::add(name, safetensors.len() as u64, &mut &*safetensors, &mut tensors)?;
    build(name, &config, tensors, graph)
}

/// The two factors of a layer, as they are stored.
#[derive(Default)]
struct Factors {
    a: Option<Tensor>,
    b: Option<Tensor>,
    /// `A` and `B` of an embedding, whose weight has the other order.
    embedding: bool,
}

fn build(file: &str, config: &Value, tensors: BTreeMap<String, Tensor>, graph: &Graph) -> Result<Delta> {
    refuse(file, config)?;
    let names = Names::of(graph);
    let mut changes = BTreeMap::new();
    let mut layers: BTreeMap<String, Factors> = BTreeMap::new();
    for (full, tensor) in tensors {
        // Some versions name the adapter.
        let name = full.strip_prefix(PREFIX).unwrap_or(&full).replace(".default", "").replace(".base_layer", "");
        let unsupported = || Error::Unsupported(format!("{file}: `{full}`"));
        if let Some((layer, part)) = name.split_once(".lora_") {
            let factors = layers.entry(layer.to_string()).or_default();
            factors.embedding = part.starts_with("embedding");
            match part {
                "A.weight" | "embedding_A" => factors.a = Some(tensor),
                "B.weight" | "embedding_B" => factors.b = Some(tensor),
                _ => return Err(unsupported()),
            }
            continue;
        }
        let name = find(file, &names, &name.replace(".modules_to_save", ""))?;
        // Gemma's are stored as one less than what they multiply by.
        if name.ends_with("norm.weight") {
            return Err(unsupported());
        }
        changes.insert(name.clone(), whole(file, graph, &names, &name, tensor)?);
    }
    for (layer, factors) in layers {
        let name = find(file, &names, &format!("{layer}.weight"))?;
        let change = low_rank(file, config, &layer, factors, &type_of(graph, &names, &name)?)?;
        if changes.insert(name.clone(), Change::LowRank(change)).is_some() {
            return Err(Error::format(file, format!("`{name}` is changed twice")));
        }
    }
    Ok(Delta { base: None, changes })
}

/// Refuses what is not plain LoRA.
fn refuse(file: &str, config: &Value) -> Result<()> {
    let method = config["peft_type"].as_str().unwrap_or("LORA");
    if method != "LORA" {
        return Err(Error::Unsupported(format!("{file}: an adapter of type `{method}`; LORA is read")));
    }
    for option in ["use_dora", "use_qalora", "lora_bias"] {
        if config[option].as_bool() == Some(true) {
            return Err(Error::Unsupported(format!("{file}: LoRA with `{option}`")));
        }
    }
    Ok(())
}

/// The weight that the adapter calls `name`.
fn find(file: &str, names: &Names, name: &str) -> Result<String> {
    if !names.all(name).is_empty() {
        return Ok(name.to_string());
    }
    let end = format!(".{name}");
    let found: Vec<&str> = names.iter().map(|(name, _)| name).filter(|known| known.ends_with(&end)).collect();
    match found.as_slice() {
        [one] => Ok(one.to_string()),
        _ => {
            Err(Error::Usage(format!("{file} changes `{name}`, which the model does not have: it is of another model")))
        }
    }
}

fn type_of(graph: &Graph, names: &Names, name: &str) -> Result<TensorType> {
    let ty = graph.weights.get(&names.one(name)?).map(Weight::ty);
    ty.ok_or_else(|| Error::Usage(format!("`{name}` is no weight")))
}

/// A tensor that was trained whole, in the type that the graph has it in.
fn whole(file: &str, graph: &Graph, names: &Names, name: &str, tensor: Tensor) -> Result<Change> {
    let ty = type_of(graph, names, name)?;
    match ty.dtype {
        dtype if dtype == tensor.dtype() => Ok(Change::Whole(tensor)),
        DType::F32 => Tensor::new(tensor.shape(), &tensor.to_f32()?).map(Change::Whole),
        dtype => Err(Error::Unsupported(format!(
            "{file}: `{name}` is {}, and {} in the model",
            tensor.dtype().name(),
            dtype.name()
        ))),
    }
}

fn low_rank(file: &str, config: &Value, layer: &str, factors: Factors, ty: &TensorType) -> Result<LowRank> {
    let wrong = |what: String| Error::format(file, format!("LoRA of `{layer}` {what}"));
    let Factors { a: Some(a), b: Some(b), embedding } = factors else {
        return Err(wrong("lacks one of its matrices".into()));
    };
    // Convolutions: A [rank, inputs, height, width], B [outputs, rank, 1, 1].
    let flat = |tensor: &Tensor| {
        let rows = tensor.shape().first().copied().unwrap_or(0).max(1);
        Tensor::new([rows, tensor.len() / rows], &tensor.to_f32()?)
    };
    let (a, b) = (flat(&a)?, flat(&b)?);
    let rank = a.shape()[0];
    let alpha = alpha(file, config, layer)?;
    let rank_or_root = if config["use_rslora"].as_bool() == Some(true) { (rank as f64).sqrt() } else { rank as f64 };
    let turned = embedding || config["fan_in_fan_out"].as_bool() == Some(true);
    let (up, down) = if turned { (transposed(&a)?, transposed(&b)?) } else { (b, a) };
    let change = LowRank::new(ty.shape.clone(), up, down, (alpha / rank_or_root) as f32);
    change.map_err(|e| wrong(format!("does not fit the model's tensor: {e}")))
}

/// A layer's `lora_alpha`, which may have one of its own.
fn alpha(file: &str, config: &Value, layer: &str) -> Result<f64> {
    for (key, value) in config["alpha_pattern"].as_object().into_iter().flatten() {
        if key.chars().any(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))) {
            return Err(Error::Unsupported(format!("{file}: the expression `{key}` in `alpha_pattern`")));
        }
        let matches = layer == key || layer.strip_suffix(key.as_str()).is_some_and(|before| before.ends_with('.'));
        if let (true, Some(alpha)) = (matches, value.as_f64()) {
            return Ok(alpha);
        }
    }
    config["lora_alpha"].as_f64().ok_or_else(|| Error::format(file, format!("{CONFIG} lacks `lora_alpha`")))
}

fn transposed(matrix: &Tensor) -> Result<Tensor> {
    let &[rows, cols] = matrix.shape() else { return Err(Error::Usage(format!("{:?} is no matrix", matrix.ty()))) };
    let values = matrix.slice::<f32>()?;
    let turned: Vec<f32> = (0..cols).flat_map(|c| (0..rows).map(move |r| values[r * cols + c])).collect();
    Tensor::new([cols, rows], &turned)
}
