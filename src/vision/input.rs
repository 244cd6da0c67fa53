//! A photo as a model's input.

use super::Photo;
use crate::Result;
use crate::graph::{Filter, ImageInput};
#[cfg(feature = "full")]
use crate::graph::{Resize, Size};
use crate::tensor::Tensor;

/// Crop and resize as `input` says, then `(v − mean) / std` per channel with v in 0–255: f32 `[1, 3, height, width]`.
pub fn image_tensor(photo: &Photo, input: &ImageInput) -> Result<Tensor> {
    let cropped = || photo.centre_crop(input.crop).resize(input.width, input.height, Filter::Bicubic);
    #[cfg(not(feature = "full"))]
    let photo = cropped()?;
    #[cfg(feature = "full")]
    let photo = match &input.resize {
        None => cropped()?,
        Some(resize) => resized(photo, input, resize)?,
    };
    let mut data = Vec::with_capacity(photo.rgb().len());
    for (channel, (mean, std)) in input.mean.iter().zip(input.std).enumerate() {
        let plane = photo.rgb().iter().skip(channel).step_by(3);
        data.extend(plane.map(|&v| (f32::from(v) - mean) / std));
    }
    Tensor::new([1, 3, input.height, input.width], &data)
}

/// The photo at its new size, and of that the middle.
#[cfg(feature = "full")]
fn resized(photo: &Photo, input: &ImageInput, resize: &Resize) -> Result<Photo> {
    let (width, height) = match resize.to {
        Size::Exact { width, height } => (width, height),
        Size::Shortest(side) => {
            let shorter = photo.width().min(photo.height()) as u128;
            let scaled = |extent: usize| usize::try_from(side as u128 * extent as u128 / shorter).unwrap_or(usize::MAX);
            (scaled(photo.width()), scaled(photo.height()))
        }
    };
    let photo = photo.resize(width, height, resize.filter)?;
    let offset = |extent: usize, part: usize| extent.saturating_sub(part) / 2;
    photo.crop(offset(width, input.width), offset(height, input.height), input.width, input.height)
}
