//! Keys and values that attention keeps on the device between the runs of a session.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::device::GpuDevice;
use super::lock::lock;
use crate::Result;
use crate::ops::cached_attention::KvKind;

/// The caches of a session by the number that nodes give.
pub struct Caches {
    pub kind: KvKind,
    state: Mutex<State>,
}

struct State {
    /// Tokens that each has room for.
    capacity: usize,
    known: HashMap<usize, Arc<Cache>>,
}

/// One layer's keys and values: `[capacity, heads, words]` each, of words of their own.
pub struct Cache {
    pub buffers: [wgpu::Buffer; 2],
    pub capacity: usize,
    /// Words of a token's keys and values.
    words: [usize; 2],
    tokens: AtomicUsize,
}

/// Room that a session begins with.
const FIRST_CAPACITY: usize = 256;

impl Caches {
    pub fn new(kind: KvKind) -> Self {
        Caches { kind, state: Mutex::new(State { capacity: FIRST_CAPACITY, known: HashMap::new() }) }
    }

    /// The cache of this number, with `words` words a token; made, empty, on first use and where it had other sizes.
    pub fn get(&self, device: &GpuDevice, number: usize, words: [usize; 2]) -> Result<Arc<Cache>> {
        let mut state = lock(&self.state);
        if let Some(cache) = state.known.get(&number).filter(|cache| cache.words == words) {
            return Ok(cache.clone());
        }
        let cache = Arc::new(Cache::new(device, state.capacity, words)?);
        state.known.insert(number, cache.clone());
        Ok(cache)
    }

    /// Makes room for so many tokens. True if buffers changed for it: programs with the old ones are of no use then.
    pub fn reserve(&self, device: &GpuDevice, tokens: usize) -> Result<bool> {
        let mut state = lock(&self.state);
        if tokens <= state.capacity {
            return Ok(false);
        }
        let capacity = tokens.next_power_of_two();
        let mut encoder = device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut grown = HashMap::new();
        for (&number, old) in &state.known {
            let new = Cache::new(device, capacity, old.words)?;
            for (from, to) in old.buffers.iter().zip(&new.buffers) {
                encoder.copy_buffer_to_buffer(from, 0, to, 0, from.size());
            }
            new.tokens.store(old.tokens.load(Ordering::Relaxed), Ordering::Relaxed);
            grown.insert(number, Arc::new(new));
        }
        device.queue.submit([encoder.finish()]);
        *state = State { capacity, known: grown };
        Ok(true)
    }
}

impl Default for Caches {
    fn default() -> Self {
        Self::new(KvKind::default())
    }
}

impl Cache {
    fn new(device: &GpuDevice, capacity: usize, words: [usize; 2]) -> Result<Self> {
        let buffer = |words: usize| device.storage("cache", capacity.saturating_mul(words).saturating_mul(4));
        Ok(Cache { buffers: [buffer(words[0])?, buffer(words[1])?], capacity, words, tokens: AtomicUsize::new(0) })
    }

    /// Notes that a run brings in tokens `first ..= last`. False if there is no room, or if tokens before are missing.
    pub fn note(&self, first: usize, last: usize) -> bool {
        let fits = first <= self.tokens.load(Ordering::Relaxed) && last < self.capacity;
        if fits {
            self.tokens.store(last + 1, Ordering::Relaxed);
        }
        fits
    }
}
