//! Copies from GPU buffers to the host, asynchronously.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::device::GpuDevice;
use super::lock::lock;
use crate::{Error, Result};

/// A reusable buffer that the host can map.
#[derive(Default)]
pub struct Staging {
    buffer: Option<wgpu::Buffer>,
}

impl Staging {
    /// Adds copies of the first `bytes` of each buffer to `encoder`, submits it, and brings the bytes back.
    /// Byte counts are multiples of 4.
    pub async fn read(
        &mut self,
        device: &GpuDevice,
        encoder: wgpu::CommandEncoder,
        sources: &[(wgpu::Buffer, usize)],
    ) -> Result<Vec<Vec<u8>>> {
        if sources.iter().all(|(_, bytes)| *bytes == 0) {
            device.queue.submit([encoder.finish()]);
            device.check()?;
            return Ok(vec![Vec::new(); sources.len()]);
        }
        let read = self.send(device, encoder, sources)?.bytes(device).await;
        if read.is_err() {
            // A buffer whose mapping failed is not to be used again.
            self.buffer = None;
        }
        read
    }

    /// Submits the same and does not wait for it. What was sent before through this buffer has come, or is given up.
    pub fn send(
        &mut self,
        device: &GpuDevice,
        mut encoder: wgpu::CommandEncoder,
        sources: &[(wgpu::Buffer, usize)],
    ) -> Result<Sent> {
        let total: usize = sources.iter().map(|(_, bytes)| bytes).sum();
        let staging = self.at_least(device, total);
        let mut offset = 0;
        for (source, bytes) in sources {
            encoder.copy_buffer_to_buffer(source, 0, &staging, offset, *bytes as u64);
            offset += *bytes as u64;
        }
        let submission = device.queue.submit([encoder.finish()]);
        device.check()?;
        let mapped = Mapped::default();
        let signal = mapped.clone();
        let slice = staging.slice(..total as u64);
        slice.map_async(wgpu::MapMode::Read, move |result| signal.set(result.map_err(|e| e.to_string())));
        let sizes = sources.iter().map(|(_, bytes)| *bytes).collect();
        Ok(Sent { staging, sizes, mapped, submission })
    }

    fn at_least(&mut self, device: &GpuDevice, bytes: usize) -> wgpu::Buffer {
        match &self.buffer {
            Some(buffer) if buffer.size() >= bytes as u64 => buffer.clone(),
            _ => {
                let buffer = device.device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some("staging"),
                    size: bytes as u64,
                    usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
                    mapped_at_creation: false,
                });
                self.buffer.insert(buffer).clone()
            }
        }
    }
}

/// Bytes on their way to the host.
pub struct Sent {
    staging: wgpu::Buffer,
    sizes: Vec<usize>,
    mapped: Mapped,
    submission: wgpu::SubmissionIndex,
}

impl Sent {
    /// Waits for them, and for nothing that was submitted later.
    pub async fn bytes(self, device: &GpuDevice) -> Result<Vec<Vec<u8>>> {
        device.wait_for(&self.submission);
        if let Err(message) = self.mapped.clone().await {
            device.check()?;
            return Err(Error::Device(format!("reading back failed: {message}")));
        }
        let total: usize = self.sizes.iter().sum();
        let view = self.staging.slice(..total as u64).get_mapped_range().map_err(|e| Error::Device(e.to_string()))?;
        let mut rest: &[u8] = &view;
        let mut out = Vec::with_capacity(self.sizes.len());
        for bytes in &self.sizes {
            let (head, tail) = rest.split_at_checked(*bytes).unwrap_or((rest, &[]));
            out.push(head.to_vec());
            rest = tail;
        }
        drop(view);
        device.check()?;
        Ok(out)
    }
}

impl Drop for Sent {
    /// The buffer is free again, whether the bytes were looked at or not.
    fn drop(&mut self) {
        self.staging.unmap();
    }
}

/// The outcome of `map_async` as a future. Natively it is there once the device was polled; a browser wakes the task.
#[derive(Clone, Default)]
struct Mapped(Arc<Mutex<MapState>>);

#[derive(Default)]
struct MapState {
    result: Option<Result<(), String>>,
    waker: Option<Waker>,
}

impl Mapped {
    fn set(&self, result: Result<(), String>) {
        let mut state = lock(&self.0);
        state.result = Some(result);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }
}

impl Future for Mapped {
    type Output = Result<(), String>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = lock(&self.0);
        match state.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
