//! Image files: JPEG, PNG, WebP, BMP and GIF (first frame). EXIF orientation is not applied, as in Pillow.

use std::io::Cursor;
use std::path::Path;

use image::{ImageDecoder, ImageReader, Limits};

use super::Photo;
use crate::{Error, Result};

/// Photos up to this many pixels are always decoded (12 MB of RGB).
const FREE_PIXELS: u64 = 4 << 20;
/// Beyond that a file must bring a byte for this many pixels: a blank one-bit PNG, deflated at 1030:1, reaches it.
const PIXELS_PER_BYTE: u64 = 8 * 1030;
/// And no photo may have more pixels than this.
const MOST_PIXELS: u64 = 1 << 27;

impl Photo {
    /// Reads and decodes an image file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|e| Error::io(&name, e))?;
        Self::decode(&name, &bytes)
    }

    /// Decodes the bytes of an image file; `name` is for messages. Its declared size is checked before anything
    /// is allocated for it.
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Self> {
        let broken = |e: image::ImageError| Error::format(name, format!("cannot read this image: {e}"));
        let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| Error::io(name, e))?;
        if reader.format().is_none() {
            return Err(Error::format(name, "this is not an image (JPEG, PNG, WebP, BMP or GIF)"));
        }
        let mut decoder = reader.into_decoder().map_err(broken)?;
        let (width, height) = decoder.dimensions();
        let pixels = u64::from(width) * u64::from(height);
        if pixels > MOST_PIXELS || pixels > FREE_PIXELS.max(PIXELS_PER_BYTE * bytes.len() as u64) {
            return Err(Error::format(
                name,
                format!("the file has {} bytes and claims {width}×{height} pixels; refused", bytes.len()),
            ));
        }
        // Sixteen bytes a pixel are the widest format (RGBA in f32).
        let mut limits = Limits::default();
        limits.max_alloc = Some(16 * pixels + (64 << 20));
        decoder.set_limits(limits).map_err(broken)?;
        let rgb = image::DynamicImage::from_decoder(decoder).map_err(broken)?.into_rgb8();
        Photo::from_rgb(width as usize, height as usize, rgb.into_raw())
    }
}
