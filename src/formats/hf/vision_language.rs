//! Folders of vision-language models: Qwen2-VL, Idefics 3 and SmolVLM, LLaVA. Their decoders are described as alone, in
//! `text_config`; how photos become inputs stands in `preprocessor_config.json`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::keys::Keys;
use super::source::Source;
use super::{clip, decoder, image, vision};
use crate::Result;
use crate::graph::{ImageInput, Model};
use crate::models::encoder::Activation;
use crate::models::pictures::{Layout, Pictures};
use crate::models::vision_language::{self, TASK, Tower, VisionLanguage};
use crate::models::{clip as towers, maccap, qwen2_vl};
use crate::tensor::Tensor;

/// How tensors' names begin in files of different times, and in the graph.
const PREFIXES: &[(&str, &str)] = &[
    ("model.language_model.", "model."),
    ("model.text_model.", "model."),
    ("language_model.model.", "model."),
    ("language_model.lm_head.", "lm_head."),
    ("model.visual.", "visual."),
    ("model.vision_tower.", "vision_tower."),
    ("model.multi_modal_projector.", "multi_modal_projector."),
];

/// Sides of patches in pixels, and of squares of patches, are far below.
const MOST_SIDE: usize = 1024;

pub fn qwen2_vl(source: &mut Source) -> Result<Model> {
    let keys = source.keys();
    let tower = keys.inner("vision_config");
    let side = |key: &str, default: usize| match tower.need_or(key, default)? {
        side if side <= MOST_SIDE => Ok(side),
        _ => Err(tower.wrong(key)),
    };
    let merge = side("spatial_merge_size", 2)?;
    let patch = side("patch_size", 14)?;
    let frames = side("temporal_patch_size", 2)?;
    let description = Tower::Qwen2Vl(qwen2_vl::Tower {
        layers: tower.need_or("depth", 32)?,
        heads: tower.need_or("num_heads", 16)?,
        merge,
        activation: vision::activation(&tower, "quick_gelu")?,
    });
    // A convolution whose steps are its size is a product.
    for (name, tensor) in &mut source.dense {
        if name.ends_with(qwen2_vl::PATCHES) {
            *tensor = flat(tensor)?;
        }
    }
    let photos = source.json(image::FILE)?.unwrap_or_default();
    let photos = Keys { file: source.name, json: &photos };
    let pixels = |own: &str, side: &str, default: usize| {
        photos.size(own).or_else(|| photos.inner("size").size(side)).unwrap_or(default)
    };
    let unit = patch * merge;
    let layout = Layout::Patches {
        patch,
        merge,
        frames,
        min_pixels: pixels("min_pixels", "shortest_edge", 4 * unit * unit),
        max_pixels: pixels("max_pixels", "longest_edge", 1280 * unit * unit),
    };
    build(source, description, layout, "<|image_pad|>")
}

pub fn idefics3(source: &mut Source) -> Result<Model> {
    let keys = source.keys();
    let tower = with_defaults(
        &keys.json["vision_config"],
        &[("num_hidden_layers", 12), ("num_attention_heads", 16), ("image_size", 224), ("patch_size", 32)],
    );
    let tower = Keys { file: source.name, json: &tower };
    let vision = clip::vision(&tower, "model.vision_model.", true)?;
    let (scale, patch) = (keys.need_or("scale_factor", 2)?, tower.need("patch_size")?);
    let side = vision.size[0];
    let across = side / patch / scale;
    let photos = source.json(image::FILE)?.unwrap_or_default();
    let photos = Keys { file: source.name, json: &photos };
    let layout = Layout::Tiles {
        side,
        longest: photos.inner("size").need_or("longest_edge", side.saturating_mul(4))?,
        features: across.saturating_mul(across),
        split: photos.json["do_image_splitting"].as_bool().unwrap_or(true),
    };
    if photos.inner("max_image_size").size("longest_edge").is_some_and(|tile| tile != side) {
        return Err(keys.unsupported(format!("tiles of another size than the tower's, {side}")));
    }
    let vision = towers::Vision { pool: towers::VisionPool::None, ..vision };
    build(source, Tower::Idefics3 { vision, scale }, layout, "<image>")
}

pub fn llava(source: &mut Source) -> Result<Model> {
    let keys = source.keys();
    let inner = keys.inner("vision_config");
    if keys.inner("vision_config").text("model_type") != Some("clip_vision_model") {
        return Err(keys.unsupported("a LLaVA whose tower is not CLIP's"));
    }
    let mut vision = clip::vision(&inner, "vision_tower.vision_model.", false)?;
    // Of states before the first block and behind each; from the end if negative.
    let states = i64::try_from(vision.encoder.layers).unwrap_or(i64::MAX).saturating_add(1);
    let layer = keys.json["vision_feature_layer"].as_i64().unwrap_or(-2);
    let layers = if layer < 0 { states.saturating_add(layer) } else { layer };
    vision.encoder.layers = match usize::try_from(layers) {
        Ok(layers) if (layers as i64) < states => layers,
        _ => return Err(keys.wrong("vision_feature_layer")),
    };
    let class = match keys.text("vision_feature_select_strategy").unwrap_or("default") {
        "default" => false,
        "full" => true,
        other => return Err(keys.unsupported(format!("features selected as `{other}`"))),
    };
    let patch = inner.need_or("patch_size", 32)?;
    let [height, width] = vision.size.map(|side| side / patch);
    let features = height.saturating_mul(width).saturating_add(class.into());
    let activation = Activation::of(source.name, keys.text("projector_hidden_act").unwrap_or("gelu"))?;
    build(source, Tower::Llava { vision, class, activation }, Layout::Whole { features }, "<image>")
}

/// The model of a folder with this tower. `token`: how the one that stands for pictures is written, unless the folder says it.
pub fn build(source: &mut Source, tower: Tower, layout: Layout, token: &str) -> Result<Model> {
    rename(source)?;
    let text = text_config(&source.config.json);
    let keys = Keys { file: source.name, json: &text };
    let sections = sections(&keys)?;
    let decoder = decoder::describe(&keys, false)?;
    if text["tie_word_embeddings"] == true {
        // Some files store a tied head again.
        source.dense.remove("lm_head.weight");
    }
    let image = image_input(source, &tower)?;
    let description = VisionLanguage { tower, decoder, names: decoder::llama_names, sections };
    let mut model = Model { graph: vision_language::build(&description, source.weights()?)?, ..Model::default() };
    let extra = &mut model.manifest.extra;
    extra.extend(source.beside()?);
    extra.extend(text.get("max_position_embeddings").map(|length| ("context".into(), length.clone())));
    if !extra.contains_key("eos_token_id") && !text["eos_token_id"].is_null() {
        extra.insert("eos_token_id".into(), text["eos_token_id"].clone());
    }
    let token = token_text(source, model.manifest.extra.get("tokenizer")).unwrap_or_else(|| token.into());
    if let Some(image) = image {
        Pictures { image, token, layout }.store(&mut model.manifest)?;
    }
    model.manifest.task = Some(TASK.into());
    Ok(model)
}

/// Names of tensors as the graph has them.
fn rename(source: &mut Source) -> Result<()> {
    fn renamed<T>(all: &mut BTreeMap<String, T>) {
        let taken = std::mem::take(all).into_iter();
        *all = taken.map(|(name, tensor)| (own_name(&name), tensor)).collect();
    }
    let count = source.dense.len() + source.few_bit.len();
    renamed(&mut source.dense);
    renamed(&mut source.few_bit);
    match source.dense.len() + source.few_bit.len() == count {
        true => Ok(()),
        false => Err(source.keys().unsupported("tensors with the same name but for what it begins with")),
    }
}

fn own_name(name: &str) -> String {
    let known = PREFIXES.iter().find_map(|(from, to)| Some(format!("{to}{}", name.strip_prefix(from)?)));
    known.unwrap_or_else(|| name.into())
}

/// The decoder's part of `config.json`, which older files do not keep apart, with what Llama's leave out.
fn text_config(config: &Value) -> Value {
    let own = if config["text_config"].is_object() { &config["text_config"] } else { config };
    let llama = own["model_type"] == "llama" || own["model_type"] == "mistral";
    let defaults = [("hidden_size", 4096), ("num_hidden_layers", 32), ("num_attention_heads", 32)];
    let mut text = with_defaults(own, if llama { &defaults } else { &[] });
    if text["tie_word_embeddings"].is_null() {
        text["tie_word_embeddings"] = config["tie_word_embeddings"].clone();
    }
    text
}

/// An object with numbers that files leave out.
fn with_defaults(json: &Value, defaults: &[(&str, usize)]) -> Value {
    let mut object = json.as_object().cloned().unwrap_or_default();
    for (key, value) in defaults {
        object.entry(*key).or_insert(json!(value));
    }
    Value::Object(object)
}

/// M-RoPE's sections; none for other decoders.
fn sections(keys: &Keys) -> Result<Vec<usize>> {
    let scaling = ["rope_scaling", "rope_parameters"].map(|key| &keys.json[key]["mrope_section"]);
    let Some(list) = scaling.into_iter().find_map(Value::as_array) else { return Ok(Vec::new()) };
    let size = |n: &Value| usize::try_from(n.as_u64()?).ok();
    list.iter().map(size).collect::<Option<_>>().ok_or_else(|| keys.wrong("mrope_section"))
}

/// How pixels become the tower's input. `None` if the folder does not say: the graph runs without it.
fn image_input(source: &Source, tower: &Tower) -> Result<Option<ImageInput>> {
    let Some(json) = source.json(image::FILE)? else { return Ok(None) };
    let keys = Keys { file: source.name, json: &json };
    let side = match tower {
        Tower::Qwen2Vl(_) => 1,
        Tower::Idefics3 { vision, .. } => vision.size[0],
        Tower::Llava { vision, .. } | Tower::MacCap(maccap::Tower { vision, .. }) => {
            let fits = |image: &ImageInput| [image.height, image.width] == vision.size;
            return Ok(image::input(&keys).filter(fits));
        }
    };
    let scale = image::scale(&keys);
    Ok(scale.map(|(mean, std)| ImageInput { width: side, height: side, crop: 1.0, mean, std, resize: None }))
}

/// How the token that stands for pictures is written.
fn token_text(source: &Source, tokenizer: Option<&Value>) -> Option<String> {
    let json = &source.config.json;
    let id = json["image_token_id"].as_u64().or(json["image_token_index"].as_u64())?;
    let added = tokenizer?["added_tokens"].as_array()?;
    let token = added.iter().find(|token| token["id"].as_u64() == Some(id))?;
    Some(token["content"].as_str()?.to_string())
}

/// `[rows, …]` as a matrix.
fn flat(tensor: &Tensor) -> Result<Tensor> {
    match tensor.shape() {
        [rows, rest @ ..] => tensor.reshaped([*rows, rest.iter().product()]),
        [] => Ok(tensor.clone()),
    }
}
