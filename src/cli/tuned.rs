//! Choices of kernels' variants, kept in a file per adapter: `tuned/NAME.txt` in `FEWBIT_CACHE`, else in
//! `~/.cache/fewbit`.

use crate::Result;
use crate::runtime::{Device, Session};
use crate::tensor::Tensor;

#[cfg(feature = "gpu")]
mod file {
    use std::path::PathBuf;

    use crate::gpu::GpuDevice;

    /// `None` where there is no home.
    pub fn of(gpu: &GpuDevice) -> Option<PathBuf> {
        let cache = std::env::var_os("FEWBIT_CACHE").map(PathBuf::from);
        let cache = cache.or_else(|| std::env::home_dir().map(|home| home.join(".cache/fewbit")))?;
        let name: String = gpu.name().chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
        Some(cache.join("tuned").join(format!("{name}.txt")))
    }
}

/// Takes over what was tuned for this device before, if anything was.
#[cfg(feature = "gpu")]
pub fn load(device: &Device) {
    if let Device::Gpu(gpu, _) = device
        && let Some(file) = file::of(gpu)
        && let Ok(text) = std::fs::read_to_string(file)
    {
        gpu.choices().read(&text);
    }
}

/// Measures, and stores the device's choices.
#[cfg(feature = "gpu")]
pub fn tune(session: &mut Session, inputs: &[(&str, &Tensor)]) -> Result<()> {
    let count = session.tune(inputs)?;
    eprintln!("tuned {count} products");
    let Device::Gpu(gpu, _) = session.device() else { return Ok(()) };
    let Some(file) = file::of(gpu) else { return Ok(()) };
    let failed = |e| crate::Error::io(file.display().to_string(), e);
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(&file, gpu.choices().to_text()).map_err(failed)
}

#[cfg(not(feature = "gpu"))]
pub fn load(_: &Device) {}

#[cfg(not(feature = "gpu"))]
pub fn tune(_: &mut Session, _: &[(&str, &Tensor)]) -> Result<()> {
    Err(crate::Error::Unsupported("this build has no GPU backend to tune".into()))
}
