//! Keys and values that attention keeps on the device between the runs of a session.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::device::GpuDevice;
use super::lock::lock;
use crate::Result;
use crate::ops::cached_attention::{KvKind, check_order};

/// The caches of a session by the number that nodes give.
pub struct Caches {
    pub kind: KvKind,
    state: Mutex<State>,
}

struct State {
    /// Sequences, and tokens of each, that there is room for.
    room: [usize; 2],
    known: HashMap<usize, Arc<Cache>>,
    /// Through it go sequences that change places: a buffer cannot be copied to itself.
    passage: Option<wgpu::Buffer>,
}

/// One layer's keys and values: of each sequence `ahead` words and `[capacity, heads, words]`, of words of their own.
pub struct Cache {
    pub buffers: [wgpu::Buffer; 2],
    /// Tokens of a sequence that there is room for.
    pub capacity: usize,
    room: usize,
    words: Words,
    sequences: AtomicUsize,
    tokens: AtomicUsize,
}

/// What a sequence takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    /// Of keys, and of values, whatever tokens there are.
    pub ahead: usize,
    /// Of a token's keys and values.
    pub token: [usize; 2],
}

impl Words {
    /// With so many tokens, of keys (0) or values (1).
    pub fn of(&self, part: usize, tokens: usize) -> usize {
        self.ahead.saturating_add(tokens.saturating_mul(self.token[part]))
    }
}

/// Room that a session begins with.
const FIRST_CAPACITY: usize = 256;

impl Caches {
    pub fn new(kind: KvKind) -> Self {
        let state = State { room: [1, FIRST_CAPACITY], known: HashMap::new(), passage: None };
        Caches { kind, state: Mutex::new(state) }
    }

    /// The cache of this number for so many sequences of `words`; made, empty, on first use and where it
    /// had other sizes or less room.
    pub fn get(&self, device: &GpuDevice, number: usize, sequences: usize, words: Words) -> Result<Arc<Cache>> {
        let mut state = lock(&self.state);
        let fits = |cache: &&Arc<Cache>| cache.words == words && cache.room >= sequences;
        if let Some(cache) = state.known.get(&number).filter(fits) {
            return Ok(cache.clone());
        }
        let [room, capacity] = state.room;
        let cache = Arc::new(Cache::new(device, [room.max(sequences), capacity], words)?);
        state.known.insert(number, cache.clone());
        Ok(cache)
    }

    /// Makes room for so many sequences and tokens of each. True if buffers changed for it: programs with the old ones are
    /// of no use then.
    pub fn reserve(&self, device: &GpuDevice, [sequences, tokens]: [usize; 2]) -> Result<bool> {
        let mut state = lock(&self.state);
        let [room, capacity] = state.room;
        if sequences <= room && tokens <= capacity {
            return Ok(false);
        }
        let capacity = if tokens <= capacity { capacity } else { tokens.next_power_of_two() };
        let room = [room.max(sequences), capacity];
        let mut encoder = device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut grown = HashMap::new();
        for (&number, old) in &state.known {
            let new = Cache::new(device, room, old.words)?;
            for (part, (from, to)) in old.buffers.iter().zip(&new.buffers).enumerate() {
                for sequence in 0..old.sequences.load(Ordering::Relaxed) {
                    let bytes = old.bytes(part);
                    let [from_at, to_at] = [&**old, &new].map(|cache| sequence as u64 * cache.stride(part));
                    encoder.copy_buffer_to_buffer(from, from_at, to, to_at, bytes);
                }
            }
            new.sequences.store(old.sequences.load(Ordering::Relaxed), Ordering::Relaxed);
            new.tokens.store(old.tokens.load(Ordering::Relaxed), Ordering::Relaxed);
            grown.insert(number, Arc::new(new));
        }
        device.queue.submit([encoder.finish()]);
        *state = State { room, known: grown, passage: None };
        Ok(true)
    }

    /// Sequence i is from now on what `order[i]` was; there is room for them. Fails, and changes nothing, if that is none.
    pub fn reorder(&self, device: &GpuDevice, order: &[usize]) -> Result<()> {
        let mut state = lock(&self.state);
        let State { known, passage, .. } = &mut *state;
        let used = || known.values().filter(|cache| cache.tokens.load(Ordering::Relaxed) > 0);
        used().try_for_each(|cache| check_order(order, cache.sequences.load(Ordering::Relaxed)))?;
        let moves = || order.iter().enumerate().filter(|(to, from)| to != *from);
        let largest = used().map(|cache| cache.bytes(0).max(cache.bytes(1))).max().unwrap_or(0);
        let bytes = largest * moves().count() as u64;
        let passage = match &*passage {
            Some(buffer) if buffer.size() >= bytes => buffer.clone(),
            _ => passage.insert(device.storage("passage", usize::try_from(bytes).unwrap_or(usize::MAX))?).clone(),
        };
        let mut encoder = device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for cache in used() {
            for (part, buffer) in cache.buffers.iter().enumerate() {
                let (bytes, at) = (cache.bytes(part), |sequence: usize| sequence as u64 * cache.stride(part));
                for (i, (_, &from)) in moves().enumerate() {
                    encoder.copy_buffer_to_buffer(buffer, at(from), &passage, i as u64 * bytes, bytes);
                }
                for (i, (to, _)) in moves().enumerate() {
                    encoder.copy_buffer_to_buffer(&passage, i as u64 * bytes, buffer, at(to), bytes);
                }
            }
            cache.sequences.store(order.len(), Ordering::Relaxed);
        }
        device.queue.submit([encoder.finish()]);
        Ok(())
    }
}

impl Default for Caches {
    fn default() -> Self {
        Self::new(KvKind::default())
    }
}

impl Cache {
    fn new(device: &GpuDevice, [room, capacity]: [usize; 2], words: Words) -> Result<Self> {
        let bytes = |part| words.of(part, capacity).saturating_mul(room).saturating_mul(4);
        let buffers = [device.storage("cache", bytes(0))?, device.storage("cache", bytes(1))?];
        Ok(Cache { buffers, capacity, room, words, sequences: AtomicUsize::new(0), tokens: AtomicUsize::new(0) })
    }

    /// Bytes from a sequence to the next of keys (0) or values (1).
    fn stride(&self, part: usize) -> u64 {
        (self.words.of(part, self.capacity) * 4) as u64
    }

    /// Bytes of what a sequence has in use.
    fn bytes(&self, part: usize) -> u64 {
        (self.words.of(part, self.tokens.load(Ordering::Relaxed)) * 4) as u64
    }

    /// Notes that a run brings in tokens `first ..= last` of so many sequences. False if there is no room, if tokens before
    /// are missing, or if they are those of other sequences.
    pub fn note(&self, first: usize, last: usize, sequences: usize) -> bool {
        let goes_on =
            first <= self.tokens.load(Ordering::Relaxed) && sequences == self.sequences.load(Ordering::Relaxed);
        let fits = (first == 0 || goes_on) && last < self.capacity && sequences <= self.room;
        if fits {
            self.sequences.store(sequences, Ordering::Relaxed);
            self.tokens.store(last + 1, Ordering::Relaxed);
        }
        fits
    }
}
