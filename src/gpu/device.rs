//! An open GPU: device, queue, pipeline cache. Errors of the driver surface on the next call instead of panicking.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::adapter::{self, AdapterReport};
use super::choices::Choices;
use super::lock::lock;
use super::shader::{Binding, Code};
use crate::{Error, Result};

pub struct GpuDevice {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    report: AdapterReport,
    limits: wgpu::Limits,
    features: wgpu::Features,
    faults: Arc<Mutex<Faults>>,
    pipelines: Mutex<HashMap<PipelineKey, Arc<Pipeline>>>,
    /// Operators that failed the self-check.
    disabled: Mutex<BTreeSet<String>>,
    /// Operators that the self-check has seen, failed or not.
    checked: Mutex<BTreeSet<&'static str>>,
    binding_limit: AtomicU64,
    choices: Arc<Choices>,
    /// Bound where a kernel's optional operand is left out.
    pub(super) absent: wgpu::Buffer,
}

/// Whether the browser's device that was opened last has subgroups.
#[cfg(target_arch = "wasm32")]
static SUBGROUPS: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// Tells before a device is handed out whether the browser gave it subgroups.
#[cfg(target_arch = "wasm32")]
pub fn set_subgroups(granted: bool) {
    SUBGROUPS.store(granted, Ordering::Relaxed);
}

/// What the driver reported outside any call.
#[derive(Default)]
struct Faults {
    lost: Option<String>,
    error: Option<String>,
}

/// Shader name and the bits of its overrides.
type PipelineKey = (&'static str, Vec<(&'static str, u64)>);

pub struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
}

impl GpuDevice {
    /// Opens the preferred adapter; `FEWBIT_ADAPTER=<part of its name>` picks another.
    pub async fn new() -> Result<Self> {
        let wanted = std::env::var("FEWBIT_ADAPTER").ok();
        Self::with_adapter(wanted.as_deref()).await
    }

    /// Opens the preferred adapter whose name contains `wanted`.
    pub async fn with_adapter(wanted: Option<&str>) -> Result<Self> {
        let adapter = adapter::choose(wanted).await?;
        let report = AdapterReport::of(&adapter);
        let offered = adapter.limits();
        // WebGPU's defaults, except for the size of buffers, which models outgrow.
        let limits = wgpu::Limits {
            max_storage_buffer_binding_size: offered.max_storage_buffer_binding_size,
            max_buffer_size: offered.max_buffer_size,
            ..wgpu::Limits::default()
        };
        let features = adapter.features() & (wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::SUBGROUP);
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("fewbit"),
            required_features: features,
            required_limits: limits.clone(),
            ..wgpu::DeviceDescriptor::default()
        };
        let opened = adapter.request_device(&descriptor).await;
        let (device, queue) = opened.map_err(|e| Error::Device(format!("`{}`: {e}", report.name)))?;
        #[cfg(target_arch = "wasm32")]
        let features = if SUBGROUPS.load(Ordering::Relaxed) { features | wgpu::Features::SUBGROUP } else { features };

        let faults = Arc::new(Mutex::new(Faults::default()));
        let seen = faults.clone();
        device.set_device_lost_callback(move |reason, message| {
            lock(&seen).lost = Some(format!("lost ({reason:?}) {message}"));
        });
        let seen = faults.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            lock(&seen).error.get_or_insert_with(|| error.to_string());
        }));
        let absent = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("absent"),
            size: 16,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        });
        Ok(GpuDevice {
            device,
            queue,
            report,
            limits,
            features,
            faults,
            pipelines: Mutex::default(),
            disabled: Mutex::default(),
            checked: Mutex::default(),
            binding_limit: AtomicU64::new(u64::MAX),
            choices: Arc::default(),
            absent,
        })
    }

    pub fn name(&self) -> String {
        self.report.name.clone()
    }

    pub fn report(&self) -> &AdapterReport {
        &self.report
    }

    /// The adapter computes on the CPU (lavapipe, SwiftShader, WARP).
    pub fn is_software(&self) -> bool {
        self.report.software
    }

    pub fn limits(&self) -> &wgpu::Limits {
        &self.limits
    }

    /// Most bytes of a weight that one buffer holds; larger weights are split.
    pub fn binding_limit(&self) -> u64 {
        let offered = self.limits.max_storage_buffer_binding_size.min(self.limits.max_buffer_size);
        offered.min(self.binding_limit.load(Ordering::Relaxed))
    }

    /// Splits weights as an adapter would that binds no more than `bytes` at once.
    pub fn limit_bindings(&self, bytes: u64) {
        self.binding_limit.store(bytes, Ordering::Relaxed);
    }

    /// Which variants of kernels programs take that are built from now on.
    pub fn choices(&self) -> &Choices {
        &self.choices
    }

    /// Lanes that every subgroup has at least; `None` where kernels cannot use subgroups.
    pub fn subgroup_lanes(&self) -> Option<u32> {
        let [least, _] = self.report.subgroup_sizes;
        self.features.contains(wgpu::Features::SUBGROUP).then_some(least).filter(|&lanes| lanes >= 4)
    }

    /// Shares the choices of a device in whose place this one comes.
    pub fn take_over(&mut self, old: &GpuDevice) {
        self.choices = old.choices.clone();
    }

    pub fn has_timestamps(&self) -> bool {
        self.features.contains(wgpu::Features::TIMESTAMP_QUERY)
    }

    /// Destroys the device as a driver reset would; every later call reports a lost device.
    pub fn destroy(&self) {
        self.device.destroy();
    }

    /// `Error::Device` if the device was lost, or refused work since the last check.
    pub fn check(&self) -> Result<()> {
        if lock(&self.faults).error.is_some() {
            self.listen();
        }
        let mut faults = lock(&self.faults);
        if let Some(lost) = &faults.lost {
            return Err(Error::Device(lost.clone()));
        }
        match faults.error.take() {
            Some(error) => Err(Error::Device(format!("`{}` refused the work: {error}", self.report.name))),
            None => Ok(()),
        }
    }

    pub fn is_lost(&self) -> bool {
        self.listen();
        lock(&self.faults).lost.is_some()
    }

    /// Lets the driver say what it has to. That the device is lost may be told later than work is refused for it.
    fn listen(&self) {
        #[cfg(not(target_arch = "wasm32"))]
        if let Err(e) = self.device.poll(wgpu::PollType::Poll) {
            lock(&self.faults).error.get_or_insert_with(|| e.to_string());
        }
    }

    /// Sends an operator's nodes to the CPU from now on.
    pub fn disable(&self, operator: &str) {
        lock(&self.disabled).insert(operator.to_string());
    }

    pub fn is_disabled(&self, operator: &str) -> bool {
        lock(&self.disabled).contains(operator)
    }

    /// Whether the self-check has seen an operator, failed or not.
    pub fn is_checked(&self, operator: &str) -> bool {
        lock(&self.checked).contains(operator)
    }

    pub(super) fn set_checked(&self, operator: &'static str) {
        lock(&self.checked).insert(operator);
    }

    /// Blocks until what was submitted up to there is done. A browser does that by itself between tasks.
    #[cfg_attr(target_arch = "wasm32", allow(unused_variables))]
    pub(super) fn wait_for(&self, submission: &wgpu::SubmissionIndex) {
        #[cfg(not(target_arch = "wasm32"))]
        if let Err(e) =
            self.device.poll(wgpu::PollType::Wait { submission_index: Some(submission.clone()), timeout: None })
        {
            lock(&self.faults).error.get_or_insert_with(|| e.to_string());
        }
    }

    /// An uninitialised buffer for storage bindings and copies.
    pub(super) fn storage(&self, label: &str, bytes: usize) -> Result<wgpu::Buffer> {
        let size = bytes.max(16).next_multiple_of(16) as u64;
        if size > self.limits.max_storage_buffer_binding_size || size > self.limits.max_buffer_size {
            return Err(Error::Unsupported(format!(
                "{label}: {size} bytes exceed one binding of `{}`",
                self.report.name
            )));
        }
        use wgpu::BufferUsages as Use;
        Ok(self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size,
            usage: Use::STORAGE | Use::COPY_SRC | Use::COPY_DST,
            mapped_at_creation: false,
        }))
    }

    /// A storage buffer filled with `words`.
    pub(super) fn upload(&self, label: &str, words: &[u32]) -> Result<wgpu::Buffer> {
        let buffer = self.storage(label, words.len() * 4)?;
        self.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(words));
        Ok(buffer)
    }

    /// The pipeline of a shader with these overrides, built once.
    pub(super) fn pipeline(&self, shader: &Code, overrides: &[(&'static str, f64)]) -> Result<Arc<Pipeline>> {
        for (name, _) in overrides {
            if !shader.overrides.split(' ').any(|known| known == *name) {
                return Err(Error::Usage(format!("shader {} has no override {name}", shader.name)));
            }
        }
        let key = (shader.name, overrides.iter().map(|&(name, value)| (name, value.to_bits())).collect());
        if let Some(pipeline) = lock(&self.pipelines).get(&key) {
            return Ok(pipeline.clone());
        }
        let pipeline = Arc::new(self.build_pipeline(shader, overrides));
        lock(&self.pipelines).insert(key, pipeline.clone());
        Ok(pipeline)
    }

    fn build_pipeline(&self, shader: &Code, overrides: &[(&str, f64)]) -> Pipeline {
        let entries: Vec<_> = shader.bindings.iter().map(|&(number, kind)| layout_entry(number.into(), kind)).collect();
        let label = Some(shader.name);
        let layout = wgpu::BindGroupLayoutDescriptor { label, entries: &entries };
        let layout = self.device.create_bind_group_layout(&layout);
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label,
            bind_group_layouts: &[Some(&layout)],
            ..wgpu::PipelineLayoutDescriptor::default()
        });
        let source = wgpu::ShaderSource::Wgsl(shader.text().into());
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor { label, source });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(shader.entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: overrides,
                // Kernels write workgroup memory before they read it.
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        Pipeline { pipeline, layout }
    }
}

fn layout_entry(binding: u32, kind: Binding) -> wgpu::BindGroupLayoutEntry {
    let ty = match kind {
        Binding::Read => wgpu::BufferBindingType::Storage { read_only: true },
        Binding::ReadWrite => wgpu::BufferBindingType::Storage { read_only: false },
        Binding::Uniform => wgpu::BufferBindingType::Uniform,
    };
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    }
}
