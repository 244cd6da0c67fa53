//! Folders of decoders of the Llama family: `config.json` → the description of a decoder, and Hugging Face's names of its
//! tensors.

use serde_json::Value;

use super::keys::Keys;
use super::source::Source;
use crate::graph::Model;
use crate::models::llama::{self, Config, Gate, Window};
use crate::models::rope::{Rope, Scaling};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// GGUF's words for parts, and Hugging Face's.
const PARTS: &[(&str, &str)] = &[
    ("token_embd", "embed_tokens"),
    ("output_norm", "norm"),
    ("attn_norm", "input_layernorm"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// Gemma 3 has norms behind attention and the feed-forward layer too.
const GEMMA_NORMS: &[(&str, &str)] = &[
    ("post_attention_norm", "post_attention_layernorm"),
    ("ffn_norm", "pre_feedforward_layernorm"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
];
const NORMS: &[(&str, &str)] = &[("ffn_norm", "post_attention_layernorm")];

/// Every sixth layer of Gemma 3 sees all positions, unless its file says otherwise.
const GEMMA_PERIOD: usize = 6;

/// Llama, Mistral and Qwen.
pub fn llama(source: &mut Source) -> Result<Model> {
    build(source, false)
}

pub fn gemma(source: &mut Source) -> Result<Model> {
    build(source, true)
}

fn build(source: &mut Source, gemma: bool) -> Result<Model> {
    let keys = source.keys();
    let config = describe(&keys, gemma)?;
    let tied = keys.json["tie_word_embeddings"].as_bool().unwrap_or(gemma);
    if tied {
        // Some files store a tied head again.
        source.dense.remove("lm_head.weight");
    }
    if gemma {
        for (_, tensor) in source.dense.iter_mut().filter(|(name, _)| name.ends_with("norm.weight")) {
            *tensor = Tensor::new(tensor.shape(), &plus_one(tensor)?)?;
        }
    }
    let names = if gemma { gemma_names } else { llama_names };
    let mut model = Model { graph: llama::build(&config, names, source.weights()?)?, ..Model::default() };
    model.manifest.extra.extend(source.beside()?);
    Ok(model)
}

/// What `config.json`, or its part for text, says about a decoder.
pub fn describe(keys: &Keys, gemma: bool) -> Result<Config> {
    let (file, json) = (keys.file, keys.json);
    let (hidden, heads) = (keys.need("hidden_size")?, keys.need("num_attention_heads")?);
    let head = keys.size("head_dim").unwrap_or(hidden / heads);
    let activation = json["hidden_activation"].as_str().or(json["hidden_act"].as_str()).unwrap_or("silu");
    let gate = match activation {
        "silu" | "swish" => Gate::Silu,
        "gelu_pytorch_tanh" => Gate::Gelu,
        other => return Err(Error::Unsupported(format!("{file}: a gate with `{other}`"))),
    };
    for softcap in ["attn_logit_softcapping", "final_logit_softcapping"] {
        if !json[softcap].is_null() {
            return Err(Error::Unsupported(format!("{file}: `{softcap}`")));
        }
    }
    let layers = keys.need("num_hidden_layers")?;
    let rope = rope(keys, "full_attention", head)?;
    let local = json.pointer("/rope_parameters/sliding_attention").is_some();
    let local_rope = match keys.float("rope_local_base_freq") {
        _ if !gemma => None,
        _ if local => Some(self::rope(keys, "sliding_attention", head)?),
        base => Some(Rope { theta: base.unwrap_or(10_000.0), scaling: Scaling::None, ..rope.clone() }),
    };
    let scale = keys.float("query_pre_attn_scalar").filter(|&scalar| gemma && scalar > 0.0);
    Ok(Config {
        file: file.into(),
        layers,
        heads,
        kv_heads: keys.size("num_key_value_heads").unwrap_or(heads),
        epsilon: keys.float("rms_norm_eps").unwrap_or(1e-6) as f32,
        rope,
        local_rope,
        scale: scale.map(|scalar| scalar.powf(-0.5) as f32),
        window: window(keys, gemma, layers)?,
        gate,
        embedding_scale: if gemma { (hidden as f32).sqrt() } else { 1.0 },
    })
}

/// Gemma's norms multiply by one more than their weight.
fn plus_one(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.to_f32()?.iter().map(|v| v + 1.0).collect())
}

pub fn llama_names(layer: Option<usize>, part: &str) -> String {
    hf_name(layer, part, NORMS)
}

fn gemma_names(layer: Option<usize>, part: &str) -> String {
    hf_name(layer, part, GEMMA_NORMS)
}

fn hf_name(layer: Option<usize>, part: &str, norms: &[(&str, &str)]) -> String {
    let (stem, end) = part.rsplit_once('.').unwrap_or((part, ""));
    let known = PARTS.iter().chain(norms).find(|(name, _)| *name == stem);
    match (known, layer) {
        (Some((_, name)), Some(layer)) => format!("model.layers.{layer}.{name}.{end}"),
        (Some((_, name)), None) => format!("model.{name}.{end}"),
        (None, _) if stem == "output" => format!("lm_head.{end}"),
        // No tensor has this name.
        (None, _) => format!("{stem}.{end}"),
    }
}

/// Which layers see the last positions only.
fn window(keys: &Keys, gemma: bool, layers: usize) -> Result<Option<Window>> {
    // Qwen's files name a window whether or not it is used.
    let used = keys.json["use_sliding_window"].as_bool().unwrap_or(true);
    let Some(size) = keys.size("sliding_window").filter(|&size| used && size > 0) else { return Ok(None) };
    if let Some(kinds) = keys.json["layer_types"].as_array() {
        let slides: Vec<bool> = kinds.iter().map(|kind| kind == "sliding_attention").collect();
        // Layers that see all come one in every so many.
        let period = slides.iter().position(|slides| !slides).map_or(0, |first| first + 1);
        let fits = |(i, slides): (usize, &bool)| *slides == (period == 0 || !(i + 1).is_multiple_of(period));
        if slides.len() != layers || !slides.iter().enumerate().all(fits) {
            return Err(Error::Unsupported(format!("{}: windows of layers in no period", keys.file)));
        }
        return Ok((period != 1).then_some(Window { size, period }));
    }
    let period = match keys.size("sliding_window_pattern") {
        Some(period) => period,
        None => gemma as usize * GEMMA_PERIOD,
    };
    Ok(Some(Window { size, period }))
}

/// `kind`: the layers it is for, where a file has it for several.
fn rope(keys: &Keys, kind: &str, head: usize) -> Result<Rope> {
    let parameters = &keys.json["rope_parameters"];
    let own = [&parameters[kind], parameters, &keys.json["rope_scaling"]].into_iter().find(|v| v.is_object());
    let scaling = Keys { file: keys.file, json: own.unwrap_or(&Value::Null) };
    let theta = scaling.float("rope_theta").or_else(|| keys.float("rope_theta")).unwrap_or(10_000.0);
    let part = scaling.float("partial_rotary_factor").or_else(|| keys.float("partial_rotary_factor")).unwrap_or(1.0);
    Ok(Rope { theta, dims: (head as f64 * part) as usize, interleaved: false, scaling: stretch(keys, &scaling)? })
}

fn stretch(keys: &Keys, scaling: &Keys) -> Result<Scaling> {
    let kind = scaling.json["rope_type"].as_str().or(scaling.json["type"].as_str()).unwrap_or("default");
    let need = |key: &str| {
        let what = || Error::format(keys.file, format!("config.json: rope scaling `{kind}` needs `{key}`"));
        scaling.float(key).filter(|&value| value > 0.0).ok_or_else(what)
    };
    match kind {
        "default" | "mrope" => Ok(Scaling::None),
        "linear" => Ok(Scaling::Linear(need("factor")?)),
        "llama3" => Ok(Scaling::Llama3 {
            factor: need("factor")?,
            low: need("low_freq_factor")?,
            high: need("high_freq_factor")?,
            original: need("original_max_position_embeddings")?,
        }),
        "yarn" => Ok(Scaling::Yarn { factor: need("factor")?, original: need("original_max_position_embeddings")? }),
        other => Err(Error::Unsupported(format!("{}: rotary embedding stretched by `{other}`", keys.file))),
    }
}
