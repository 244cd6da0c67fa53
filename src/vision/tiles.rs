//! A photo in square tiles, as Idefics 3 (Laurençon et al. 2024) and SmolVLM take it.

use super::Photo;
use crate::Result;
use crate::graph::Filter;

/// No side is resized to more.
const MOST_SIDE: usize = 4096;

pub struct Tiles {
    /// Pixels of the photo's sides when it is resized first.
    first: [usize; 2],
    /// And second: multiples of `side`.
    width: usize,
    height: usize,
    side: usize,
    /// Of a tile.
    features: usize,
}

impl Tiles {
    pub fn new(size: [usize; 2], [side, longest]: [usize; 2], features: usize, split: bool) -> Self {
        let first = within(longer_at(size, longest), MOST_SIDE);
        let [width, height] = if split { multiples(first, side) } else { [side; 2] };
        Tiles { first, width, height, side, features }
    }

    fn grid(&self) -> [usize; 2] {
        [self.height / self.side, self.width / self.side]
    }

    /// The parts; none if the whole is enough.
    fn parts(&self) -> usize {
        let [rows, columns] = self.grid();
        if rows * columns > 1 { rows * columns } else { 0 }
    }

    pub fn features(&self) -> usize {
        (self.parts() + 1) * self.features
    }

    /// Rows of tiles, each with its place in words, and the whole.
    pub fn prompt(&self, token: &str) -> String {
        const AROUND: &str = "<fake_token_around_image>";
        let all = token.repeat(self.features);
        let mut text = String::new();
        let [rows, columns] = self.grid();
        if self.parts() > 0 {
            for row in 1..=rows {
                for column in 1..=columns {
                    text += &format!("{AROUND}<row_{row}_col_{column}>{all}");
                }
                text.push('\n');
            }
            text.push('\n');
        }
        text + &format!("{AROUND}<global-img>{all}{AROUND}")
    }

    /// The parts row by row, and the whole.
    pub fn cut(&self, photo: &Photo) -> Result<Vec<Photo>> {
        let [first_width, first_height] = self.first;
        let photo = photo.resize(first_width, first_height, Filter::Lanczos)?;
        let photo = photo.resize(self.width, self.height, Filter::Lanczos)?;
        let [_, columns] = self.grid();
        let part = |i: usize| photo.crop(i % columns * self.side, i / columns * self.side, self.side, self.side);
        let mut tiles = (0..self.parts()).map(part).collect::<Result<Vec<_>>>()?;
        tiles.push(photo.resize(self.side, self.side, Filter::Lanczos)?);
        Ok(tiles)
    }
}

/// The size whose longer side is this; the other is made even.
fn longer_at([width, height]: [usize; 2], longest: usize) -> [usize; 2] {
    let ratio = width as f64 / height as f64;
    let even = |side: f64| (side as usize).next_multiple_of(2).max(1);
    match width >= height {
        true => [longest, even(longest as f64 / ratio)],
        false => [even(longest as f64 * ratio), longest],
    }
}

/// The same size unless its longer side has more pixels.
fn within([width, height]: [usize; 2], most: usize) -> [usize; 2] {
    let ratio = width as f64 / height as f64;
    match width >= height {
        true if width > most => [most, ((most as f64 / ratio) as usize).max(1)],
        false if height > most => [((most as f64 * ratio) as usize).max(1), most],
        _ => [width, height],
    }
}

/// Sides rounded up to multiples, the longer one first and the other in its ratio.
fn multiples([width, height]: [usize; 2], side: usize) -> [usize; 2] {
    let ratio = width as f64 / height as f64;
    match width >= height {
        true => {
            let width = width.next_multiple_of(side);
            [width, ((width as f64 / ratio) as usize).max(1).next_multiple_of(side)]
        }
        false => {
            let height = height.next_multiple_of(side);
            [((height as f64 * ratio) as usize).max(1).next_multiple_of(side), height]
        }
    }
}
