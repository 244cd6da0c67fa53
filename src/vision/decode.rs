//! Image files: JPEG (`jpeg`), PNG, WebP, BMP and GIF (first frame). EXIF orientation is not applied, as in Pillow.

use std::io::Cursor;
use std::path::Path;

use image::{ImageDecoder, ImageReader, Limits};

use super::limit::check_size;
use super::{Photo, jpeg};
use crate::{Error, Result};

/// Pixels that one byte can stand for: a blank one-bit PNG, deflated at 1030:1, has the most.
const PIXELS_PER_BYTE: u64 = 8 * 1030;

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
        if jpeg::recognizes(bytes) {
            return jpeg::decode(name, bytes);
        }
        let broken = |e: image::ImageError| Error::format(name, format!("cannot read this image: {e}"));
        let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| Error::io(name, e))?;
        if reader.format().is_none() {
            return Err(Error::format(name, "this is not an image (JPEG, PNG, WebP, BMP or GIF)"));
        }
        let mut decoder = reader.into_decoder().map_err(broken)?;
        let (width, height) = decoder.dimensions();
        let pixels = check_size(name, [width.into(), height.into()], bytes.len(), PIXELS_PER_BYTE)?;
        // Sixteen bytes a pixel are the widest format (RGBA in f32).
        let mut limits = Limits::default();
        limits.max_alloc = Some(16 * pixels + (64 << 20));
        decoder.set_limits(limits).map_err(broken)?;
        let rgb = image::DynamicImage::from_decoder(decoder).map_err(broken)?.into_rgb8();
        Photo::from_rgb(width as usize, height as usize, rgb.into_raw())
    }
}
