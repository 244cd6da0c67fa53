//! Folders in Hugging Face's layout: `config.json`, and safetensors in one file or in shards with an index.
//!
//! Quantised layers (GPTQ, AWQ, compressed-tensors, AQLM, MLX) become weights under their logical name, `X.weight`
//! `[outputs, inputs]`: the same codes and factors in the encodings of `weights/`. What no encoding holds is decoded to
//! f16. A layer whose columns lie in another order than its inputs (GPTQ's `desc_act`) keeps them sorted by group, as
//! `X.weight_sorted`, beside `X.weight_order`, an i64 `[inputs]`: column j belongs to input `order[j]`.

mod aqlm;
mod awq;
mod compressed;
mod config;
mod decoder;
pub(super) mod folder;
mod gptq;
mod grouped;
mod mlx;
mod state;
mod whisper;

use std::collections::BTreeMap;
use std::path::Path;

use config::Config;
use serde_json::Value;
use state::State;

use crate::graph::{Model, Weight};
use crate::models::llama;
use crate::tensor::Tensor;
use crate::{Error, Result, models};

/// A quantisation method: its name in `quantization_config.quant_method`, and what makes weights of a file's tensors.
type Method = (&'static str, fn(&mut State, &Config) -> Result<()>);

const METHODS: &[Method] = &[
    ("gptq", gptq::convert),
    ("awq", awq::convert),
    ("compressed-tensors", compressed::convert),
    ("aqlm", aqlm::convert),
    ("mlx", mlx::convert),
];

/// Reads a folder. Its configuration goes into the manifest as `config`.
pub fn open(folder: &Path) -> Result<Model> {
    let config = folder::json(&folder.join("config.json"))?.unwrap_or(Value::Null);
    let name = folder.display().to_string();
    match whisper::config(&name, &config)? {
        Some(whisper) => whisper::open(&whisper, config, folder),
        None => {
            let beside = decoder::beside(folder, &config)?;
            let mut model = build(&name, config, folder::tensors(folder)?)?;
            model.manifest.extra.extend(beside);
            Ok(model)
        }
    }
}

/// The same from memory: `config.json`, and one safetensors file.
pub fn from_bytes(name: &str, config: &[u8], safetensors: &[u8]) -> Result<Model> {
    let config = folder::parse_json(name, config)?;
    let mut tensors = BTreeMap::new();
    folder::add(name, safetensors.len() as u64, &mut &*safetensors, &mut tensors)?;
    build(name, config, tensors)
}

fn build(name: &str, config: Value, tensors: BTreeMap<String, Tensor>) -> Result<Model> {
    let config = Config { json: config };
    let mut state = State::new(name, tensors);
    if let Some(method) = config.method() {
        let known = METHODS.iter().find(|(name, _)| *name == method);
        let (_, convert) =
            known.ok_or_else(|| Error::Unsupported(format!("{name}: weights quantised by `{method}`")))?;
        convert(&mut state, &config)?;
    }
    let (dense, weights) = state.finish();
    let mut model = match decoder::describe(name, &config.json)? {
        Some(decoder) => {
            let graph = llama::build(&decoder.config, decoder.names, decoder.weights(dense, weights)?)?;
            Model { graph, ..Model::default() }
        }
        None => parts(name, dense, weights)?,
    };
    model.manifest.extra.insert("config".into(), config.json);
    Ok(model)
}

/// A model of an architecture that its tensors tell, or of none: weights alone.
fn parts(name: &str, dense: BTreeMap<String, Tensor>, weights: BTreeMap<String, Weight>) -> Result<Model> {
    let mut model = models::from_state_dict(dense)?;
    for (weight_name, weight) in weights {
        if model.graph.find(&weight_name).is_some() {
            return Err(Error::format(name, format!("tensor `{weight_name}` occurs twice")));
        }
        model.graph.add_weight(weight_name, weight);
    }
    Ok(model)
}
