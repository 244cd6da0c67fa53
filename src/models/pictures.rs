//! What a vision-language model's file says about its pictures beside the graph: the manifest's `image` and `vision`.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::graph::{ImageInput, Manifest};
use crate::{Error, Result};

/// How a photo becomes the inputs of a tower, and what stands for it in a prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Pictures {
    /// Of a run of the tower; of patches only mean and standard deviation.
    pub image: ImageInput,
    /// The special token that stands for a picture; empty where none does.
    pub token: String,
    pub layout: Layout,
}

/// What a tower takes in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// The whole photo in patches, of which squares of `merge · merge` become one feature: about as large as it is, within
    /// `min_pixels` and `max_pixels` (Qwen2-VL).
    Patches {
        patch: usize,
        merge: usize,
        /// Times that a photo is repeated.
        frames: usize,
        min_pixels: usize,
        max_pixels: usize,
    },
    /// Squares of `side` pixels with `features` each, and if there are several, the whole photo in one more; the photo first
    /// at `longest` pixels of its longer side (Idefics 3, SmolVLM). Without `split` only the whole photo.
    Tiles { side: usize, longest: usize, features: usize, split: bool },
    /// One run, as `image` says (LLaVA).
    Whole { features: usize },
    /// The same, with features that stand before all words instead of a token; the tower has noise of this variance added
    /// (MacCap).
    Prefix { features: usize, variance: f32 },
}

/// More than models of today take: 64 times the pixels, 4 times the side.
const MOST_PIXELS: usize = 1 << 26;
const MOST_SIDE: usize = 1 << 14;
const MOST_FEATURES: usize = 1 << 16;

/// Of a photo, along a side.
const MOST_TILES: usize = 64;

/// Where the manifest has token and layout.
const KEY: &str = "vision";

impl Pictures {
    /// As `store` has written them. Fails if the model says nothing about pictures, or what cannot be.
    pub fn of(manifest: &Manifest) -> Result<Self> {
        let wrong = |what: &str| Error::format("manifest", format!("`{KEY}`: {what}"));
        let (Some(json), Some(image)) = (manifest.extra.get(KEY), &manifest.image) else {
            return Err(Error::Unsupported("the model does not say how a photo becomes its input".into()));
        };
        let layout: Layout = serde_json::from_value(json["layout"].clone()).map_err(|e| wrong(&e.to_string()))?;
        let token = json["token"].as_str().unwrap_or("").to_string();
        if token.is_empty() && !matches!(layout, Layout::Prefix { .. }) {
            return Err(wrong("no `token` stands for a picture"));
        }
        match fits(&layout) {
            true => Ok(Pictures { image: image.clone(), token, layout }),
            false => Err(wrong("sizes of pictures that cannot be")),
        }
    }

    /// Writes them into the manifest. Fails for what `of` would refuse.
    pub fn store(self, manifest: &mut Manifest) -> Result<()> {
        manifest.extra.insert(KEY.into(), json!({"token": self.token, "layout": self.layout}));
        manifest.image = Some(self.image);
        Self::of(manifest).map(|_| ())
    }
}

/// Whether all sizes can be.
fn fits(layout: &Layout) -> bool {
    let side = |n: usize| (1..=MOST_SIDE).contains(&n);
    let features = |n: usize| (1..=MOST_FEATURES).contains(&n);
    match *layout {
        Layout::Patches { patch, merge, frames, min_pixels, max_pixels } => {
            let pixels = min_pixels <= max_pixels && (1..=MOST_PIXELS).contains(&max_pixels);
            side(patch.saturating_mul(merge)) && (1..=8).contains(&frames) && pixels
        }
        Layout::Tiles { side: tile, longest, features: each, .. } => {
            side(tile) && side(longest) && longest / tile < MOST_TILES && features(each)
        }
        Layout::Whole { features: all } => features(all),
        Layout::Prefix { features: all, variance } => features(all) && variance >= 0.0 && variance.is_finite(),
    }
}
