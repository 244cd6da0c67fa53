//! How large a photo a file may hold, before anything is allocated for it.

use crate::{Error, Result};

/// Photos up to this many pixels are always decoded (12 MB of RGB).
const FREE_PIXELS: u64 = 4 << 20;
/// And no photo may have more pixels than this.
const MOST_PIXELS: u64 = 1 << 27;

/// The number of pixels, if a file of `bytes` bytes may claim so many; `per_byte`: the most that one of them can stand
/// for.
pub fn check_size(name: &str, [width, height]: [u64; 2], bytes: usize, per_byte: u64) -> Result<u64> {
    let pixels = width.saturating_mul(height);
    if pixels > MOST_PIXELS || pixels > FREE_PIXELS.max(per_byte.saturating_mul(bytes as u64)) {
        let what = format!("the file has {bytes} bytes and claims {width}×{height} pixels; refused");
        return Err(Error::format(name, what));
    }
    Ok(pixels)
}
