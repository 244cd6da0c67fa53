//! Keys and values that attention keeps between the runs of a session.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use half::f16;

use super::simd::{Level, fma, lookup, multiversion};
use crate::ops::cached_attention::KvKind;

/// The caches of a session by the number that nodes give.
#[derive(Default)]
pub struct Caches {
    kind: KvKind,
    known: Mutex<HashMap<usize, Arc<Mutex<Cache>>>>,
}

impl Caches {
    pub fn new(kind: KvKind) -> Self {
        Caches { kind, known: Mutex::default() }
    }

    /// The cache that all plans know by this number, empty at first.
    pub fn get(&self, number: usize) -> Arc<Mutex<Cache>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(number).or_insert_with(|| Arc::new(Mutex::new(Cache::new(self.kind)))).clone()
    }
}

/// One layer's keys and values by head.
pub struct Cache {
    kind: KvKind,
    pub keys: Vec<Rows>,
    pub values: Vec<Rows>,
    tokens: usize,
}

impl Cache {
    fn new(kind: KvKind) -> Self {
        Cache { kind, keys: Vec::new(), values: Vec::new(), tokens: 0 }
    }

    /// Makes it hold `tokens` tokens of `heads` heads of `width` elements, to which more can be added. `None` if it has
    /// fewer, or heads of another size.
    pub fn cut(&mut self, tokens: usize, heads: usize, width: usize) -> Option<()> {
        if tokens == 0 {
            let empty = || (0..heads).map(|_| Rows::new(self.kind, width)).collect();
            (self.keys, self.values, self.tokens) = (empty(), empty(), 0);
        }
        let fits = self.keys.len() == heads && self.keys.iter().all(|rows| rows.width == width);
        if !fits || tokens > self.tokens {
            return None;
        }
        self.keys.iter_mut().chain(&mut self.values).for_each(|rows| rows.cut(tokens));
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

    /// Bytes that keys and values take.
    pub fn bytes(&self) -> usize {
        self.keys.iter().chain(&self.values).map(|rows| 2 * rows.halves.len() + rows.codes.len()).sum()
    }
}

/// Vectors of one head.
pub struct Rows {
    kind: KvKind,
    width: usize,
    /// Elements in half precision; of codes the scale of each block, and its least value for those of 4 bits.
    halves: Vec<u16>,
    /// Signed integers, or two codes of 4 bits a byte, the first in the lower half.
    codes: Vec<u8>,
}

impl Rows {
    fn new(kind: KvKind, width: usize) -> Self {
        Rows { kind, width, halves: Vec::new(), codes: Vec::new() }
    }

    /// Halves and codes of a row.
    fn sizes(&self) -> [usize; 2] {
        match self.kind {
            KvKind::F16 => [self.width, 0],
            KvKind::Q8 => [self.width.div_ceil(KvKind::BLOCK), self.width],
            KvKind::Q4 => [2 * self.width.div_ceil(KvKind::BLOCK), self.width.div_ceil(2)],
        }
    }

    fn cut(&mut self, rows: usize) {
        let [halves, codes] = self.sizes();
        self.halves.truncate(rows * halves);
        self.codes.truncate(rows * codes);
    }

    fn push(&mut self, row: &[f32]) {
        let half = |v: f32| f16::from_f32(v).to_bits();
        match self.kind {
            KvKind::F16 => self.halves.extend(row.iter().map(|&v| half(v))),
            KvKind::Q8 => {
                for block in row.chunks(KvKind::BLOCK) {
                    let scale = f16::from_f32(block.iter().fold(0f32, |m, v| m.max(v.abs())) / 127.0);
                    let inverse = if scale > f16::ZERO { scale.to_f32().recip() } else { 0.0 };
                    self.halves.push(scale.to_bits());
                    self.codes.extend(block.iter().map(|v| (v * inverse).round().clamp(-127.0, 127.0) as i8 as u8));
                }
            }
            KvKind::Q4 => {
                let mut codes = Vec::with_capacity(row.len() + 1);
                for block in row.chunks(KvKind::BLOCK) {
                    let low = f16::from_f32(block.iter().copied().fold(f32::INFINITY, f32::min));
                    let high = block.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    let scale = f16::from_f32((high - low.to_f32()) / 15.0);
                    let inverse = if scale > f16::ZERO { scale.to_f32().recip() } else { 0.0 };
                    self.halves.extend([scale.to_bits(), low.to_bits()]);
                    codes.extend(block.iter().map(|v| ((v - low.to_f32()) * inverse).round().clamp(0.0, 15.0) as u8));
                }
                self.codes.extend(codes.chunks(2).map(|pair| pair[0] | pair.get(1).unwrap_or(&0) << 4));
            }
        }
    }

    /// Writes rows of `range` as f32.
    pub fn read(&self, level: Level, range: Range<usize>, out: &mut [f32]) {
        let [halves, codes] = self.sizes();
        let halves = &self.halves[range.start * halves..range.end * halves];
        let codes = &self.codes[range.start * codes..range.end * codes];
        match self.kind {
            KvKind::F16 => lookup::widen(level, halves, out),
            KvKind::Q8 => read8(level, halves, codes, self.width, out),
            KvKind::Q4 => read4(level, halves, codes, self.width, out),
        }
    }
}

multiversion! {
    fn read8 = read8_body(halves: &[u16], codes: &[u8], width: usize, out: &mut [f32])
}

#[inline(always)]
fn read8_body<const FMA: bool>(halves: &[u16], codes: &[u8], width: usize, out: &mut [f32]) {
    let per_row = width.div_ceil(KvKind::BLOCK);
    let rows = out.chunks_exact_mut(width).zip(codes.chunks_exact(width)).zip(halves.chunks_exact(per_row));
    for ((out, codes), scales) in rows {
        let blocks = out.chunks_mut(KvKind::BLOCK).zip(codes.chunks(KvKind::BLOCK));
        for ((out, codes), &scale) in blocks.zip(scales) {
            let scale = f16::from_bits(scale).to_f32();
            out.iter_mut().zip(codes).for_each(|(out, &code)| *out = f32::from(code as i8) * scale);
        }
    }
}

multiversion! {
    fn read4 = read4_body(halves: &[u16], codes: &[u8], width: usize, out: &mut [f32])
}

#[inline(always)]
fn read4_body<const FMA: bool>(halves: &[u16], codes: &[u8], width: usize, out: &mut [f32]) {
    let (per_row, row_codes) = (2 * width.div_ceil(KvKind::BLOCK), width.div_ceil(2));
    let rows = out.chunks_exact_mut(width).zip(codes.chunks_exact(row_codes)).zip(halves.chunks_exact(per_row));
    for ((out, codes), halves) in rows {
        let blocks = out.chunks_mut(KvKind::BLOCK).zip(codes.chunks(KvKind::BLOCK / 2));
        for ((out, codes), pair) in blocks.zip(halves.chunks_exact(2)) {
            let (scale, low) = (f16::from_bits(pair[0]).to_f32(), f16::from_bits(pair[1]).to_f32());
            for (out, &code) in out.chunks_mut(2).zip(codes) {
                for (out, code) in out.iter_mut().zip([code & 15, code >> 4]) {
                    *out = fma::<FMA>(f32::from(code), scale, low);
                }
            }
        }
    }
}
