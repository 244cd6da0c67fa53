//! Weights in GPU memory, uploaded once per session and shared between its plans.

use std::collections::HashMap;
use std::sync::Mutex;

use super::device::GpuDevice;
use super::lock::lock;
use super::storage;
use crate::Result;
use crate::cpu::Packs;
#[cfg(feature = "full")]
use crate::ops::cached_attention::KvKind;
use crate::tensor::Tensor;

/// Buffers by the host bytes they were made from and the form they were brought into.
#[derive(Default)]
pub struct WeightCache {
    entries: Mutex<HashMap<Key, Entry>>,
    /// Of nodes that run on the CPU.
    pub(super) packs: Packs,
    /// What attention keeps between runs.
    #[cfg(feature = "full")]
    pub caches: super::caches::Caches,
}

/// Address and length of the host bytes; layout.
type Key = (usize, usize, String);

struct Entry {
    buffer: wgpu::Buffer,
    /// Keeps the address from being reused while the entry stands.
    #[cfg_attr(
        not(feature = "full"),
        expect(dead_code, reason = "held, and looked at only where weights are swapped")
    )]
    source: Tensor,
}

impl WeightCache {
    /// One in which attention keeps keys and values of this kind.
    #[cfg(feature = "full")]
    pub fn keeping(kind: KvKind) -> Self {
        WeightCache { packs: Packs::keeping(kind), caches: super::caches::Caches::new(kind), ..WeightCache::default() }
    }

    /// Of nodes that run on the CPU.
    #[cfg(feature = "full")]
    pub fn packs(&self) -> &Packs {
        &self.packs
    }

    /// The tensor in the layout of `storage`.
    pub(super) fn dense(&self, device: &GpuDevice, tensor: &Tensor) -> Result<wgpu::Buffer> {
        self.entry(device, tensor, "dense", || Ok(storage::to_gpu(tensor)?.into_owned()))
    }

    /// What `make` makes of the tensor, padded to words, once per `layout`.
    pub(super) fn entry(
        &self,
        device: &GpuDevice,
        tensor: &Tensor,
        layout: &str,
        make: impl FnOnce() -> Result<Vec<u8>>,
    ) -> Result<wgpu::Buffer> {
        let key = (tensor.bytes().as_ptr() as usize, tensor.bytes().len(), layout.to_string());
        if let Some(entry) = lock(&self.entries).get(&key) {
            return Ok(entry.buffer.clone());
        }
        let mut bytes = make()?;
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let buffer = device.storage("weight", bytes.len())?;
        device.queue.write_buffer(&buffer, 0, &bytes);
        lock(&self.entries).insert(key, Entry { buffer: buffer.clone(), source: tensor.clone() });
        Ok(buffer)
    }

    /// Lets go of the buffers of tensors that only this holds.
    #[cfg(feature = "full")]
    pub fn sweep(&self) {
        let mut entries = lock(&self.entries);
        let mut held: HashMap<(usize, usize), usize> = HashMap::new();
        for (address, len, _) in entries.keys() {
            *held.entry((*address, *len)).or_default() += 1;
        }
        entries.retain(|(address, len, _), entry| entry.source.holders() > held[&(*address, *len)]);
    }

    /// Bytes of all buffers.
    pub fn bytes(&self) -> u64 {
        lock(&self.entries).values().map(|e| e.buffer.size()).sum()
    }
}
