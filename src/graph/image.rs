//! How a photo becomes a model's input, as the manifest says it.

use serde::Serialize;
use serde_json::Value;

/// How a photo becomes the input tensor `[1, 3, height, width]`: without `resize` a square centre crop, then bicubic
/// resize; with it that resize, then the rectangle in the middle. Then `(v − mean) / std`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImageInput {
    pub width: usize,
    pub height: usize,
    /// Side of the centre crop as a share of the photo's shorter side, rounded down to pixels. Not used with `resize`.
    pub crop: f64,
    /// Per RGB channel, on the 0–255 scale.
    pub mean: [f32; 3],
    pub std: [f32; 3],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<Resize>,
}

/// What is done to the whole photo.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Resize {
    pub to: Size,
    pub filter: Filter,
}

/// In pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// Of the shorter side; the photo keeps its proportions.
    Shortest(usize),
    /// Whatever its proportions.
    Exact { width: usize, height: usize },
}

/// How pixels are mixed, as Pillow does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    #[cfg(feature = "full")]
    Bilinear,
    Bicubic,
    #[cfg(feature = "full")]
    Lanczos,
}

impl ImageInput {
    pub fn from_json(json: &Value) -> Option<Self> {
        let pixels = |field: &str| usize::try_from(json.get(field)?.as_u64()?).ok();
        let channels = |field: &str| match json.get(field)?.as_array()?.as_slice() {
            [red, green, blue] => Some([red.as_f64()? as f32, green.as_f64()? as f32, blue.as_f64()? as f32]),
            _ => None,
        };
        let (width, height, crop) = (pixels("width")?, pixels("height")?, json.get("crop")?.as_f64()?);
        let resize = match json.get("resize") {
            None | Some(Value::Null) => None,
            Some(resize) => Some(Resize::from_json(resize)?),
        };
        Some(ImageInput { width, height, crop, mean: channels("mean")?, std: channels("std")?, resize })
    }
}

impl Resize {
    /// `None` in builds that have one filter only, too: a photo would become another input than the model wants.
    #[cfg(not(feature = "full"))]
    fn from_json(_: &Value) -> Option<Self> {
        None
    }

    #[cfg(feature = "full")]
    fn from_json(json: &Value) -> Option<Self> {
        let pixels = |json: &Value| usize::try_from(json.as_u64()?).ok();
        let to = match (&json["to"]["shortest"], &json["to"]["exact"]) {
            (Value::Null, exact) => Size::Exact { width: pixels(&exact["width"])?, height: pixels(&exact["height"])? },
            (side, _) => Size::Shortest(pixels(side)?),
        };
        let filter = match json.get("filter")?.as_str()? {
            "bilinear" => Filter::Bilinear,
            "bicubic" => Filter::Bicubic,
            "lanczos" => Filter::Lanczos,
            _ => return None,
        };
        Some(Resize { to, filter })
    }
}
