//! `fewbit inspect`: what is inside a model file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::global::Global;
use super::{models, print};
use crate::graph::{Dim, Graph, Model, ValueId, Weight};
use crate::runtime::Session;
use crate::tensor::Tensor;
use crate::{Error, Result};

#[derive(Args)]
pub struct Options {
    /// The model file, a folder of Hugging Face's layout, or a delta
    model: PathBuf,
    /// A named size for the memory figure; repeat for each
    #[arg(long = "dim", value_name = "NAME=VALUE", value_parser = models::parse_dim)]
    dims: Vec<(String, usize)>,
}

pub fn run(global: &Global, options: &Options) -> Result<()> {
    #[cfg(feature = "full")]
    if options.model.is_file() && crate::formats::delta::is_one(&options.model) {
        return super::inspect_delta::run(global, &options.model);
    }
    let model = models::open(&options.model)?;
    let bytes = size(&options.model).map_err(|e| Error::io(options.model.display().to_string(), e))?;
    let operators = operators(&model.graph);
    let arena = arena_bytes(global, &model, &options.dims);
    if !global.json {
        return show(&model, bytes, &operators, &arena);
    }
    let mut report = json!({
        "task": model.manifest.task,
        "license": model.manifest.license,
        "provenance": model.manifest.provenance,
        "labels": model.manifest.labels.len(),
        "parameters": models::parameters(&model),
        "bytes": bytes,
        "bits_per_weight": models::bits_per_weight(&model),
        "tensors": tensors(&model.graph),
        "graph": {
            "inputs": values(&model.graph, &model.graph.inputs),
            "outputs": values(&model.graph, &model.graph.outputs),
            "operators": operators,
        },
    });
    match arena {
        Ok(bytes) => report["arena_bytes"] = bytes.into(),
        Err(error) => eprintln!("no memory figure: {error}"),
    }
    print::json(&report)
}

/// Bytes of a file, or of the files of a folder.
fn size(path: &Path) -> std::io::Result<u64> {
    let info = std::fs::metadata(path)?;
    if !info.is_dir() {
        return Ok(info.len());
    }
    std::fs::read_dir(path)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}

fn operators(graph: &Graph) -> BTreeMap<&str, usize> {
    let mut count = BTreeMap::new();
    for node in &graph.nodes {
        *count.entry(node.op.as_str()).or_insert(0) += 1;
    }
    count
}

/// Peak activation memory of one run, with unnamed sizes as `bench` would choose them.
fn arena_bytes(global: &Global, model: &Model, dims: &[(String, usize)]) -> Result<usize> {
    let inputs = models::random_inputs(model, dims)?;
    let inputs: Vec<(&str, &Tensor)> = inputs.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    // Planning needs no GPU, and the CPU's plan is the same on every machine.
    let mut session = Session::new(model, &crate::runtime::Device::cpu(global.threads)?)?;
    session.prepare(&inputs)?;
    session.report().map(|r| r.arena_bytes).ok_or_else(|| Error::Unsupported("the session has no plan".into()))
}

fn tensors(graph: &Graph) -> Vec<Value> {
    let row = |(id, weight): (&ValueId, &Weight)| {
        json!({
            "name": graph.value(*id).name,
            "shape": weight.ty().shape,
            "dtype": weight.ty().dtype.name(),
            "encoding": encoding(weight),
            "bits_per_weight": bits(weight),
            "bytes": weight.bytes(),
        })
    };
    graph.weights.iter().map(row).collect()
}

fn encoding(weight: &Weight) -> String {
    match weight {
        Weight::Dense(tensor) if tensor.dtype() == crate::tensor::DType::F32 => "f32".into(),
        Weight::Dense(tensor) => tensor.dtype().name().into(),
        Weight::Encoded(encoded) => encoded.as_encoding().name(),
    }
}

fn bits(weight: &Weight) -> f64 {
    8.0 * weight.bytes() as f64 / weight.ty().len().max(1) as f64
}

fn values(graph: &Graph, ids: &[ValueId]) -> Vec<Value> {
    let one = |&id: &ValueId| {
        let value = graph.value(id);
        let shape = value.dims.as_ref().map(|dims| dims.iter().map(dim).collect::<Vec<_>>());
        json!({"name": value.name, "dtype": value.dtype.map(|d| d.name()), "shape": shape})
    };
    ids.iter().map(one).collect()
}

/// A number, or the name of a size that the caller chooses.
fn dim(dim: &Dim) -> Value {
    match dim {
        Dim::Known(size) => json!(size),
        Dim::Symbol(name) => json!(name),
    }
}

fn show(model: &Model, bytes: u64, operators: &BTreeMap<&str, usize>, arena: &Result<usize>) -> Result<()> {
    let graph = &model.graph;
    let rows: Vec<_> = graph
        .weights
        .iter()
        .map(|(&id, weight)| {
            let (name, shape) = (graph.value(id).name.clone(), format!("{:?}", weight.ty().shape));
            vec![name, shape, encoding(weight), format!("{:.2}", bits(weight))]
        })
        .collect();
    print::table(&["tensor", "shape", "encoding", "bits"], &rows)?;
    print::line("")?;
    for (kind, ids) in [("input", &graph.inputs), ("output", &graph.outputs)] {
        for value in values(graph, ids) {
            let (name, dtype) = (value["name"].as_str().unwrap_or(""), value["dtype"].as_str().unwrap_or("any type"));
            print::line(&format!("{kind}  {name}  {dtype}  {}", value["shape"]))?;
        }
    }
    let operators: Vec<String> = operators.iter().map(|(op, count)| format!("{op} ×{count}")).collect();
    print::line(&format!("operators: {}", operators.join(", ")))?;
    for (what, text) in [
        ("task", &model.manifest.task),
        ("license", &model.manifest.license),
        ("provenance", &model.manifest.provenance),
    ] {
        if let Some(text) = text {
            print::line(&format!("{what}: {text}"))?;
        }
    }
    match arena {
        Ok(bytes) => print::line(&format!("activations: {bytes} bytes at their peak"))?,
        Err(error) => eprintln!("no memory figure: {error}"),
    }
    let (parameters, bits) = (models::parameters(model), models::bits_per_weight(model));
    print::line(&format!("{parameters} parameters, {bytes} bytes, {bits:.3} bits per weight"))
}
