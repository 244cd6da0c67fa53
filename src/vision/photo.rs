//! A photo in memory.

use crate::{Error, Result};

/// 8-bit RGB pixels, row-major, three bytes a pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Photo {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

impl Photo {
    /// `rgb`: `[height, width, 3]`. Fails unless the size fits and no side is 0.
    pub fn from_rgb(width: usize, height: usize, rgb: Vec<u8>) -> Result<Self> {
        check_size(width, height, 3, rgb.len())?;
        Ok(Photo { width, height, rgb })
    }

    /// `rgba`: `[height, width, 4]`, as a canvas gives it. Alpha is dropped, not blended.
    pub fn from_rgba(width: usize, height: usize, rgba: &[u8]) -> Result<Self> {
        check_size(width, height, 4, rgba.len())?;
        let rgb = rgba.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
        Ok(Photo { width, height, rgb })
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn height(&self) -> usize {
        self.height
    }

    /// `[height, width, 3]`.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The square in the middle with side `⌊share · min(width, height)⌋`, at least one pixel, at most the photo.
    /// Where the margins cannot be equal, the offset rounds to the even neighbour, as Python's `round` does.
    pub fn centre_crop(&self, share: f64) -> Photo {
        let shorter = self.width.min(self.height);
        let side = ((share * shorter as f64) as usize).clamp(1, shorter);
        let offset = |extent: usize| ((extent - side) as f64 / 2.0).round_ties_even() as usize;
        self.cut(offset(self.width), offset(self.height), side, side)
    }

    /// A rectangle inside the photo, at least one pixel.
    pub fn crop(&self, left: usize, top: usize, width: usize, height: usize) -> Result<Photo> {
        let fits =
            |from: usize, extent: usize, all: usize| extent > 0 && from.checked_add(extent).is_some_and(|e| e <= all);
        if !fits(left, width, self.width) || !fits(top, height, self.height) {
            let (own_width, own_height) = (self.width, self.height);
            return Err(Error::Usage(format!(
                "{width}×{height} pixels from ({left}, {top}) lie outside a photo of {own_width}×{own_height}"
            )));
        }
        Ok(self.cut(left, top, width, height))
    }

    fn cut(&self, left: usize, top: usize, width: usize, height: usize) -> Photo {
        let rows = self.rgb.chunks_exact(3 * self.width).skip(top).take(height);
        let rgb = rows.flat_map(|row| &row[3 * left..3 * (left + width)]).copied().collect();
        Photo { width, height, rgb }
    }

    /// Left and right exchanged.
    pub fn mirrored(&self) -> Photo {
        let rows = self.rgb.chunks_exact(3 * self.width);
        let rgb = rows.flat_map(|row| row.chunks_exact(3).rev().flatten()).copied().collect();
        Photo { width: self.width, height: self.height, rgb }
    }
}

fn check_size(width: usize, height: usize, channels: usize, bytes: usize) -> Result<()> {
    let want = width.checked_mul(height).and_then(|n| n.checked_mul(channels));
    if want == Some(bytes) && bytes > 0 {
        return Ok(());
    }
    Err(Error::Usage(format!("a photo of {width}×{height} pixels cannot have {bytes} bytes in {channels} channels")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(width: usize, height: usize) -> Photo {
        let rgb = (0..height * width).flat_map(|i| [(i % width) as u8, (i / width) as u8, 0]).collect();
        Photo::from_rgb(width, height, rgb).unwrap()
    }

    #[test]
    fn crop_offsets_round_to_even() {
        // Margins 10 − 7 = 3 and 8 − 7 = 1: offsets 1.5 → 2 and 0.5 → 0.
        let crop = numbered(10, 8).centre_crop(0.9);
        assert_eq!((crop.width(), crop.height()), (7, 7));
        assert_eq!(&crop.rgb()[..2], &[2, 0]);
    }

    #[test]
    fn crop_of_one_pixel_is_that_pixel() {
        assert_eq!(numbered(1, 1).centre_crop(0.875), numbered(1, 1));
    }

    #[test]
    fn wrong_sizes_are_refused() {
        assert!(Photo::from_rgb(2, 2, vec![0; 11]).is_err());
        assert!(Photo::from_rgba(0, 5, &[]).is_err());
        assert!(Photo::from_rgba(usize::MAX, 2, &[0; 8]).is_err());
    }
}
