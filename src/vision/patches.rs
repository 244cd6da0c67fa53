//! A photo in patches, as Qwen2-VL's tower takes it (Wang et al. 2024): at about its own size.

use super::Photo;
use crate::graph::Filter;
use crate::models::vision_language::Grid;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// One side may be so many times the other.
const MOST_UNEQUAL: usize = 200;

pub struct Patches {
    /// Pixels of the photo's sides when it is resized.
    width: usize,
    height: usize,
    patch: usize,
    /// Side of the squares of patches that become a feature.
    merge: usize,
    frames: usize,
}

impl Patches {
    /// The size next to `[width, height]` that divides into features and has from `least` to `most` pixels.
    pub fn new(
        [width, height]: [usize; 2],
        [patch, merge, frames]: [usize; 3],
        [least, most]: [usize; 2],
    ) -> Result<Self> {
        if width.max(height) > MOST_UNEQUAL * width.min(height) {
            let what = format!("one side may be {MOST_UNEQUAL} times the other at most");
            return Err(Error::Usage(format!("a photo of {width}×{height} pixels: {what}")));
        }
        let (wide, high, unit) = (width as f64, height as f64, (patch * merge) as f64);
        let mut sides = [wide, high].map(|side| (side / unit).round_ties_even() * unit);
        let pixels = sides[0] * sides[1];
        if pixels > most as f64 {
            let shrink = (wide * high / most as f64).sqrt();
            sides = [wide, high].map(|side| ((side / shrink / unit).floor() * unit).max(unit));
        } else if pixels < least as f64 {
            let grow = (least as f64 / (wide * high)).sqrt();
            sides = [wide, high].map(|side| (side * grow / unit).ceil() * unit);
        }
        // A side of less than half a feature is rounded to none.
        let [width, height] = sides.map(|side| (side as usize).max(patch * merge));
        Ok(Patches { width, height, patch, merge, frames })
    }

    pub fn grid(&self) -> Grid {
        let side = self.patch * self.merge;
        Grid { rows: self.height / side, columns: self.width / side }
    }

    pub fn features(&self) -> usize {
        self.grid().rows * self.grid().columns
    }

    /// Row and column of each patch, in their order: those of a feature follow each other.
    fn places(&self) -> impl Iterator<Item = [usize; 2]> {
        let (Grid { rows, columns }, merge) = (self.grid(), self.merge);
        let squares = (0..rows * columns).map(move |i| [i / columns * merge, i % columns * merge]);
        squares.flat_map(move |[row, column]| (0..merge * merge).map(move |i| [row + i / merge, column + i % merge]))
    }

    /// i64 `[2, patches]`.
    pub fn positions(&self) -> Result<Tensor> {
        let of = |axis: usize| self.places().map(move |place| place[axis] as i64);
        let all: Vec<i64> = of(0).chain(of(1)).collect();
        Tensor::new([2, all.len() / 2], &all)
    }

    /// f32 `[patches, 3 · frames · patch²]`: `(v − mean) / std` per channel with v in 0–255, every frame the same.
    pub fn values(&self, photo: &Photo, mean: [f32; 3], std: [f32; 3]) -> Result<Tensor> {
        let photo = photo.resize(self.width, self.height, Filter::Bicubic)?;
        let (patch, rgb) = (self.patch, photo.rgb());
        let mut values = Vec::with_capacity(rgb.len() * self.frames);
        for [row, column] in self.places() {
            for (channel, (mean, std)) in mean.iter().zip(std).enumerate() {
                let begin = values.len();
                for y in row * patch..(row + 1) * patch {
                    let line = &rgb[3 * (y * self.width + column * patch)..][..3 * patch];
                    values.extend(line.iter().skip(channel).step_by(3).map(|&v| (f32::from(v) - mean) / std));
                }
                let end = values.len();
                (1..self.frames).for_each(|_| values.extend_from_within(begin..end));
            }
        }
        Tensor::new([values.len() / (3 * self.frames * patch * patch), 3 * self.frames * patch * patch], &values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_stay_within_their_bounds() {
        let sides = |size: [usize; 2]| {
            let patches = Patches::new(size, [14, 2, 2], [56 * 56, 28 * 28 * 1280]).unwrap();
            [patches.width, patches.height]
        };
        assert_eq!(sides([640, 480]), [644, 476]);
        assert_eq!(sides([4000, 3000]), [1148, 840]);
        assert_eq!(sides([20, 10]), [84, 56]);
        // Halves go to the even number.
        assert_eq!(sides([42, 70]), [56, 56]);
        assert_eq!(sides([70, 98]), [56, 112]);
        assert!(Patches::new([201, 1], [14, 2, 2], [1, 1000]).is_err());
    }
}
