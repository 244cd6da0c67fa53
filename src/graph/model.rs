//! A model: its graph and what its file says about it.

use serde::{Deserialize, Serialize};

use super::Graph;

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub graph: Graph,
    pub manifest: Manifest,
}

/// What a `.fewbit` file says beside graph and weights; empty for other formats.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Manifest {
    /// The pipeline that runs it, in transformers.js's words, e.g. `image-classification`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Class names by index.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageInput>,
    /// SPDX expression of the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Where the weights come from and what was done to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<String>,
    /// Fields of newer versions, kept on a round trip.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

/// How a photo becomes the input tensor `[1, 3, height, width]`: centre crop, bicubic resize, `(v − mean) / std`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageInput {
    pub width: usize,
    pub height: usize,
    /// Side of the centre crop as a share of the photo's shorter side, rounded down to pixels.
    pub crop: f64,
    /// Per RGB channel, on the 0–255 scale.
    pub mean: [f32; 3],
    pub std: [f32; 3],
}
