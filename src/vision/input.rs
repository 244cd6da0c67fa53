//! A photo as a model's input.

use super::Photo;
use crate::Result;
use crate::graph::ImageInput;
use crate::tensor::Tensor;

/// Centre crop, bicubic resize, then `(v − mean) / std` per channel with v in 0–255: f32 `[1, 3, height, width]`.
pub fn image_tensor(photo: &Photo, input: &ImageInput) -> Result<Tensor> {
    let photo = photo.centre_crop(input.crop).resize(input.width, input.height)?;
    let mut data = Vec::with_capacity(photo.rgb().len());
    for (channel, (mean, std)) in input.mean.iter().zip(input.std).enumerate() {
        let plane = photo.rgb().iter().skip(channel).step_by(3);
        data.extend(plane.map(|&v| (f32::from(v) - mean) / std));
    }
    Tensor::new([1, 3, input.height, input.width], &data)
}
