//! What a GPU can do at most, measured. Shaders: `copy_rate.wgsl`, `fma_rate.wgsl`; CPU twin: `cpu/ceilings.rs`.

use super::device::GpuDevice;
use super::emit::{grid, u32_of};
use super::readback::Staging;
use super::shader::{Binding, Code, copy_rate, fma_rate};
use crate::Result;
use crate::clock::now_ms;
use crate::cpu::ceilings::Ceilings;

/// Bytes of the copied buffer, if the device allows: more than caches hold.
const COPIED: usize = 256 << 20;
/// The same on an adapter that computes on the CPU.
const COPIED_SOFTWARE: usize = 64 << 20;
const INVOCATIONS: usize = 1 << 18;
const STEPS: u32 = 128;
/// Operations of a step: eight vec4, a multiplication and an addition.
const OPERATIONS: usize = 64;
/// A submission lasts at least so long, or its fixed cost would count.
const ENOUGH_MS: f64 = 50.0;
const MOST_DISPATCHES: usize = 1 << 14;
/// The best of so many.
const RUNS: usize = 5;

/// Of a GPU, by the host's clock from a submission to its end, as products are timed.
pub async fn measure(device: &GpuDevice) -> Result<Ceilings> {
    let bytes = if device.is_software() { COPIED_SOFTWARE } else { COPIED };
    let bytes = bytes.min(device.limits().max_storage_buffer_binding_size as usize) & !15;
    let words: Vec<u32> = (0..bytes as u32 / 4).collect();
    let buffers = [device.upload("copied", &words)?, device.storage("copy", bytes)?];
    let params = copy_rate::Params { count: u32_of(bytes / 16)?, pad0: 0, pad1: 0, pad2: 0 };
    let groups = grid((bytes / 16).div_ceil(copy_rate::SHADER.code.workgroup_size[0] as usize))?;
    let copies = per_second(device, &copy_rate::SHADER.code, &buffers, bytemuck::bytes_of(&params), groups).await?;
    drop(buffers);

    let buffers = [device.storage("sums", 4 * INVOCATIONS)?];
    let params = fma_rate::Params { steps: STEPS, a: 0.7, b: 0.3, pad0: 0 };
    let groups = grid(INVOCATIONS / fma_rate::SHADER.code.workgroup_size[0] as usize)?;
    let sums = per_second(device, &fma_rate::SHADER.code, &buffers, bytemuck::bytes_of(&params), groups).await?;
    Ok(Ceilings {
        copy: (2 * bytes) as f64 * copies,
        multiply_add: (OPERATIONS * STEPS as usize * INVOCATIONS) as f64 * sums,
    })
}

/// Dispatches per second. The last of `buffers` is the output.
async fn per_second(
    device: &GpuDevice,
    shader: &Code,
    buffers: &[wgpu::Buffer],
    params: &[u8],
    groups: [u32; 3],
) -> Result<f64> {
    let pipeline = device.pipeline(shader, &[])?;
    let uniform = device.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(shader.name),
        size: params.len() as u64,
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    device.queue.write_buffer(&uniform, 0, params);
    let mut storage = buffers.iter();
    let bound = shader.bindings.iter().filter_map(|&(binding, kind)| {
        let buffer = if kind == Binding::Uniform { Some(&uniform) } else { storage.next() };
        Some(wgpu::BindGroupEntry { binding: binding.into(), resource: buffer?.as_entire_binding() })
    });
    let entries: Vec<_> = bound.collect();
    let bind_group = device.device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some(shader.name),
        layout: &pipeline.layout,
        entries: &entries,
    });
    let output = buffers.last().map(|buffer| (buffer.clone(), 16));
    let output = output.as_slice();
    let mut staging = Staging::default();
    let mut dispatches = 1;
    let mut best = f64::INFINITY;
    let mut runs = 0;
    while runs < RUNS {
        let start = now_ms();
        let mut encoder = device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline.pipeline);
        pass.set_bind_group(0, &bind_group, &[]);
        for _ in 0..dispatches {
            pass.dispatch_workgroups(groups[0], groups[1], groups[2]);
        }
        drop(pass);
        staging.read(device, encoder, output).await?;
        let ms = now_ms() - start;
        if ms < ENOUGH_MS && dispatches < MOST_DISPATCHES {
            dispatches *= 2;
            continue;
        }
        best = best.min(ms);
        runs += 1;
    }
    Ok(dispatches as f64 / best * 1e3)
}
