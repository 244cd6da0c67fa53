//! Vision-language models as one graph: a tower that looks at pictures, what brings its states to the width of the words
//! (LLaVA, Liu et al. 2023; Idefics 3, Laurençon et al. 2024; Qwen2-VL, Wang et al. 2024; MacCap, Qiu et al. 2024), and a
//! decoder.
//!
//! Inputs of the tower `pixel_values`, and for Qwen2-VL `image_positions` (`models::qwen2_vl`), for MacCap `noise`
//! (`models::maccap`); of the decoder those of `models::llama`. Between them is `image_features` f32 `[features, width]`, where `parts` cuts: row i stands for the id
//! i beyond the vocabulary. So a text with pictures is a row of ids, which a decoder tells apart as it does words.

use std::collections::BTreeMap;

use super::encoder::Activation;
use super::llama::{self, Names, Sight};
use super::net::{Net, symbol};
use super::{clip, maccap, qwen2_vl};
use crate::Result;
use crate::graph::{Attr, Dim, Graph, ValueId, Weight};
use crate::tensor::DType;

/// The word for these models in the manifest's `task`.
pub const TASK: &str = "image-to-text";

/// What the tower makes of pictures.
pub const FEATURES: &str = "image_features";

/// How the features of a picture lie in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    pub rows: usize,
    pub columns: usize,
}

/// What a file says beside its tensors.
#[derive(Clone, Debug)]
pub struct VisionLanguage {
    pub tower: Tower,
    pub decoder: llama::Config,
    pub names: Names,
    /// As of `llama::Sight`.
    pub sections: Vec<usize>,
}

/// What looks at pictures, and what brings its states to the width of the words.
#[derive(Clone, Debug)]
pub enum Tower {
    Qwen2Vl(qwen2_vl::Tower),
    /// Patches of a square of `scale · scale` become one feature, by a matrix.
    Idefics3 {
        vision: clip::Vision,
        scale: usize,
    },
    /// Every patch is a feature, by two layers; `class`: so is the class token, the first.
    Llava {
        vision: clip::Vision,
        class: bool,
        activation: Activation,
    },
    MacCap(maccap::Tower),
}

/// The graph, which keeps every weight under its name.
pub fn build(config: &VisionLanguage, weights: BTreeMap<String, Weight>) -> Result<Graph> {
    let mut net = Net::new(&config.decoder.file, "vision_language", weights);
    let features = match &config.tower {
        Tower::Qwen2Vl(tower) => qwen2_vl::tower(&mut net, tower)?,
        Tower::Idefics3 { vision, scale } => idefics3(&mut net, vision, *scale)?,
        Tower::Llava { vision, class, activation } => llava(&mut net, vision, *class, *activation)?,
        Tower::MacCap(tower) => maccap::tower(&mut net, tower)?,
    };
    let [_, width] = net.shape(&(config.names)(None, "token_embd.weight"))?;
    let declared = &mut net.graph.values[features.0 as usize];
    declared.name = FEATURES.into();
    declared.dtype = Some(DType::F32);
    declared.dims = Some(vec![symbol("features"), Dim::Known(width)]);
    let (graph, weights) = net.into_parts();
    let sight = Sight { features, sections: config.sections.clone() };
    llama::extend(graph, &config.decoder, config.names, weights, Some(&sight))
}

/// The part that looks at pictures, to `image_features`, and the decoder; `None` for a graph that does not see.
pub fn parts(graph: &Graph) -> Option<(Graph, Graph)> {
    graph.find(FEATURES)?;
    let of_pictures = |id: &ValueId| TOWER_INPUTS.contains(&graph.value(*id).name.as_str());
    let first: Vec<ValueId> = graph.inputs.iter().copied().filter(of_pictures).collect();
    (!first.is_empty()).then(|| graph.split(&first))
}

const TOWER_INPUTS: [&str; 3] = [super::vit::PIXELS, qwen2_vl::POSITIONS, maccap::NOISE];

fn idefics3(net: &mut Net, vision: &clip::Vision, scale: usize) -> Result<ValueId> {
    let x = clip::picture(net, vision)?.states;
    let patches = format!("{}.weight", vision.names.of(None, "patches"));
    let [width, _, patch, _] = net.shape(&patches)?;
    let side = vision.size[0] / patch.max(1);
    if vision.size[0] != vision.size[1] || side < scale || !side.is_multiple_of(scale) {
        return Err(net.error(format!("{side} patches in squares of {scale} × {scale}")));
    }
    let (side, width, scale) = (side as i64, width as i64, scale as i64);
    let swap = Attr::Ints(vec![0, 2, 1, 3]);
    let x = net.reshape("connector.columns", x, &[0, side, side / scale, width * scale])?;
    let x = net.with("Transpose", "connector.turned", &[x], "perm", swap.clone());
    let x = net.reshape("connector.rows", x, &[0, side / scale, side / scale, width * scale * scale])?;
    let x = net.with("Transpose", "connector.squares", &[x], "perm", swap);
    let x = net.reshape("connector.features", x, &[-1, width * scale * scale])?;
    net.linear("model.connector.modality_projection.proj", x)
}

fn llava(net: &mut Net, vision: &clip::Vision, class: bool, activation: Activation) -> Result<ValueId> {
    let mut x = clip::picture(net, vision)?.states;
    let patches = format!("{}.weight", vision.names.of(None, "patches"));
    let [width, ..] = net.shape::<4>(&patches)?;
    if !class {
        let end = net.vector("patches.end", &[i64::MAX])?;
        x = net.part("patches", x, 1, 1, end)?;
    }
    x = net.reshape("projector.features", x, &[-1, width as i64])?;
    x = net.linear("multi_modal_projector.linear_1", x)?;
    x = activation.apply(net, "multi_modal_projector.act", x);
    net.linear("multi_modal_projector.linear_2", x)
}
