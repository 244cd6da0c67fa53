//! A photo as the inputs of a vision-language model's tower, and what stands for it in a prompt.

use super::Photo;
use super::image_tensor;
use super::patches::Patches;
use super::tiles::Tiles;
use crate::Result;
use crate::graph::ImageInput;
use crate::models::pictures::{Layout, Pictures};
use crate::models::qwen2_vl::POSITIONS;
use crate::models::vision_language::Grid;
use crate::models::vit::PIXELS;
use crate::tensor::Tensor;

/// A photo that is about to be looked at: how many features it will be is known before a pixel is resized.
pub struct Glance<'a> {
    photo: &'a Photo,
    how: &'a Pictures,
    parts: Parts,
}

enum Parts {
    Patches(Patches),
    Tiles(Tiles),
    Whole { features: usize },
}

impl<'a> Glance<'a> {
    /// Fails for photos whose sides are too unequal for the model.
    pub fn new(photo: &'a Photo, how: &'a Pictures) -> Result<Self> {
        let size = [photo.width(), photo.height()];
        let parts = match how.layout {
            Layout::Patches { patch, merge, frames, min_pixels, max_pixels } => {
                Parts::Patches(Patches::new(size, [patch, merge, frames], [min_pixels, max_pixels])?)
            }
            Layout::Tiles { side, longest, features, split } => {
                Parts::Tiles(Tiles::new(size, [side, longest], features, split))
            }
            Layout::Whole { features } | Layout::Prefix { features, .. } => Parts::Whole { features },
        };
        Ok(Glance { photo, how, parts })
    }

    /// How many features the tower will make of it.
    pub fn features(&self) -> usize {
        match &self.parts {
            Parts::Patches(patches) => patches.features(),
            Parts::Tiles(tiles) => tiles.features(),
            Parts::Whole { features } => *features,
        }
    }

    /// How they lie, if that counts.
    pub fn grid(&self) -> Option<Grid> {
        match &self.parts {
            Parts::Patches(patches) => Some(patches.grid()),
            _ => None,
        }
    }

    /// What the token that stands for the photo is in a prompt: itself for every feature, and what is around them.
    pub fn prompt(&self) -> String {
        match &self.parts {
            Parts::Tiles(tiles) => tiles.prompt(&self.how.token),
            _ => self.how.token.repeat(self.features()),
        }
    }

    /// Runs of the tower, whose features come one after the other: the inputs of each by name.
    pub fn inputs(&self) -> Result<Vec<Vec<(&'static str, Tensor)>>> {
        let image = &self.how.image;
        let pixels = |photo: &Photo, image: &ImageInput| Ok(vec![(PIXELS, image_tensor(photo, image)?)]);
        match &self.parts {
            Parts::Patches(patches) => {
                let values = patches.values(self.photo, image.mean, image.std)?;
                Ok(vec![vec![(PIXELS, values), (POSITIONS, patches.positions()?)]])
            }
            Parts::Tiles(tiles) => tiles.cut(self.photo)?.iter().map(|tile| pixels(tile, image)).collect(),
            Parts::Whole { .. } => Ok(vec![pixels(self.photo, image)?]),
        }
    }
}
