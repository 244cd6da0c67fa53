//! Floor 6: architectures as graph builders, for files that hold weights without a graph.

#[cfg(feature = "full")]
pub mod bert;
#[cfg(feature = "full")]
pub mod clca;
#[cfg(feature = "full")]
pub mod clip;
#[cfg(feature = "full")]
pub mod efficientnet_lite;
#[cfg(feature = "full")]
pub mod encoder;
#[cfg(feature = "full")]
pub mod exits;
#[cfg(feature = "full")]
pub mod llama;
#[cfg(feature = "full")]
pub mod maccap;
#[cfg(feature = "full")]
pub mod net;
#[cfg(feature = "full")]
pub mod pictures;
#[cfg(feature = "full")]
pub mod qwen2_vl;
#[cfg(feature = "full")]
pub mod rope;
#[cfg(feature = "full")]
pub mod speech;
#[cfg(feature = "full")]
pub mod vision_language;
#[cfg(feature = "full")]
pub mod vit;
#[cfg(feature = "full")]
pub mod whisper;

use std::collections::BTreeMap;

use crate::Result;
use crate::graph::{Model, Weight};
use crate::tensor::Tensor;

/// The model of a state dictionary: a known architecture becomes a graph, anything else weights without nodes.
pub fn from_state_dict(weights: BTreeMap<String, Tensor>) -> Result<Model> {
    #[cfg(feature = "full")]
    if efficientnet_lite::matches(&weights) {
        return efficientnet_lite::build(&weights);
    }
    let mut model = Model::default();
    for (name, tensor) in weights {
        model.graph.add_weight(name, Weight::Dense(tensor));
    }
    Ok(model)
}
