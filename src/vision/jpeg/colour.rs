//! From components to RGB: chroma upsampled with libjpeg's "fancy" triangle filter, then converted in fixed point.

use super::frame::{Component, Frame};
use super::idct;

/// How the components mean colours.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Space {
    Grey,
    Rgb,
    YCbCr,
    /// Inverted, as Adobe's programs write it and Pillow reads every file.
    Cmyk,
    /// The same with CMY as YCbCr.
    Ycck,
}

impl Space {
    /// `adobe`: the transform that an Adobe segment names.
    pub fn of(frame: &Frame, jfif: bool, adobe: Option<u8>) -> Self {
        let ids: Vec<u8> = frame.components.iter().map(|c| c.id).collect();
        match (ids.as_slice(), adobe) {
            ([_], _) => Space::Grey,
            ([_, _, _, _], Some(2)) => Space::Ycck,
            ([_, _, _, _], _) => Space::Cmyk,
            (_, _) if jfif => Space::YCbCr,
            (_, Some(0)) | (b"RGB", None) => Space::Rgb,
            _ => Space::YCbCr,
        }
    }
}

/// All components' samples, as RGB rows.
pub fn rgb(frame: &mut Frame, space: Space) -> Vec<u8> {
    let planes: Vec<Vec<u8>> = frame.components.iter_mut().map(plane).collect();
    let [width, height] = frame.size;
    let mut rgb = Vec::with_capacity(3 * width * height);
    let mut rows = vec![Vec::with_capacity(width + 4); planes.len()];
    for y in 0..height {
        for ((row, component), plane) in rows.iter_mut().zip(&frame.components).zip(&planes) {
            let factor = [0, 1].map(|i| frame.sampling[i] / component.sampling[i]);
            row.clear();
            Rows { component, plane }.upsample(factor, y, row);
        }
        let at = |component: usize, x: usize| i32::from(rows[component][x]);
        rgb.extend((0..width).flat_map(|x| match space {
            Space::Grey => [rows[0][x]; 3],
            Space::Rgb => [rows[0][x], rows[1][x], rows[2][x]],
            Space::YCbCr => converted(at(0, x), at(1, x), at(2, x)),
            Space::Cmyk => [0, 1, 2].map(|i| printed(255 - at(i, x), at(3, x))),
            Space::Ycck => converted(at(0, x), at(1, x), at(2, x)).map(|ink| printed(ink.into(), at(3, x))),
        }));
    }
    rgb
}

/// Inverse DCT of all blocks, and the end of the coefficients.
fn plane(component: &mut Component) -> Vec<u8> {
    let stride = 8 * component.blocks[0];
    let mut plane = vec![0; stride * 8 * component.blocks[1]];
    let quantum = component.quantum.unwrap_or([0; 64]);
    for (i, block) in std::mem::take(&mut component.coefficients).chunks_exact(64).enumerate() {
        let (y, x) = (i / component.blocks[0], i % component.blocks[0]);
        idct::samples(block, &quantum, &mut plane[8 * y * stride + 8 * x..], stride);
    }
    plane
}

struct Rows<'a> {
    component: &'a Component,
    plane: &'a [u8],
}

impl Rows<'_> {
    fn row(&self, y: usize) -> &[u8] {
        &self.plane[8 * self.component.blocks[0] * y..][..self.component.size[0]]
    }

    /// Row `y` of the photo, `factor` times as many samples across as the component has.
    fn upsample(&self, factor: [usize; 2], y: usize, out: &mut Vec<u8>) {
        let near = y / factor[1];
        // The other row that weighs in: the one that pixel row `y` is nearer to.
        let far = if y.is_multiple_of(2) { near.saturating_sub(1) } else { (near + 1).min(self.component.size[1] - 1) };
        let weighted = || self.row(near).iter().zip(self.row(far)).map(|(&n, &f)| 3 * u32::from(n) + u32::from(f));
        // Narrow components are repeated instead, as in libjpeg.
        let wide = self.component.size[0] > 2;
        match factor {
            [2, 1] if wide => across(self.row(near).iter().map(|&v| v.into()), [1, 2], 2, out),
            [2, 2] if wide => across(weighted(), [8, 7], 4, out),
            [1, 2] => out.extend(weighted().map(|v| ((v + 1 + (y % 2) as u32) >> 2) as u8)),
            [times, _] => out.extend(self.row(near).iter().flat_map(|&v| std::iter::repeat_n(v, times))),
        }
    }
}

/// Twice as many values: three parts of each and one of its left, then of its right neighbour, rounded up from
/// `half[0]` and `half[1]` and shifted right by `bits`. The ends are their own neighbours.
fn across(values: impl Iterator<Item = u32>, half: [u32; 2], bits: u32, out: &mut Vec<u8>) {
    let mut values = values.peekable();
    let mut left = values.peek().copied().unwrap_or(0);
    while let Some(value) = values.next() {
        let right = values.peek().copied().unwrap_or(value);
        out.push(((3 * value + left + half[0]) >> bits) as u8);
        out.push(((3 * value + right + half[1]) >> bits) as u8);
        left = value;
    }
}

/// ITU-R BT.601 in full range, as JFIF says, with 16 fraction bits.
fn converted(y: i32, cb: i32, cr: i32) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (cb, cr) = (cb - 128, cr - 128);
    let red = y + ((91881 * cr + HALF) >> 16);
    let green = y + ((-22554 * cb - 46802 * cr + HALF) >> 16);
    let blue = y + ((116130 * cb + HALF) >> 16);
    [red, green, blue].map(|v| v.clamp(0, 255) as u8)
}

/// Light that `ink` leaves of the light `left` by black: left · (255 − ink) / 255, rounded as Pillow does.
fn printed(ink: i32, left: i32) -> u8 {
    let product = ink * left + 128;
    (left - ((product + (product >> 8)) >> 8)).clamp(0, 255) as u8
}
