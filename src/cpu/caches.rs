//! Keys and values that attention keeps between the runs of a session.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use half::f16;

use super::simd::{Level, lookup, multiversion};
use crate::Result;
use crate::ops::cached_attention::{KvKind, check_order, hadamard};

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

    /// Sequence i is from now on what `order[i]` was. Fails, and changes nothing, if that is none.
    pub fn reorder(&self, order: &[usize]) -> Result<()> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let all = || known.values().map(|cache| cache.lock().unwrap_or_else(PoisonError::into_inner));
        all().filter(|cache| !cache.keys.is_empty()).try_for_each(|cache| check_order(order, cache.sequences))?;
        all().filter(|cache| !cache.keys.is_empty()).for_each(|mut cache| cache.reorder(order));
        Ok(())
    }

    /// The cache that all plans know by this number, empty at first.
    pub fn get(&self, number: usize) -> Arc<Mutex<Cache>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(number).or_insert_with(|| Arc::new(Mutex::new(Cache::new(self.kind)))).clone()
    }
}

/// One layer's keys and values.
pub struct Cache {
    kind: KvKind,
    /// `[sequences, heads]`
    pub keys: Vec<Rows>,
    pub values: Vec<Rows>,
    sequences: usize,
}

impl Cache {
    fn new(kind: KvKind) -> Self {
        Cache { kind, keys: Vec::new(), values: Vec::new(), sequences: 0 }
    }

    /// Makes it hold `tokens` tokens of each of `sequences`, of `heads` heads of `width` elements, to which more can be
    /// added. `None` if it has fewer tokens, other sequences, or heads of another size.
    pub fn cut(&mut self, tokens: usize, [sequences, heads, width]: [usize; 3]) -> Option<()> {
        if tokens == 0 {
            let empty = |levels| (0..sequences * heads).map(|_| Rows::new(self.kind, levels, width)).collect();
            (self.keys, self.values) = (empty(KvKind::KEY_LEVELS), empty(KvKind::VALUE_LEVELS));
            self.sequences = sequences;
        }
        let fits = self.sequences == sequences && self.keys.len() == sequences * heads;
        if !fits || self.keys.iter().any(|rows| rows.width != width || rows.len() < tokens) {
            return None;
        }
        self.keys.iter_mut().chain(&mut self.values).for_each(|rows| rows.cut(tokens));
        Some(())
    }

    /// Adds a token of a sequence: keys and values of all heads, one behind the other.
    pub fn push(&mut self, sequence: usize, keys: &[f32], values: &[f32]) {
        let heads = self.keys.len() / self.sequences.max(1);
        for (all, new) in [(&mut self.keys, keys), (&mut self.values, values)] {
            let width = new.len() / heads.max(1);
            let own = all.iter_mut().skip(sequence * heads);
            own.zip(new.chunks_exact(width.max(1))).for_each(|(rows, new)| rows.push(new));
        }
    }

    /// Sequence i becomes what `order[i]` is. What stays does not move, and copies take the room of what ends.
    fn reorder(&mut self, order: &[usize]) {
        let heads = self.keys.len() / self.sequences.max(1);
        let free: Vec<usize> = (0..self.sequences).filter(|sequence| !order.contains(sequence)).collect();
        for all in [&mut self.keys, &mut self.values] {
            let mut free = free.iter();
            let mut old: Vec<Option<Rows>> = std::mem::take(all).into_iter().map(Some).collect();
            for (i, &from) in order.iter().enumerate() {
                let goes_on = order[i + 1..].contains(&from);
                let room = if goes_on { free.next() } else { None };
                for head in 0..heads {
                    let rows = match (goes_on, room) {
                        (false, _) => old[from * heads + head].take(),
                        (true, room) => {
                            let mut rows = room.and_then(|room| old[room * heads + head].take());
                            if let Some(source) = &old[from * heads + head] {
                                rows.get_or_insert_with(|| source.empty()).copy(source);
                            }
                            rows
                        }
                    };
                    all.extend(rows);
                }
            }
        }
        self.sequences = order.len();
    }

    /// Whether heads are turned as `hadamard` does it.
    pub fn is_turned(&self) -> bool {
        self.kind != KvKind::F16
    }

    /// Bytes that keys and values take.
    pub fn bytes(&self) -> usize {
        let halves = |rows: &Rows| rows.halves.len() + rows.ring.len();
        self.keys.iter().chain(&self.values).map(|rows| 2 * halves(rows) + rows.codes.len()).sum()
    }
}

/// Vectors of one head.
pub struct Rows {
    kind: KvKind,
    /// Of those of 4 bits.
    levels: u32,
    width: usize,
    /// Elements in half precision; of codes the scales.
    halves: Vec<u16>,
    /// Signed integers; or pairs of codes, 9 bits each for keys and 8 for values, a block at a time from the lowest bit on.
    codes: Vec<u8>,
    /// Of 8 bits: the turned rows `exact ..` in half precision too, row r in place r modulo `KvKind::RING`.
    ring: Vec<u16>,
    exact: usize,
}

impl Rows {
    fn new(kind: KvKind, levels: u32, width: usize) -> Self {
        Rows { kind, levels, width, halves: Vec::new(), codes: Vec::new(), ring: Vec::new(), exact: 0 }
    }

    /// None, of the same form.
    fn empty(&self) -> Self {
        Rows::new(self.kind, self.levels, self.width)
    }

    fn copy(&mut self, other: &Rows) {
        self.halves.clone_from(&other.halves);
        self.codes.clone_from(&other.codes);
        self.ring.clone_from(&other.ring);
        self.exact = other.exact;
    }

    fn len(&self) -> usize {
        self.halves.len() / self.sizes()[0].max(1)
    }

    /// Halves and codes of a row.
    fn sizes(&self) -> [usize; 2] {
        match self.kind {
            KvKind::F16 => [self.width, 0],
            KvKind::Q8 => [self.width.div_ceil(KvKind::STEP), self.width],
            KvKind::Q4 => [self.width.div_ceil(KvKind::STEP), code_bytes(self.levels, self.width)],
        }
    }

    fn cut(&mut self, rows: usize) {
        let [halves, codes] = self.sizes();
        self.halves.truncate(rows * halves);
        self.codes.truncate(rows * codes);
        // Rows that are cut off have taken the places of those before `exact`.
        self.exact = self.exact.min(rows);
    }

    fn push(&mut self, row: &[f32]) {
        let half = |v: f32| f16::from_f32(v).to_bits();
        match self.kind {
            KvKind::F16 => self.halves.extend(row.iter().map(|&v| half(v))),
            KvKind::Q8 | KvKind::Q4 => {
                let place = self.len() % KvKind::RING * self.width;
                for (i, block) in row.chunks(KvKind::BLOCK).enumerate() {
                    let mut turned = [0f32; KvKind::BLOCK];
                    let turned = &mut turned[..block.len()];
                    turned.copy_from_slice(block);
                    hadamard(turned);
                    if self.kind == KvKind::Q8 {
                        self.push8(turned);
                        self.put(place + i * KvKind::BLOCK, turned);
                    } else {
                        self.push4(turned);
                    }
                }
                self.exact = self.exact.max(self.len().saturating_sub(KvKind::RING));
            }
        }
    }

    /// Puts a turned block into the ring, which grows until it is whole.
    fn put(&mut self, at: usize, block: &[f32]) {
        let end = at + block.len();
        if self.ring.len() < end {
            self.ring.resize(end, 0);
        }
        self.ring[at..end].iter_mut().zip(block).for_each(|(to, &v)| *to = f16::from_f32(v).to_bits());
    }

    /// Adds a turned block.
    fn push8(&mut self, block: &[f32]) {
        for part in block.chunks(KvKind::STEP) {
            let scale = f16::from_f32(part.iter().fold(0f32, |m, v| m.max(v.abs())) / 127.0);
            let inverse = if scale > f16::ZERO { scale.to_f32().recip() } else { 0.0 };
            self.halves.push(scale.to_bits());
            self.codes.extend(part.iter().map(|v| (v * inverse).round().clamp(-127.0, 127.0) as i8 as u8));
        }
    }

    /// Adds a turned block.
    fn push4(&mut self, block: &[f32]) {
        let mut codes = [0u32; KvKind::BLOCK];
        for (part, codes) in block.chunks(KvKind::STEP).zip(codes.chunks_mut(KvKind::STEP)) {
            let step = step_of(part, self.levels);
            self.halves.push(step.to_bits());
            codes.iter_mut().zip(part).for_each(|(code, v)| *code = code_of(*v, step.to_f32(), self.levels));
        }
        let (mut word, mut bits) = (0u32, 0);
        for pair in codes[..block.len()].chunks(2) {
            word |= (pair[0] + self.levels * pair.get(1).unwrap_or(&0)) << bits;
            bits += pair_bits(self.levels);
            while bits >= 8 {
                self.codes.push(word as u8);
                (word, bits) = (word >> 8, bits - 8);
            }
        }
        if bits > 0 {
            self.codes.push(word as u8);
        }
    }

    /// The first of the rows that a token in row `row` sees in half precision though the rest has 8 bits; at most the one
    /// after it. `usize::MAX` where none are kept like that.
    pub fn recent(&self, row: usize) -> usize {
        match self.kind {
            KvKind::Q8 => (row + 1).saturating_sub(KvKind::RECENT).max(self.exact).min(row + 1),
            KvKind::F16 | KvKind::Q4 => usize::MAX,
        }
    }

    /// Writes rows of `range`, which the ring holds, as f32, as they were turned.
    pub fn read_recent(&self, level: Level, range: Range<usize>, out: &mut [f32]) {
        let mut rest = out;
        let mut row = range.start;
        while row < range.end {
            let place = row % KvKind::RING;
            let count = (range.end - row).min(KvKind::RING - place);
            let (now, behind) = rest.split_at_mut(count * self.width);
            lookup::widen(level, &self.ring[place * self.width..][..now.len()], now);
            (rest, row) = (behind, row + count);
        }
    }

    /// Writes rows of `range` as f32, those of fewer bits as they were turned.
    pub fn read(&self, level: Level, range: Range<usize>, out: &mut [f32]) {
        let [halves, codes] = self.sizes();
        let halves = &self.halves[range.start * halves..range.end * halves];
        let codes = &self.codes[range.start * codes..range.end * codes];
        match self.kind {
            KvKind::F16 => lookup::widen(level, halves, out),
            KvKind::Q8 => read8(level, halves, codes, self.width, out),
            KvKind::Q4 => read4(level, halves, codes, self.width, self.levels, out),
        }
    }
}

multiversion! {
    fn read8 = read8_body(halves: &[u16], codes: &[u8], width: usize, out: &mut [f32])
}

#[inline(always)]
fn read8_body<const FMA: bool>(halves: &[u16], codes: &[u8], width: usize, out: &mut [f32]) {
    let per_row = width.div_ceil(KvKind::STEP);
    let rows = out.chunks_exact_mut(width).zip(codes.chunks_exact(width)).zip(halves.chunks_exact(per_row));
    for ((out, codes), scales) in rows {
        let blocks = out.chunks_mut(KvKind::STEP).zip(codes.chunks(KvKind::STEP));
        for ((out, codes), &scale) in blocks.zip(scales) {
            let scale = f16::from_bits(scale).to_f32();
            out.iter_mut().zip(codes).for_each(|(out, &code)| *out = f32::from(code as i8) * scale);
        }
    }
}

/// Bits of two codes.
fn pair_bits(levels: u32) -> usize {
    (levels * levels - 1).ilog2() as usize + 1
}

/// Bytes of the codes of a row.
fn code_bytes(levels: u32, width: usize) -> usize {
    let block = |len: usize| (pair_bits(levels) * len.div_ceil(2)).div_ceil(8);
    width / KvKind::BLOCK * block(KvKind::BLOCK) + block(width % KvKind::BLOCK)
}

/// The number of the level nearest to `v`: level i is worth `(i + ½ − levels / 2) · step`.
fn code_of(v: f32, step: f32, levels: u32) -> u32 {
    if step > 0.0 { (v / step + levels as f32 / 2.0).floor().clamp(0.0, (levels - 1) as f32) as u32 } else { 0 }
}

/// With which the largest number is half a step above the last level.
fn step_of(part: &[f32], levels: u32) -> f16 {
    f16::from_f32(part.iter().fold(0f32, |m, v| m.max(v.abs())) / (levels as f32 / 2.0))
}

multiversion! {
    fn read4 = read4_body(halves: &[u16], codes: &[u8], width: usize, levels: u32, out: &mut [f32])
}

#[inline(always)]
fn read4_body<const FMA: bool>(halves: &[u16], codes: &[u8], width: usize, levels: u32, out: &mut [f32]) {
    let (bits, half) = (pair_bits(levels), levels as f32 / 2.0 - 0.5);
    // What each pair of codes is worth, in steps.
    let mut pairs = [[0f32; 2]; 512];
    for (code, pair) in (0..levels * levels).zip(&mut pairs) {
        *pair = [(code % levels) as f32 - half, (code / levels) as f32 - half];
    }
    let (per_row, row_codes) = (width.div_ceil(KvKind::STEP), code_bytes(levels, width));
    let rows = out.chunks_exact_mut(width).zip(codes.chunks_exact(row_codes)).zip(halves.chunks_exact(per_row));
    for ((out, mut codes), halves) in rows {
        for (block, halves) in out.chunks_mut(KvKind::BLOCK).zip(halves.chunks(KvKind::BLOCK / KvKind::STEP)) {
            let (own, behind) = codes.split_at((bits * block.len().div_ceil(2)).div_ceil(8));
            codes = behind;
            let mut at = 0;
            for (part, &step) in block.chunks_mut(KvKind::STEP).zip(halves) {
                let step = f16::from_bits(step).to_f32();
                for out in part.chunks_mut(2) {
                    let next = own.get(at / 8 + 1).copied().unwrap_or(0);
                    let word = u16::from_le_bytes([own[at / 8], next]) >> (at % 8);
                    let pair = pairs[usize::from(word) & ((1 << bits) - 1)];
                    out.iter_mut().zip(pair).for_each(|(out, v)| *out = v * step);
                    at += bits;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of so many tokens.
    fn bytes(kind: KvKind, width: usize, tokens: usize) -> usize {
        let mut cache = Cache::new(kind);
        cache.cut(0, [1, 3, width]).unwrap();
        let row = vec![0.5; 3 * width];
        (0..tokens).for_each(|_| cache.push(0, &row, &row));
        cache.bytes()
    }

    #[test]
    fn bits_of_an_element() {
        let kinds = [KvKind::F16, KvKind::Q8, KvKind::Q4];
        assert_eq!(kinds.map(|kind| bytes(kind, 64, 1)), [768, 408 + 768, 228]);
        // The ring takes no more than its tokens.
        assert_eq!(kinds.map(|kind| bytes(kind, 64, 1000)), [768_000, 408_000 + 160 * 768, 228_000]);
        // 4.75 bits of 16, less than 0.3.
        assert_eq!(bytes(KvKind::Q4, 128, 1) as f64 / bytes(KvKind::F16, 128, 1) as f64, 4.75 / 16.0);
    }
}
