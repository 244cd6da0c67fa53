//! Values that a kernel can make no sense of: it writes its node's number into a word that is read with the outputs.

use super::device::GpuDevice;
use crate::Result;
use crate::graph::Schedule;

/// A program's word, made when the first kernel asks for it: 0, or 1 + the number of the node.
#[derive(Default)]
pub struct Faults(Option<wgpu::Buffer>);

impl Faults {
    pub fn buffer(&mut self, device: &GpuDevice) -> Result<wgpu::Buffer> {
        match &self.0 {
            Some(buffer) => Ok(buffer.clone()),
            None => Ok(self.0.insert(device.storage("faults", 4)?).clone()),
        }
    }

    /// Before a run.
    pub fn clear(&self, device: &GpuDevice) {
        if let Some(buffer) = &self.0 {
            device.queue.write_buffer(buffer, 0, &[0; 4]);
        }
    }

    /// What is to be read with the outputs.
    pub fn source(&self) -> Option<(wgpu::Buffer, usize)> {
        Some((self.0.clone()?, 4))
    }

    /// The error that these bytes of `source` tell; `what` the nodes complain of.
    pub fn check(bytes: &[u8], schedule: &Schedule, what: &str) -> Result<()> {
        let word = bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes)) as usize;
        match word.checked_sub(1).and_then(|index| schedule.graph.nodes.get(index)) {
            Some(node) => Err(node.error(what)),
            None => Ok(()),
        }
    }
}
