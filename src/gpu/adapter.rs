//! Which adapters there are, and the choice among them.

use serde::Serialize;

use crate::{Error, Result};

/// What `fewbit devices` prints about one adapter.
#[derive(Clone, Debug, Serialize)]
pub struct AdapterReport {
    pub name: String,
    /// `vulkan`, `metal`, `dx12`, `webgpu`.
    pub backend: String,
    pub driver: String,
    /// Computes on the CPU: right for tests, slower than the CPU path.
    pub software: bool,
    pub max_binding_bytes: u64,
    pub max_buffer_bytes: u64,
    pub max_workgroup_bytes: u32,
    pub max_invocations: u32,
    pub subgroup_sizes: [u32; 2],
    pub shader_f16: bool,
    pub timestamps: bool,
}

impl AdapterReport {
    pub(super) fn of(adapter: &wgpu::Adapter) -> Self {
        let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
        AdapterReport {
            software: is_software(&info),
            backend: info.backend.to_string(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_string(),
            max_binding_bytes: limits.max_storage_buffer_binding_size,
            max_buffer_bytes: limits.max_buffer_size,
            max_workgroup_bytes: limits.max_compute_workgroup_storage_size,
            max_invocations: limits.max_compute_invocations_per_workgroup,
            subgroup_sizes: [info.subgroup_min_size, info.subgroup_max_size],
            shader_f16: features.contains(wgpu::Features::SHADER_F16),
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
            name: info.name,
        }
    }
}

/// Every adapter that can be opened here. In a browser that is at most one.
pub async fn adapters() -> Vec<AdapterReport> {
    candidates(&instance()).await.iter().map(AdapterReport::of).collect()
}

/// The preferred adapter: discrete before integrated, virtual and software, or the one that `FEWBIT_ADAPTER` names.
pub(super) async fn choose(wanted: Option<&str>) -> Result<wgpu::Adapter> {
    let mut adapters = candidates(&instance()).await;
    let names = adapters.iter().map(|a| a.get_info().name).collect::<Vec<_>>().join(", ");
    if let Some(wanted) = wanted {
        let wanted = wanted.to_ascii_lowercase();
        adapters.retain(|a| a.get_info().name.to_ascii_lowercase().contains(&wanted));
        if adapters.is_empty() {
            return Err(Error::Device(format!("no adapter has `{wanted}` in its name; there are: {names}")));
        }
    }
    let best = adapters.into_iter().min_by_key(|a| rank(a.get_info().device_type));
    best.ok_or_else(|| Error::Device("no GPU adapter found; use `--device cpu`".into()))
}

fn instance() -> wgpu::Instance {
    wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle())
}

#[cfg(not(target_arch = "wasm32"))]
async fn candidates(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    let mut adapters = instance.enumerate_adapters(wgpu::Backends::PRIMARY).await;
    adapters.retain(|a| a.get_downlevel_capabilities().is_webgpu_compliant() || is_software(&a.get_info()));
    adapters
}

#[cfg(target_arch = "wasm32")]
async fn candidates(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    let options = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..wgpu::RequestAdapterOptions::default()
    };
    instance.request_adapter(&options).await.into_iter().collect()
}

fn rank(kind: wgpu::DeviceType) -> u8 {
    match kind {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

pub(super) fn is_software(info: &wgpu::AdapterInfo) -> bool {
    let name = info.name.to_ascii_lowercase();
    info.device_type == wgpu::DeviceType::Cpu || ["swiftshader", "llvmpipe"].iter().any(|s| name.contains(s))
}
