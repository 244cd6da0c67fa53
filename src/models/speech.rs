//! What a model of speech says about its decoding beside its graph: the manifest's `tokenizer` and `speech`.

use serde_json::{Value, json};

use super::whisper;
use crate::Result;
use crate::graph::{Graph, Manifest, Model};

/// The word for speech to text in the manifest's `task`.
pub const TASK: &str = "automatic-speech-recognition";

/// Tokens that a text never has, and those that it does not begin with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    pub suppress: Vec<u32>,
    pub suppress_begin: Vec<u32>,
}

impl Rules {
    /// As `model` has written them.
    pub fn of(manifest: &Manifest) -> Self {
        let speech = manifest.extra.get("speech").unwrap_or(&Value::Null);
        Rules { suppress: ids(speech, "suppress"), suppress_begin: ids(speech, "suppress_begin") }
    }
}

/// The token ids of a list; what is none (some files write −1) is left out.
pub fn ids(json: &Value, key: &str) -> Vec<u32> {
    let list = json.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    list.iter().filter_map(|id| u32::try_from(id.as_u64()?).ok()).collect()
}

/// A Whisper graph with everything that it takes to write down what is said.
pub fn model(graph: Graph, tokenizer: Option<Value>, rules: Rules) -> Result<Model> {
    let mut model = Model { graph, ..Model::default() };
    let extra = &mut model.manifest.extra;
    extra.extend(whisper::context(&model.graph).map(|length| ("context".into(), length.into())));
    extra.extend(tokenizer.map(|json| ("tokenizer".into(), json)));
    extra.insert("speech".into(), json!({"suppress": rules.suppress, "suppress_begin": rules.suppress_begin}));
    model.manifest.task = Some(TASK.into());
    Ok(model)
}
