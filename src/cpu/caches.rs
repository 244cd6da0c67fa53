//! Keys and values that attention keeps between the runs of a session.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use half::f16;

use super::simd::{Level, lookup};

/// The caches of a session by the number that nodes give.
#[derive(Default)]
pub struct Caches(Mutex<HashMap<usize, Arc<Mutex<Cache>>>>);

impl Caches {
    /// The cache that all plans know by this number, empty at first.
    pub fn get(&self, number: usize) -> Arc<Mutex<Cache>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(number).or_default().clone()
    }
}

/// One layer's keys and values by head.
#[derive(Default)]
pub struct Cache {
    pub keys: Vec<Rows>,
    pub values: Vec<Rows>,
    tokens: usize,
}

impl Cache {
    /// Makes it hold `tokens` tokens of `heads` heads of `width` elements, to which more can be added. `None` if it has
    /// fewer, or heads of another size.
    pub fn cut(&mut self, tokens: usize, heads: usize, width: usize) -> Option<()> {
        if tokens == 0 {
            let empty = || vec![Rows { halves: Vec::new(), width }; heads];
            *self = Cache { keys: empty(), values: empty(), tokens };
        }
        let fits = self.keys.len() == heads && self.keys.iter().all(|rows| rows.width == width);
        if !fits || tokens > self.tokens {
            return None;
        }
        self.keys.iter_mut().chain(&mut self.values).for_each(|rows| rows.halves.truncate(tokens * width));
        self.tokens = tokens;
        Some(())
    }

    /// Adds a token: keys and values of all heads, one behind the other.
    pub fn push(&mut self, keys: &[f32], values: &[f32]) {
        for (all, new) in [(&mut self.keys, keys), (&mut self.values, values)] {
            let width = new.len() / all.len().max(1);
            all.iter_mut().zip(new.chunks_exact(width.max(1))).for_each(|(rows, new)| rows.push(new));
        }
        self.tokens += 1;
    }
}

/// Vectors of one head in half precision.
#[derive(Clone)]
pub struct Rows {
    halves: Vec<u16>,
    width: usize,
}

impl Rows {
    fn push(&mut self, row: &[f32]) {
        self.halves.extend(row.iter().map(|&v| f16::from_f32(v).to_bits()));
    }

    /// Writes rows of `range` as f32.
    pub fn read(&self, level: Level, range: Range<usize>, out: &mut [f32]) {
        lookup::widen(level, &self.halves[range.start * self.width..range.end * self.width], out);
    }
}
