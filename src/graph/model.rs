//! A model: its graph and what its file says about it.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::{Graph, ImageInput};

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub graph: Graph,
    pub manifest: Manifest,
}

/// What a `.fewbit` file says beside graph and weights; empty for other formats.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Manifest {
    /// The pipeline that runs it, in transformers.js's words, e.g. `image-classification`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Class names by index.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageInput>,
    /// SPDX expression of the weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Where the weights come from and what was done to them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provenance: Option<String>,
    /// Fields of newer versions, kept on a round trip.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Takes the known fields out of the object; the rest is `extra`. By hand: what serde derives for a struct with such a
/// rest is much code in a browser.
impl<'de> Deserialize<'de> for Manifest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut extra = Map::deserialize(deserializer)?;
        let invalid = |field: &str| D::Error::custom(format_args!("the manifest's `{field}` is not what it should be"));
        let mut text = |field: &str| match extra.shift_remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(invalid(field)),
        };
        let (task, license, provenance) = (text("task")?, text("license")?, text("provenance")?);
        let labels = match extra.shift_remove("labels") {
            None => Vec::new(),
            Some(Value::Array(labels)) => {
                let labels = labels.into_iter().map(|label| match label {
                    Value::String(label) => Some(label),
                    _ => None,
                });
                labels.collect::<Option<_>>().ok_or_else(|| invalid("labels"))?
            }
            Some(_) => return Err(invalid("labels")),
        };
        let image = match extra.shift_remove("image") {
            None | Some(Value::Null) => None,
            Some(image) => Some(ImageInput::from_json(&image).ok_or_else(|| invalid("image"))?),
        };
        Ok(Manifest { task, labels, image, license, provenance, extra })
    }
}
