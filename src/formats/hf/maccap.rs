//! Folders of captioners after MacCap (`models::maccap`). The layout is this project's own: the authors publish their code, not
//! a folder, and no public checkpoint is in it.
//!
//! `config.json`: `model_type` `maccap`; `vision_config` and `text_config` as of CLIP's tower and a decoder of the Llama
//! family; `patches` (10), `aligner_heads` (8) and `noise_variance` (0.016), with the authors' numbers for those that are left
//! out. Tensors are called as in `models::maccap`, the decoder's as in a LLaVA, `language_model.model.*` and
//! `language_model.lm_head.weight`; torch's `in_proj_weight` and `in_proj_bias` of the aligner as they are.

use super::source::Source;
use super::{clip, vision_language};
use crate::Result;
use crate::graph::Model;
use crate::models::maccap;
use crate::models::pictures::Layout;
use crate::models::vision_language::Tower;

pub fn build(source: &mut Source) -> Result<Model> {
    let keys = source.keys();
    let inner = keys.inner("vision_config");
    let vision = clip::vision(&inner, "vision_tower.vision_model.", false)?;
    let [height, width] = vision.size.map(|side| side / inner.need_or("patch_size", 32).unwrap_or(side).max(1));
    let patches = keys.need_or("patches", 10)?;
    // The class token is one of those that it attends to.
    if patches > height.saturating_mul(width).saturating_add(1) {
        return Err(keys.wrong("patches"));
    }
    let heads = keys.need_or("aligner_heads", 8)?;
    let variance = keys.float("noise_variance").unwrap_or(0.016) as f32;
    if !(variance >= 0.0 && variance.is_finite()) {
        return Err(keys.wrong("noise_variance"));
    }
    clip::split_torch(source)?;
    let queries = source.dense.get("query_fusion.weight").and_then(|tensor| tensor.shape().first().copied());
    let layout = Layout::Prefix { features: queries.unwrap_or(0), variance };
    vision_language::build(source, Tower::MacCap(maccap::Tower { vision, patches, heads }), layout, "")
}
