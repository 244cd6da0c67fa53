//! `preprocessor_config.json`: how a photo becomes the input; and the names of classes in `config.json`.

use serde_json::Value;

use super::keys::Keys;
use super::source::Source;
use crate::Result;
use crate::graph::{Dim, Filter, ImageInput, Model, Resize, Size};

pub const FILE: &str = "preprocessor_config.json";

/// Pillow's numbers of filters.
const FILTERS: [(u64, Filter); 3] = [(1, Filter::Lanczos), (2, Filter::Bilinear), (3, Filter::Bicubic)];

/// Writes into the manifest what the folder says of photos and classes. What it does not say, or says in a way that
/// `ImageInput` has no words for, is left out: the graph runs without it.
pub fn describe(source: &Source, model: &mut Model) -> Result<()> {
    if let Some(json) = source.json(FILE)? {
        model.manifest.image = input(&Keys { file: source.name, json: &json });
    }
    let output = model.graph.outputs.first().map(|&id| model.graph.value(id));
    let last = output.and_then(|value| value.dims.as_ref()?.last());
    if let Some(names) = labels(&source.config.json["id2label"])
        && last == Some(&Dim::Known(names.len()))
    {
        model.manifest.labels = names;
    }
    Ok(())
}

/// Names by number, if every number has one.
fn labels(json: &Value) -> Option<Vec<String>> {
    let names = json.as_object()?;
    (0..names.len()).map(|i| Some(names.get(&i.to_string())?.as_str()?.to_string())).collect()
}

/// As the image processors of `transformers` do it: resize, centre crop, factor, mean and standard deviation.
pub fn input(keys: &Keys) -> Option<ImageInput> {
    let json = keys.json;
    let on = |key: &str| json[key].as_bool();
    let kind = keys.text("image_processor_type").or(keys.text("feature_extractor_type")).unwrap_or("");
    // What older files leave out differs by the class that reads them.
    let keeps_proportions = ["CLIP", "Bit"].iter().any(|name| kind.starts_with(name));
    let crops = on("do_center_crop").unwrap_or(keeps_proportions || kind.starts_with("DeiT"));
    let filter = match json["resample"].as_u64() {
        Some(number) => FILTERS.iter().find(|(known, _)| *known == number)?.1,
        None if kind.starts_with("ViT") => Filter::Bilinear,
        None => Filter::Bicubic,
    };
    if on("do_resize") == Some(false) {
        return None;
    }
    let size = &json["size"];
    let to = match pixels(size).filter(|_| keeps_proportions).or_else(|| pixels(&size["shortest_edge"])) {
        Some(side) => Size::Shortest(side),
        None => rectangle(size).map(|[height, width]| Size::Exact { width, height })?,
    };
    let [height, width] = if crops {
        rectangle(&json["crop_size"])?
    } else {
        match to {
            Size::Exact { width, height } => [height, width],
            // Photos of other proportions would have other sizes.
            Size::Shortest(_) => return None,
        }
    };
    let fits = match to {
        Size::Shortest(side) => height.max(width) <= side,
        Size::Exact { width: w, height: h } => height <= h && width <= w,
    };
    let (mean, std) = scale(keys)?;
    let image = ImageInput { width, height, crop: 1.0, mean, std, resize: Some(Resize { to, filter }) };
    fits.then_some(image)
}

fn pixels(json: &Value) -> Option<usize> {
    usize::try_from(json.as_u64()?).ok().filter(|&side| side > 0)
}

/// Height and width; one number is a square.
fn rectangle(json: &Value) -> Option<[usize; 2]> {
    match pixels(json) {
        Some(side) => Some([side; 2]),
        None => Some([pixels(&json["height"])?, pixels(&json["width"])?]),
    }
}

/// Mean and standard deviation for pixels of 0–255.
pub fn scale(keys: &Keys) -> Option<([f32; 3], [f32; 3])> {
    let on = |key: &str| keys.json[key].as_bool() != Some(false);
    let factor = if on("do_rescale") { keys.float("rescale_factor").unwrap_or(1.0 / 255.0) } else { 1.0 };
    let channels = |key: &str| {
        let [red, green, blue] = keys.json[key].as_array()?.as_slice() else { return None };
        Some([red.as_f64()?, green.as_f64()?, blue.as_f64()?])
    };
    let (mean, std) = match on("do_normalize") {
        true => (channels("image_mean")?, channels("image_std")?),
        false => ([0.0; 3], [1.0; 3]),
    };
    let whole = |v: f64| (v / factor) as f32;
    Some((mean.map(whole), std.map(whole))).filter(|_| factor > 0.0)
}
