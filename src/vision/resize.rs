//! Resize in 8-bit fixed point, bit for bit what Pillow's `Image.resize` gives with the same filter.
//!
//! Separable: all rows are resized first and rounded to 8 bits, then all columns. When shrinking, the kernel is
//! stretched by the scale, so that every source pixel counts (antialiasing). Each output pixel's weights sum to one
//! before they are rounded to fixed point.

use super::Photo;
use crate::graph::Filter;
use crate::{Error, Result};

/// Fraction bits of a weight: 8 of 32 hold the pixel, 2 the overshoot of negative lobes.
const PRECISION: u32 = 32 - 8 - 2;

/// Keys's cubic convolution kernel with a = −0.5 (Keys 1981, eq. 15).
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// `sin(πx) / πx` within three pixels, times itself stretched over them.
#[cfg(feature = "full")]
fn lanczos(x: f64) -> f64 {
    let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * std::f64::consts::PI).sin() / (x * std::f64::consts::PI) };
    if (-3.0..3.0).contains(&x) { sinc(x) * sinc(x / 3.0) } else { 0.0 }
}

/// A filter's kernel, and its reach in source pixels at scale one.
fn kernel(filter: Filter) -> (fn(f64) -> f64, f64) {
    match filter {
        #[cfg(feature = "full")]
        Filter::Bilinear => (|x| (1.0 - x.abs()).max(0.0), 1.0),
        Filter::Bicubic => (cubic, 2.0),
        #[cfg(feature = "full")]
        Filter::Lanczos => (lanczos, 3.0),
    }
}

/// The source pixels of one output pixel.
struct Taps {
    first: usize,
    /// Fixed point with `PRECISION` fraction bits.
    weights: Vec<i32>,
}

fn taps(from: usize, to: usize, filter: Filter) -> Vec<Taps> {
    let (kernel, reach) = kernel(filter);
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let support = reach * stretch;
    let inverse = 1.0 / stretch;
    let one = f64::from(1u32 << PRECISION);
    (0..to)
        .map(|i| {
            let centre = (i as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let end = ((centre + support + 0.5) as usize).min(from);
            let exact: Vec<f64> = (first..end).map(|x| kernel((x as f64 - centre + 0.5) * inverse)).collect();
            let sum: f64 = exact.iter().sum();
            let normal = if sum == 0.0 { 1.0 } else { 1.0 / sum };
            let weights = exact.iter().map(|w| (w * normal * one).round() as i32).collect();
            Taps { first, weights }
        })
        .collect()
}

/// Σ weight · pixel, rounded and clamped to 0–255. `pixels` yields the tap's pixels in order.
fn weighted(taps: &Taps, pixels: impl Iterator<Item = u8>) -> u8 {
    let half = 1i64 << (PRECISION - 1);
    let sum: i64 = taps.weights.iter().zip(pixels).map(|(&w, p)| i64::from(w) * i64::from(p)).sum();
    ((sum + half) >> PRECISION).clamp(0, 255) as u8
}

impl Photo {
    /// The whole photo at another size.
    pub fn resize(&self, width: usize, height: usize, filter: Filter) -> Result<Photo> {
        if width == 0 || height == 0 || width > 1 << 16 || height > 1 << 16 {
            return Err(Error::Usage(format!("cannot resize a photo to {width}×{height}")));
        }
        let columns = taps(self.width(), width, filter);
        let mut wide = Vec::with_capacity(3 * width * self.height());
        for row in self.rgb().chunks_exact(3 * self.width()) {
            for tap in &columns {
                for channel in 0..3 {
                    wide.push(weighted(tap, row[3 * tap.first + channel..].iter().step_by(3).copied()));
                }
            }
        }

        let stride = 3 * width;
        let mut rgb = Vec::with_capacity(stride * height);
        for tap in taps(self.height(), height, filter) {
            for x in 0..stride {
                rgb.push(weighted(&tap, wide[tap.first * stride + x..].iter().step_by(stride).copied()));
            }
        }
        Photo::from_rgb(width, height, rgb)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_colour_stays_flat_at_every_size() {
        let photo = Photo::from_rgb(13, 7, [10, 200, 255].repeat(13 * 7)).unwrap();
        for (width, height) in [(1, 1), (5, 9), (13, 7), (100, 3), (224, 224)] {
            let resized = photo.resize(width, height, Filter::Bicubic).unwrap();
            assert_eq!(resized.rgb(), [10, 200, 255].repeat(width * height));
        }
    }

    #[test]
    fn same_size_changes_nothing() {
        let rgb: Vec<u8> = (0..6 * 5 * 3).map(|i| (i * 37 % 256) as u8).collect();
        let photo = Photo::from_rgb(6, 5, rgb).unwrap();
        assert_eq!(photo.resize(6, 5, Filter::Bicubic).unwrap(), photo);
    }

    #[test]
    fn zero_size_is_refused() {
        let photo = Photo::from_rgb(1, 1, vec![0; 3]).unwrap();
        assert!(photo.resize(0, 4, Filter::Bicubic).is_err());
    }
}
