//! Durations of single nodes: a pass per node, with a timestamp at either end.

use super::device::GpuDevice;
use crate::{Error, Result};

/// Most timestamps of a query set (WebGPU's limit).
const MOST: usize = 4096;

pub struct Timer {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    /// The node of each measured pass.
    nodes: Vec<usize>,
    capacity: usize,
    /// Nanoseconds of a tick.
    period: f64,
}

impl Timer {
    /// For up to `nodes` nodes; those beyond the device's limit stay unmeasured.
    pub fn new(device: &GpuDevice, nodes: usize) -> Result<Self> {
        if !device.has_timestamps() {
            return Err(Error::Unsupported(format!("`{}` cannot time single operators", device.name())));
        }
        let capacity = nodes.clamp(1, MOST / 2);
        let set = device.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("profile"),
            ty: wgpu::QueryType::Timestamp,
            count: 2 * capacity as u32,
        });
        use wgpu::BufferUsages as Use;
        let resolved = device.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("profile"),
            size: 16 * capacity as u64,
            usage: Use::QUERY_RESOLVE | Use::COPY_SRC,
            mapped_at_creation: false,
        });
        let period = f64::from(device.queue.get_timestamp_period());
        Ok(Timer { set, resolved, nodes: Vec::with_capacity(capacity), capacity, period })
    }

    /// Forgets the last run.
    pub fn begin(&mut self) {
        self.nodes.clear();
    }

    /// The timestamps of node `node`'s pass.
    pub fn pass(&mut self, node: usize) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        if self.nodes.len() == self.capacity {
            return None;
        }
        let at = 2 * self.nodes.len() as u32;
        self.nodes.push(node);
        Some(wgpu::ComputePassTimestampWrites {
            query_set: &self.set,
            beginning_of_pass_write_index: Some(at),
            end_of_pass_write_index: Some(at + 1),
        })
    }

    /// Writes the timestamps to a buffer: `(buffer, bytes)`.
    pub fn resolve(&self, encoder: &mut wgpu::CommandEncoder) -> (wgpu::Buffer, usize) {
        let count = 2 * self.nodes.len();
        if count > 0 {
            encoder.resolve_query_set(&self.set, 0..count as u32, &self.resolved, 0);
        }
        (self.resolved.clone(), 8 * count)
    }

    /// `(node, milliseconds)` from the resolved bytes. Clocks that step back count as 0.
    pub fn durations<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = (usize, f64)> + 'a {
        let ticks = |b: &[u8]| b.try_into().map(u64::from_le_bytes).unwrap_or(0);
        self.nodes.iter().zip(bytes.chunks_exact(16)).map(move |(&node, pair)| {
            let elapsed = ticks(&pair[8..]).saturating_sub(ticks(&pair[..8]));
            (node, elapsed as f64 * self.period / 1e6)
        })
    }
}
